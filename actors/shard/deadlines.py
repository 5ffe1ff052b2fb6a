"""The next few seconds' deadlines of a group, in memory. Later ones lie in PostgreSQL, and a poll brings them in time.

A deadline rings at least once and never early by the database's clock (faults.md, L11): the clock handed in never runs ahead of it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime, timedelta


class Deadlines:
    """A heap of (time, order id). An order that was committed again may stand in it twice; a ring too many is harmless."""

    def __init__(
        self,
        now: Callable[[], datetime],
        fire: Callable[[str], None],
        *,
        horizon_s: float | None = 10.0,
        max_entries: int = 100_000,
    ) -> None:
        """``horizon_s`` None: however far away they are, for orders that no poll looks after."""
        self._now = now
        self._fire = fire
        self._horizon = None if horizon_s is None else timedelta(seconds=horizon_s)
        self._max_entries = max_entries
        self._heap: list[tuple[datetime, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def __len__(self) -> int:
        return len(self._heap)

    def expect(self, order_id: str, at: datetime | None) -> None:
        """Remember a deadline if it is near; the poll brings it later otherwise, or when the heap is full."""
        if at is None or self._stopped or len(self._heap) >= self._max_entries:
            return
        if self._horizon is None or at - self._now() <= self._horizon:
            heapq.heappush(self._heap, (at, order_id))
            if self._heap[0][1] == order_id:
                self._set_timer()

    def stop(self) -> None:
        """Ring no more."""
        self._stopped = True
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            wait_s = max(0.0, (self._heap[0][0] - self._now()).total_seconds())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._due)

    def _due(self) -> None:
        self._timer = None
        now = self._now()
        try:
            while self._heap and self._heap[0][0] <= now:
                _, order_id = heapq.heappop(self._heap)
                self._fire(order_id)
        finally:
            self._set_timer()
