"""The partner sandbox as a process of its own, for tests: started, killed and started again on the same state."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[3]
END_LIMIT_S = 10


class SandboxProcess:
    """`python -m local.sandbox` on a free port, its state in ``folder``; ``RuntimeError`` when it won't start."""

    def __init__(self, folder: Path, amqp_url: str = "") -> None:
        self._environment = os.environ | {"ORDERSVC_STATE_DIR": str(folder), "ORDERSVC_AMQP_URL": amqp_url}
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        """Return when it answers; a second start takes the port of the first."""
        port = self.url.rpartition(":")[2] or "0"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local.sandbox", "--port", port],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"the sandbox ended with {self._process.wait(END_LIMIT_S)}")

    def kill(self) -> None:
        """End it with SIGKILL, at whatever it is doing."""
        self._end(lambda process: process.kill())

    def stop(self) -> None:
        """End it as a person would."""
        self._end(lambda process: process.terminate())

    def _end(self, how: Callable[[subprocess.Popen[str]], None]) -> None:
        if self._process is None:
            return
        how(self._process)
        self._process.wait(END_LIMIT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
