from __future__ import annotations

from typing import Any

import pytest

from actors.order.replies import Reply
from domain.commands import Pay
from domain.payments import PaymentStatus, Transaction, TransactionType
from tests.unit.api.harness import NOW, ORDER_ID, PAYMENT_ID, World, a_payment, an_order, token

PAYMENTS = f"/api/orders/{ORDER_ID}/payments"


async def test_a_payment_is_accepted_and_told_where_it_is(world: World) -> None:
    answered = await world.ask("POST", PAYMENTS, json={"method": "card", "token": "tok", "amount": 100}, key="k")
    assert answered.status == 202
    assert answered.headers["location"] == f"{PAYMENTS}/{PAYMENT_ID}"
    assert answered.json["payment_id"] == PAYMENT_ID
    assert world.router.message.body == Pay("card", "tok", 100)


async def test_a_payment_without_a_key_is_refused(world: World) -> None:
    answered = await world.ask("POST", PAYMENTS, json={"method": "card"})
    assert (answered.status, answered.code) == (400, "idempotency_key_missing")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (PaymentStatus.CONFIRMED, 201),
        (PaymentStatus.REJECTED, 201),
        (PaymentStatus.PROCESSING, 202),
        (PaymentStatus.IN_DOUBT, 202),
    ],
)
async def test_a_payment_that_settles_within_the_wait_is_made(
    world: World, status: PaymentStatus, expected: int
) -> None:
    world.queries.keep(an_order(payments=(a_payment(status=status),)))
    answered = await world.ask("POST", PAYMENTS, json={"method": "card"}, key="k", headers={"prefer": "wait=2"})
    assert world.router.waited == [(ORDER_ID, f"payment:{PAYMENT_ID}", 2.0)]
    assert answered.status == expected
    assert answered.json["status"] == status.value
    assert answered.headers["preference-applied"] == "wait=2"


async def test_the_payment_that_the_wait_told_is_answered_without_reading(world: World) -> None:
    world.router.become = Reply(
        document=b'{"status":"rejected"}', version=5, resource="payment", resource_id=PAYMENT_ID
    )
    world.queries.away = True
    answered = await world.ask("POST", PAYMENTS, json={"method": "card"}, key="k", headers={"prefer": "wait=2"})
    assert (answered.status, answered.json) == (201, {"status": "rejected"})
    assert answered.headers["preference-applied"] == "wait=2"


async def test_a_payment_whose_wait_ends_without_a_database_is_accepted(world: World) -> None:
    world.queries.away = True
    answered = await world.ask("POST", PAYMENTS, json={"method": "card"}, key="k", headers={"prefer": "wait=2"})
    assert answered.status == 202


@pytest.mark.parametrize("amount", [0, -1, 2**53, 1.5, "100"])
async def test_an_amount_that_is_none_is_refused(world: World, amount: Any) -> None:
    answered = await world.ask("POST", PAYMENTS, json={"method": "card", "amount": amount}, key="k")
    assert (answered.status, answered.code) == (422, "invalid_amount")


async def test_payments_are_listed_with_the_ledger(world: World) -> None:
    entry = Transaction(
        transaction_id="t-1",
        type=TransactionType.CHARGE,
        payment_id=PAYMENT_ID,
        refund_id=None,
        amount=7125,
        currency="EUR",
        at=NOW,
    )
    world.queries.keep(an_order(payments=(a_payment(),), ledger=(entry,)))
    document = (await world.ask("GET", PAYMENTS)).json
    assert document["payments"][0]["payment_id"] == PAYMENT_ID
    assert document["ledger"][0]["transaction_id"] == "t-1"


async def test_the_payment_status_is_not_taken_for_a_payments_id(world: World) -> None:
    world.queries.keep(an_order(payments=(a_payment(status=PaymentStatus.IN_DOUBT),)))
    document = (await world.ask("GET", f"{PAYMENTS}/status")).json
    assert document["payment_status"] == "in_doubt"
    assert document["in_doubt"] is True
    assert document["attempts"][0]["payment_id"] == PAYMENT_ID


async def test_one_payment_is_shown(world: World) -> None:
    world.queries.keep(an_order(payments=(a_payment(),)))
    assert (await world.ask("GET", f"{PAYMENTS}/{PAYMENT_ID}")).json["amount"] == 7125


async def test_a_payment_that_the_order_does_not_have_is_not_found(world: World) -> None:
    world.queries.keep(an_order())
    answered = await world.ask("GET", f"{PAYMENTS}/{PAYMENT_ID}")
    assert (answered.status, answered.code) == (404, "payment_not_found")


@pytest.mark.parametrize("path", ["", "/status", f"/{PAYMENT_ID}"])
async def test_payments_of_another_customers_order_are_not_found(world: World, path: str) -> None:
    world.queries.keep(an_order(payments=(a_payment(),)))
    answered = await world.ask("GET", PAYMENTS + path, token=token(customer_id="c-2"))
    assert (answered.status, answered.code) == (404, "order_not_found")
