"""Micro-batches: what arrives while two calls are in flight is the next call. Cheap under load, immediate when idle."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from domain.errors import Unavailable
from supervised import supervised_once

T = TypeVar("T")


class MicroBatcher(Generic[T]):
    """Collects items and sends them in batches. It holds no task while it has nothing to send.

    Up to ``calls_in_flight`` batches go out at once; while so many are out, a further one goes after ``linger_s`` all the same,
    up to ``calls_in_flight_max``: a batch that is slow to answer must not hold up those behind it.
    """

    def __init__(
        self,
        send: Callable[[list[T]], Awaitable[None]],
        *,
        queue_max_items: int,
        batch_max_items: int,
        calls_in_flight: int = 2,
        calls_in_flight_max: int = 16,
        linger_s: float = 0.005,
    ) -> None:
        """``send`` must not raise: it settles each item itself."""
        self._send = send
        self._queue: deque[T] = deque()
        self._queue_max_items = queue_max_items
        self._batch_max_items = batch_max_items
        self._calls_in_flight = calls_in_flight
        self._calls_in_flight_max = calls_in_flight_max
        self._linger_s = linger_s
        self._in_flight: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is in flight."""
        return not self._queue and not self._in_flight

    def put(self, item: T) -> None:
        """Queue an item; raises ``Unavailable`` (``overloaded``) when the queue is full."""
        if len(self._queue) >= self._queue_max_items:
            raise Unavailable(
                "overloaded",
                f"{self._queue_max_items} messages are waiting already",
                retry_after_s=1.0,
                overloaded=True,
            )
        self._queue.append(item)
        self._schedule()

    def put_back(self, items: Iterable[T]) -> None:
        """Put items that were taken before all others again, in their order; the bound does not count them twice."""
        self._queue.extendleft(reversed(list(items)))
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is not None or not self._queue:
            return
        loop = asyncio.get_running_loop()
        if len(self._in_flight) < self._calls_in_flight:
            self._timer = loop.call_soon(self._start)
        elif len(self._in_flight) < self._calls_in_flight_max:
            self._timer = loop.call_later(self._linger_s, self._start)

    def _start(self) -> None:
        self._timer = None
        if not self._queue:
            return
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_max_items))]
        task = supervised_once("batch", self._run(batch))
        self._in_flight.add(task)
        task.add_done_callback(self._finished)
        self._schedule()

    async def _run(self, batch: list[T]) -> None:
        await self._send(batch)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if self._timer is not None and self._queue and len(self._in_flight) < self._calls_in_flight:
            self._timer.cancel()
            self._timer = None
        self._schedule()
