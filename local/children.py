"""Child processes that can't outlive us: each in a session of its own, killed by the kernel when we end.

The kernel does so when the *thread* ends that started them: start them from the main thread only. Secrets go to a child
by its environment or by a file, never by its arguments, which everybody on the machine can read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from local.errors import LocalError, NotReady

POLL_EVERY_S = 0.02
KILL_WAIT_MAX_S = 5.0
LOG_TAIL_LINES = 15
LOG_KEPT_MAX_BYTES = 8 * 1024 * 1024


def dies_with_us() -> list[str]:
    """The beginning of a command line which has the kernel kill the process when its parent thread ends."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        message = "the program setpriv is missing (Debian: package util-linux)"
        raise LocalError(message)
    return [setpriv, "--pdeathsig", "KILL", "--"]


class Child:
    """One child process with its log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str],
        folder: Path | None = None,
        before: Sequence[str] = (),
    ) -> None:
        """``before`` is what the command line begins with, ahead of what ties the child's life to ours."""
        self.name = name
        self.log = log
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
            self._log_from = output.tell()
            self._heard_until = self._log_from
            self._heard_part = b""
            self.process = subprocess.Popen(  # noqa: S603 -- the commands are our own
                [*before, *dies_with_us(), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id; its session's and process group's as well."""
        return self.process.pid

    def has_ended(self) -> bool:
        """Whether the process is gone (it is then reaped)."""
        return self.process.poll() is not None

    def has_said(self, line: bytes) -> bool:
        """Whether this run wrote such a line since this was last asked."""
        with self.log.open("rb") as file:
            file.seek(self._heard_until)
            heard = self._heard_part + file.read(LOG_KEPT_MAX_BYTES)
            self._heard_until = file.tell()
        *lines, self._heard_part = heard.split(b"\n")
        return line in lines

    def trim_log(self) -> None:
        """Set aside what the log has grown to beyond its limit, in the place of what was set aside before."""
        if self.log.stat().st_size > LOG_KEPT_MAX_BYTES:
            shutil.copyfile(self.log, self.log.with_suffix(".old.log"))
            os.truncate(self.log, 0)  # its writer appends, so it goes on at the new end
            self._log_from = self._heard_until = 0

    def said(self) -> str:
        """The last lines of what this run wrote to its log."""
        with self.log.open("rb") as file:
            file.seek(self._log_from)
            text = file.read(LOG_KEPT_MAX_BYTES).decode(errors="replace")
        return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])

    async def until(self, is_ready: Callable[[], Awaitable[bool]], limit_s: float) -> None:
        """Return once ``is_ready`` says so. Raises ``NotReady`` when the process ends before, or the limit is over."""
        deadline = time.monotonic() + limit_s
        while not await is_ready():
            if self.has_ended():
                message = f"{self.name} ended at its start (exit code {self.process.returncode}):\n{self.said()}"
                raise NotReady(message)
            if time.monotonic() > deadline:
                message = f"{self.name} was not ready within {limit_s:.0f} s:\n{self.said()}"
                raise NotReady(message)
            await asyncio.sleep(POLL_EVERY_S)

    async def stop(self, how: signal.Signals, limit_s: float) -> None:
        """Ask the process to end, wait, then kill what is left of its group."""
        if not self.has_ended():
            self.process.send_signal(how)
            await self._ended_within(limit_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._ended_within(KILL_WAIT_MAX_S)

    async def _ended_within(self, limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while not self.has_ended():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_EVERY_S)
        return True


async def answers(host: str, port: int, *, say: bytes = b"", limit_s: float = 1.0) -> bytes | None:
    """What a server's first byte is after ``say`` (empty: the connection alone counts); None when nobody answers."""
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                if not say:
                    return b""
                writer.write(say)
                return await reader.read(1) or None
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
