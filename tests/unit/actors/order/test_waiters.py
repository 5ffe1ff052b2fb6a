from __future__ import annotations

import asyncio
import json

import pytest
from msgspec.structs import replace

from actors.order.messages import Moved
from actors.order.waiters import Watches, reached, shown
from domain.order import Status, ValidationError
from tests.unit.sagas.builders import at


@pytest.mark.parametrize("status", list(Status))
def test_validation_is_awaited_until_the_order_is_past_it_or_cancelled(status: Status) -> None:
    assert reached(at(status).order, "validated") == (status not in {Status.CREATED, Status.CANCELLING})


def test_an_order_that_waits_for_an_edit_is_not_awaited_but_one_whose_stock_is_still_given_back_is() -> None:
    errors = (ValidationError("out_of_stock", "pen", "nothing is left"),)
    for status, is_reached in ((Status.CREATED, True), (Status.CANCELLING, False), (Status.CANCELLED, True)):
        assert reached(replace(at(status).order, validation_errors=errors), "validated") is is_reached


async def test_who_waits_gets_the_order_of_the_commit_that_brought_it_there() -> None:
    watches = Watches()
    created, validated = at(Status.CREATED).order, at(Status.VALIDATED).order
    waiting = asyncio.create_task(watches.until(created.id, "validated"))
    await asyncio.sleep(0)
    watches.committed(created)
    watches.committed(validated)
    assert await waiting is validated


async def test_who_waits_hears_that_the_order_has_moved() -> None:
    watches = Watches()
    one, other = (asyncio.create_task(watches.until(name, "validated")) for name in ("one", "other"))
    await asyncio.sleep(0)
    watches.moved(lambda order_id: order_id == "one", Moved("there"))
    assert await one == Moved("there")
    assert not other.done()
    watches.moved(lambda _: True, Moved(""))
    assert await other == Moved("")


def test_what_is_told_is_the_payment_or_the_order_that_was_waited_for() -> None:
    order = at(Status.PAID).order
    payment_id = order.payments[0].payment_id
    assert json.loads(shown(order, f"payment:{payment_id}").document)["payment_id"] == payment_id
    assert json.loads(shown(order, "validated").document)["id"] == order.id
    assert shown(order, "validated").version == order.version
