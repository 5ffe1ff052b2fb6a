"""What the partners' unit tests share: clients that answer from a list."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from domain.calls import Outcome, Request


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
