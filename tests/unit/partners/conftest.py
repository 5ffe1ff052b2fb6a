"""What the partners' unit tests share: an event loop whose clock moves by hand, and clients that answer from a list."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from domain.calls import Outcome, Request


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for time to pass, moves the clock on to when the next timer is due."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everything waits, and nothing will ever happen")
        self.now_s += max(timeout, 0.0)
        return super().select(0)


class _HandMovedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def run() -> Run:
    """Run a scenario to its end on a clock that jumps from timer to timer: a wait of an hour costs nothing."""

    def to_the_end(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=_HandMovedLoop) as runner:
            runner.run(scenario)

    return to_the_end


@dataclass
class ScriptedClient:
    """Answers each try with the next of ``script`` (the last one for ever), after ``delay_s``; None means: hangs."""

    script: list[Outcome | None]
    delay_s: float = 0.0
    asked: list[Request] = field(default_factory=list)
    asked_at_s: list[float] = field(default_factory=list)
    running: int = 0
    running_max: int = 0

    async def perform(self, order_id: str, request: Request) -> Outcome:
        outcome = self.script[min(len(self.asked), len(self.script) - 1)]
        self.asked.append(request)
        self.asked_at_s.append(asyncio.get_running_loop().time())
        self.running += 1
        self.running_max = max(self.running, self.running_max)
        try:
            if outcome is None:
                await asyncio.Event().wait()
                raise AssertionError("unreachable")
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            return outcome
        finally:
            self.running -= 1


@pytest.fixture
def scripted() -> type[ScriptedClient]:
    """The scripted client's class."""
    return ScriptedClient
