"""Order numbers, taken from the database in blocks: unique for ever, with gaps where a process died."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from storage.errors import CommitUnknown, StorageUnavailable
from supervised import supervised

log = structlog.get_logger()


class OrderNumberBlocks:
    """A stock of numbers for the orders that this shard will confirm."""

    def __init__(self, take: Callable[[int], Awaitable[int]], *, block: int = 500, retry_s: float = 0.5) -> None:
        """``take(count)`` reserves ``count`` consecutive numbers and gives the first."""
        self._take = take
        self._block = block
        self._retry_s = retry_s
        self._stock: deque[int] = deque()
        self._refill: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._stock)

    @property
    def next(self) -> int:
        """The number that the next confirmed order gets, or 0 while there is none at hand: the order then waits for one."""
        return self._stock[0] if self._stock else 0

    def use(self) -> None:
        """The next number was given to an order."""
        self._stock.popleft()
        if len(self._stock) < self._block and self._refill is None:
            self._refill = supervised("order-numbers", self._top_up)

    async def fill(self) -> None:
        """Take a block; raises what the taker raises."""
        first = await self._take(self._block)
        self._stock.extend(range(first, first + self._block))

    async def _top_up(self) -> None:
        """Take a block, however long the database can't give one."""
        while True:
            try:
                await self.fill()
            except (StorageUnavailable, CommitUnknown) as error:
                log.warning("order_numbers_not_taken", left=len(self._stock), error=str(error))
                await asyncio.sleep(self._retry_s)
            else:
                self._refill = None
                return
