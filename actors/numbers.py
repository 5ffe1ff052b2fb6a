"""Order numbers, taken from the database in blocks: unique for ever, with gaps where a process died."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable


class OrderNumbers:
    """A stock of numbers for the orders that this shard will confirm."""

    def __init__(self, take: Callable[[int], Awaitable[int]], *, block: int = 500) -> None:
        """``take(count)`` reserves ``count`` consecutive numbers and gives the first."""
        self._take = take
        self._block = block
        self._stock: deque[int] = deque()
        self._refill: asyncio.Task[None] | None = None

    @property
    def next(self) -> int:
        """The number that the next confirmed order gets. Raises ``IndexError`` when the stock is empty."""
        return self._stock[0]

    def use(self) -> None:
        """The next number was given to an order."""
        self._stock.popleft()
        if len(self._stock) < self._block and self._refill is None:
            self._refill = asyncio.get_running_loop().create_task(self.fill(), name="order-numbers")

    async def fill(self) -> None:
        """Take a block; raises what the taker raises."""
        try:
            first = await self._take(self._block)
            self._stock.extend(range(first, first + self._block))
        finally:
            self._refill = None
