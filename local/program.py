"""A Python module of this project as a child process, and how to tell that it is ready."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from urllib.error import URLError
from urllib.request import urlopen

from local.children import Child, answers
from local.state import PROJECT, State

START_LIMIT_S = 90.0
STOP_LIMIT_S = 20.0
ANSWER_LIMIT_S = 3.0

Readiness = Callable[[Child], Awaitable[bool]]


class Program:
    """One module, run by ``python -m`` with an environment that is looked at when it starts."""

    def __init__(
        self, name: str, arguments: list[str], is_ready: Readiness, *, state: State, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.child: Child | None = None
        self._arguments = arguments
        self._is_ready = is_ready
        self._environment = environment
        self._log = state.folder / f"{name}.log"

    async def start(self) -> None:
        """Return when it is ready; what an earlier one has left running is ended first. Raises ``NotReady``."""
        await self.stop()  # where only the first of its processes died, the others would hold its port
        command = [sys.executable, "-m", *self._arguments]
        child = Child(self.name, command, log=self._log, environment=self._environment, folder=PROJECT)
        self.child = child
        await child.until(lambda: self._is_ready(child), START_LIMIT_S)

    async def stop(self) -> None:
        """Ask it to end, then make it."""
        if self.child is not None:
            await self.child.stop(signal.SIGTERM, STOP_LIMIT_S)


async def said_ready(child: Child) -> bool:
    """Whether it printed the line ``ready``."""
    return child.has_said(b"ready")


def listens(port: int) -> Readiness:
    """Whether its port accepts a connection."""

    async def is_ready(_child: Child) -> bool:
        return await answers("127.0.0.1", port) is not None

    return is_ready


def is_healthy(url: str) -> Readiness:
    """Whether a GET is answered with 200."""

    def ask() -> bool:
        try:
            with urlopen(url, timeout=ANSWER_LIMIT_S):  # noqa: S310 -- our own address
                return True
        except (URLError, OSError):
            return False

    async def is_ready(_child: Child) -> bool:
        return await asyncio.to_thread(ask)

    return is_ready
