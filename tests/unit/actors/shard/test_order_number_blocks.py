from __future__ import annotations

import asyncio

from actors.shard.order_number_blocks import OrderNumberBlocks
from storage.errors import StorageUnavailable


class Sequence:
    """A database that gives numbers, after so many refusals."""

    def __init__(self) -> None:
        self.next = 1
        self.refusals = 0

    async def take(self, count: int) -> int:
        await asyncio.sleep(0)
        if self.refusals:
            self.refusals -= 1
            raise StorageUnavailable("away")
        first, self.next = self.next, self.next + count
        return first


def use(order_numbers: OrderNumberBlocks) -> int:
    number = order_numbers.next
    order_numbers.use()
    return number


async def test_numbers_are_given_in_turn_and_blocks_are_taken_before_they_run_out() -> None:
    order_numbers = OrderNumberBlocks(Sequence().take, block=3)
    await order_numbers.fill()
    given = []
    for _ in range(10):
        given.append(use(order_numbers))
        while len(order_numbers) < 3:
            await asyncio.sleep(0)
    assert given == list(range(1, 11))


async def test_a_database_that_is_away_is_asked_again_until_it_gives_numbers() -> None:
    """A refill that failed ended with an error that nobody saw, and the last number gone, no message of the shard could be
    decided on any more.
    """
    sequence = Sequence()
    order_numbers = OrderNumberBlocks(sequence.take, block=2, retry_s=0.0)
    await order_numbers.fill()
    sequence.refusals = 3
    assert [use(order_numbers), use(order_numbers)] == [1, 2]
    assert order_numbers.next == 0
    while not order_numbers.next:
        await asyncio.sleep(0)
    assert use(order_numbers) == 3
