from __future__ import annotations

import asyncio
import json

import pytest
from msgspec.structs import replace

from actors.order.messages import NotOwner
from actors.order.waiters import Waiters, reached, shown
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
    waiters = Waiters()
    created, validated = at(Status.CREATED).order, at(Status.VALIDATED).order
    waiting = asyncio.create_task(waiters.until(created.id, "validated"))
    await asyncio.sleep(0)
    waiters.committed(created)
    waiters.committed(validated)
    assert await waiting is validated


async def test_who_waits_hears_that_the_order_has_moved() -> None:
    waiters = Waiters()
    one, other = (asyncio.create_task(waiters.until(name, "validated")) for name in ("one", "other"))
    await asyncio.sleep(0)
    waiters.not_owner(lambda order_id: order_id == "one", NotOwner("there"))
    assert await one == NotOwner("there")
    assert not other.done()
    waiters.not_owner(lambda _: True, NotOwner(""))
    assert await other == NotOwner("")


def test_what_is_told_is_the_payment_or_the_order_that_was_waited_for() -> None:
    order = at(Status.PAID).order
    payment_id = order.payments[0].payment_id
    assert json.loads(shown(order, f"payment:{payment_id}").document)["payment_id"] == payment_id
    assert json.loads(shown(order, "validated").document)["id"] == order.id
    assert shown(order, "validated").version == order.version
