from __future__ import annotations

from msgspec.structs import replace

from actors.processes.order_shard import OrderShard
from domain.order import Order, Status
from domain.slices import DEDICATED, dedicated_group
from settings import Settings
from tests.unit.sagas.making import Story


def a_closed_order() -> Order:
    return replace(Story().order, status=Status.CANCELLED, steps=())


def test_the_process_of_one_order_is_done_when_that_is_closed() -> None:
    order = a_closed_order()
    own = OrderShard(dedicated_group(order.id), Settings())
    assert own._is_done(dedicated_group(order.id), order)
    assert not own._is_done(dedicated_group(order.id), Story().order)


def test_a_shard_that_stood_in_for_it_goes_on() -> None:
    """It stopped its publisher, and nothing that its own orders had to say was published any more."""
    order = a_closed_order()
    for name in ("order-shard-0", DEDICATED + "018f0000-0000-8000-8000-000000000001"):
        assert not OrderShard(name, Settings())._is_done(dedicated_group(order.id), order)
