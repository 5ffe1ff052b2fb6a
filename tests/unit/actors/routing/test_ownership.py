"""Who owns an order, as a router knows it: what the tables said when they were read last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.routing.ownership import Ownership
from domain.slices import dedicated_partition, partition_of

ORDER = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"


class Table:
    """The tables, or nothing while they can't be read."""

    def __init__(self) -> None:
        self.owners: dict[str, str | None] = {}
        self.is_readable = True
        self.readings = 0
        self.forgotten: list[str] = []

    async def read(self) -> dict[str, str | None]:
        self.readings += 1
        if not self.is_readable:
            raise OSError("away")
        return dict(self.owners)


async def test_an_order_is_owned_with_its_partition_and_one_of_its_own_comes_first() -> None:
    table = Table()
    ownership = Ownership(table.read, table.forgotten.append)
    await ownership.refresh()
    assert ownership.owner_of(ORDER) is None
    table.owners = {partition_of(ORDER): "order-shard-1"}
    await ownership.refresh()
    assert ownership.owner_of(ORDER) == "order-shard-1"
    table.owners[dedicated_partition(ORDER)] = "order-x"
    await ownership.refresh()
    assert ownership.owner_of(ORDER) == "order-x"


async def test_the_process_of_an_order_that_has_none_any_more_is_forgotten() -> None:
    """Each was looked for ever after, until there was no room for more."""
    table = Table()
    dedicated = dedicated_partition(ORDER)
    table.owners = {partition_of(ORDER): "order-shard-1", dedicated: dedicated}
    ownership = Ownership(table.read, table.forgotten.append)
    await ownership.refresh()
    table.owners = {partition_of(ORDER): "order-shard-0"}
    await ownership.refresh()
    assert table.forgotten == [dedicated]


async def test_a_reading_that_fails_leaves_the_last_one() -> None:
    table = Table()
    table.owners = {partition_of(ORDER): "order-shard-1"}
    ownership = Ownership(table.read, table.forgotten.append)
    await ownership.refresh()
    table.is_readable = False
    await ownership.refresh()
    assert ownership.owner_of(ORDER) == "order-shard-1"


async def test_the_tables_are_read_at_the_start_and_again_and_again_until_it_is_stopped() -> None:
    table = Table()
    ownership = Ownership(table.read, table.forgotten.append, read_every_s=0.001)
    await ownership.start()
    await _until(lambda: table.readings >= 3)
    await ownership.stop()


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.001)
