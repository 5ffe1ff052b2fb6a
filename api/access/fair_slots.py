"""Work that is dear is done a few at a time, and no caller does more than one of it: so that no caller starves another.

Who waits is bounded too, for each caller and in all; beyond it the answer is fast, and says when to come again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from api.problems import Problem, retry_after

RETRY_AFTER_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotLimits:
    """Bounds of ``FairSlots``. ``wait_max_s``: how long one waits for its turn."""

    running_max: int = 2
    waiting_max: int = 32
    waiting_of_a_caller_max: int = 4
    wait_max_s: float = 4.0


class FairSlots:
    """Slots for work. Waiters get their turn in the order in which they came, but those whose caller has a slot already."""

    def __init__(self, limits: SlotLimits) -> None:
        self._limits = limits
        self._running: set[str] = set()
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def slot(self, caller: str) -> AsyncIterator[None]:
        """Have a slot. Raises ``Problem``: ``rate_limited`` where the caller has too many waiting, ``overloaded`` where too
        many wait in all, or for too long.
        """
        await self._take(caller)
        try:
            yield
        finally:
            self._running.discard(caller)
            self._hand_out()

    async def _take(self, caller: str) -> None:
        if sum(1 for waits, _ in self._waiting if waits == caller) >= self._limits.waiting_of_a_caller_max:
            raise Problem(
                "rate_limited", "Too many of your questions wait already.", headers=(retry_after(RETRY_AFTER_S),)
            )
        if len(self._waiting) >= self._limits.waiting_max:
            raise _overloaded()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (caller, turn)
        self._waiting.append(entry)
        self._hand_out()
        try:
            async with asyncio.timeout(self._limits.wait_max_s):
                await turn
        except BaseException as error:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif turn.done() and not turn.cancelled():  # it came at the last moment, and is not wanted any more
                self._running.discard(caller)
                self._hand_out()
            if isinstance(error, TimeoutError):
                raise _overloaded() from None
            raise

    def _hand_out(self) -> None:
        for entry in list(self._waiting):
            caller, turn = entry
            if len(self._running) >= self._limits.running_max:
                return
            if caller not in self._running and not turn.done():
                self._waiting.remove(entry)
                self._running.add(caller)
                turn.set_result(None)


def _overloaded() -> Problem:
    return Problem(
        "overloaded", "As many statistics are wanted as can be made in time.", headers=(retry_after(RETRY_AFTER_S),)
    )
