"""A `./dev run` that a test has started, in a state folder of its own, and what is known of its processes from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

from local.guard import descendants, parents

ROOT = Path(__file__).resolve().parents[2]
READY_LIMIT_S = 180.0
ENDED_LIMIT_S = 30.0
POLL_EVERY_S = 0.1

Answer = TypeVar("Answer")


def until(ask: Callable[[], Answer | None], what: str, limit_s: float = ENDED_LIMIT_S) -> Answer:
    """What ``ask`` says, as soon as it is something true; fails with ``what`` at the limit."""
    deadline_s = time.monotonic() + limit_s
    while not (answer := ask()):
        assert time.monotonic() < deadline_s, f"not within {limit_s:.0f} s: {what}"
        time.sleep(POLL_EVERY_S)
    return answer


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def life_of(pid: int) -> str | None:
    """The time at which a process started, None once it is gone (or a zombie, which its parent has yet to bury)."""
    with contextlib.suppress(OSError):
        columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if columns[0] == "Z" else columns[19]
    return None


class Started:
    """One `./dev run`, from its start to its end."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        output: Path | None = None,
        program: Path = ROOT / "dev",
    ) -> None:
        """``settings``: ``ORDERSVC_*`` variables without their prefix. ``program``: the ``dev`` of the build to start."""
        self.folder = folder
        self._output = output or folder.with_name(f"{folder.name}.out")
        own = {name: value for name, value in os.environ.items() if not name.startswith(("ORDERSVC_", "RAY_"))}
        given = {"STATE_DIR": str(folder), "HTTP_PORT": str(free_port()), **(settings or {})}
        environment = own | {f"ORDERSVC_{name}": value for name, value in given.items()}
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(program), "run"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        """Wait until it is ready."""
        try:
            self.endpoints()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """End it, whatever happened."""
        self.end()

    def said(self) -> str:
        """All that it printed until now."""
        return self._output.read_text(errors="replace")

    def endpoints(self) -> dict[str, str]:
        """Where everything is, once it is ready."""
        file = self.folder / "endpoints.json"

        def is_there() -> bool:
            assert self.process.poll() is None, self.said()
            return file.exists()

        until(is_there, f"ready\n{self.said()}", READY_LIMIT_S)
        found: dict[str, str] = json.loads(file.read_text())
        return found

    def processes(self) -> dict[int, str]:
        """Everything below it that lives, it included: process id -> time of its start."""
        below = descendants(self.process.pid, parents()) | {self.process.pid}
        return {pid: life for pid in below if (life := life_of(pid)) is not None}

    def find_all(self, text: str) -> list[int]:
        """The processes below it whose command lines have this in them."""
        found = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                if text in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                    found.append(pid)
        return found

    def find(self, text: str) -> int:
        """The first of them; 0 when there is none."""
        return next(iter(self.find_all(text)), 0)

    def is_ready(self) -> bool:
        """Whether the API says that it can serve."""
        file = self.folder / "endpoints.json"
        with (
            contextlib.suppress(OSError, URLError),
            urlopen(json.loads(file.read_text())["api"] + "/health/ready", timeout=3) as answer,  # noqa: S310 - our own address
        ):
            return bool(answer.status == 200)
        return False

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop, wait until all of it is gone, and give its exit code."""
        all_of_it = self.processes()
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(timeout=ENDED_LIMIT_S)
        until_gone(all_of_it)
        return code


def until_gone(lives: Mapping[int, str], limit_s: float = ENDED_LIMIT_S) -> None:
    """Return when none of these processes lives any more."""

    def left() -> list[int]:
        return [pid for pid, life in lives.items() if life_of(pid) == life]

    until(lambda: not left(), "all processes gone", limit_s)
