"""What unit tests share: an event loop whose clock moves by hand."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest


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
