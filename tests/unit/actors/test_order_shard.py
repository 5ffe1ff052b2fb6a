"""What the process of a shard does after a commit for orders with a process to themselves."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from msgspec.structs import replace

from actors.dedicated import DedicatedOrders
from actors.peers import Peers
from actors.processes.order_shard import OrderShard
from domain.order import Order, Status
from domain.slices import DEDICATED, dedicated_partition
from settings import Settings
from tests.unit.sagas.making import Story


class Owning:
    """A shard that owns these partitions."""

    def __init__(self, *partitions: str) -> None:
        self.mine = frozenset(partitions)
        self.partitions = self


class Considered:
    """Takes the place of ``DedicatedOrders``."""

    def __init__(self) -> None:
        self.orders: list[str] = []

    def consider(self, order: Order) -> None:
        self.orders.append(order.id)


async def after_a_commit(name: str, order: Order, *partitions: str) -> tuple[list[str], list[str]]:
    """Give the orders that were considered for a process of their own, and those whose process goes home."""
    process: Any = OrderShard(name, Settings())
    process._shard = Owning(*partitions)
    gone_home: list[str] = []

    async def go_home(_: Peers, order_id: str) -> None:
        gone_home.append(order_id)

    process._go_home = go_home
    considered = Considered()
    process._committed(cast("DedicatedOrders", considered), cast("Peers", None), order)
    await asyncio.sleep(0)
    return considered.orders, gone_home


def a_closed_order() -> Order:
    return replace(Story().order, status=Status.CANCELLED, steps=())


async def test_the_process_of_one_order_goes_home_when_that_is_closed() -> None:
    order, closed = Story().order, a_closed_order()
    own = dedicated_partition(order.id)
    assert await after_a_commit(own, order, own) == ([], [])
    assert await after_a_commit(own, closed, own) == ([], [order.id])


@pytest.mark.parametrize("name", ["order-shard-0", DEDICATED + "018f0000-0000-8000-8000-000000000001"])
async def test_a_shard_that_has_taken_it_over_goes_on(name: str) -> None:
    """It stopped its publisher, and nothing that its own orders had to say was published any more."""
    closed = a_closed_order()
    assert await after_a_commit(name, closed, dedicated_partition(closed.id)) == ([], [])


async def test_only_an_order_without_a_partition_of_its_own_is_considered_for_a_process() -> None:
    order = Story().order
    assert await after_a_commit("order-shard-0", order, "0") == ([order.id], [])
    assert await after_a_commit("order-shard-0", order, "0", dedicated_partition(order.id)) == ([], [])
