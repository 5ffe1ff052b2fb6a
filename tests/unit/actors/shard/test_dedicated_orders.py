"""What a shard does after a commit for orders with a process to themselves, or that are to get one."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from msgspec.structs import replace

from actors.rpc.process_names import SUPERVISOR
from actors.shard.dedicated_orders import DedicatedOrders, DedicatedPolicy
from domain.order import Order, Status
from domain.slices import DEDICATED, dedicated_partition
from tests.unit.sagas.builders import Story


class Surrounded:
    """A shard's partitions, its publisher and the supervisor, all of which do at once what they are asked."""

    def __init__(self, *partitions: str) -> None:
        self.mine = frozenset(partitions)
        self.emptied = asyncio.Event()
        self.emptied.set()
        self.found = self.emptied
        self.done: list[tuple[str, ...]] = []

    def recheck_soon(self) -> None:
        self.done.append(("look",))

    async def stop_publishing(self) -> None:
        self.done.append(("stop publishing",))

    def get(self, name: str) -> Any:
        assert name == SUPERVISOR
        return self

    async def call(self, method: str, order_id: str) -> bool:
        self.done.append((method, order_id))
        return True


async def after_a_commit(name: str, order: Order, *partitions: str) -> list[tuple[str, ...]]:
    """Give what is done, where each order is to have a process of its own."""
    context = Surrounded(*partitions)
    any_of_it = cast("Any", context)
    dedicated = DedicatedOrders(DedicatedPolicy(mode="all"), name, any_of_it, any_of_it, context.stop_publishing)
    dedicated.committed(order)
    for _ in range(10):
        await asyncio.sleep(0)
    return context.done


def a_closed_order() -> Order:
    return replace(Story().order, status=Status.CANCELLED, steps=())


async def test_the_process_of_one_order_goes_home_when_that_is_closed() -> None:
    order, closed = Story().order, a_closed_order()
    own = dedicated_partition(order.id)
    assert await after_a_commit(own, order, own) == []
    assert await after_a_commit(own, closed, own) == [("look",), ("stop publishing",), ("dismiss", order.id)]


@pytest.mark.parametrize("name", ["order-shard-0", DEDICATED + "018f0000-0000-8000-8000-000000000001"])
async def test_a_shard_that_has_taken_it_over_goes_on(name: str) -> None:
    """It stopped its publisher, and nothing that its own orders had to say was published any more."""
    closed = a_closed_order()
    assert await after_a_commit(name, closed, dedicated_partition(closed.id)) == []


async def test_only_an_open_order_without_a_partition_of_its_own_gets_a_process() -> None:
    order = Story().order
    assert await after_a_commit("order-shard-0", order, "0") == [("dedicate", order.id)]
    assert await after_a_commit("order-shard-0", order, "0", dedicated_partition(order.id)) == []
    assert await after_a_commit("order-shard-0", a_closed_order(), "0") == []
