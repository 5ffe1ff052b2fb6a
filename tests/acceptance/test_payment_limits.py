"""How many payments and refunds an order takes, until when, and whose word on them counts where events have to be confirmed.

A service of its own, whose limits are within a test's reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.broker import Broker
from tests.acceptance.listening import listening
from tests.acceptance.scenarios import SHIPPED, do, inject_fault, new_order, pay
from tests.acceptance.shop import Shop
from tests.acceptance.staff_cases import paid
from tests.acceptance.started import Started, until

pytestmark = pytest.mark.own_service

PAYMENTS_MAX = 3
REFUNDS_MAX = 100
WINDOW_S = 6
SETTINGS = {
    "SHARDS": "1",
    "PAYMENT_ATTEMPTS_MAX": str(PAYMENTS_MAX),
    "PAYMENT_EVENTS_CONFIRMED": "true",
    "PAYMENT_WINDOW_S": str(WINDOW_S),
}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with Started(tmp_path_factory.mktemp("limits") / "state", SETTINGS) as started:
        yield started


@pytest.fixture(scope="module")
def broker(started: Started) -> Iterator[Broker]:
    with listening(started) as broker:
        yield broker


@pytest.fixture(scope="module")
def shop(started: Started, broker: Broker) -> Shop:
    assert broker is not None
    return Shop(started.endpoints(), started.folder)


def ask_to_pay(shop: Shop, order_id: str, **body: Any) -> tuple[int, Any]:
    """Try to pay, and give what is answered."""
    path = f"/api/orders/{order_id}/payments"
    status, told, _ = shop.ask("POST", path, {"method": "card", **body}, key=str(uuid4()), Prefer="wait=10")
    return status, told


def allowed(shop: Shop, order_id: str) -> list[str]:
    """What is said to be legal now: in the refusal of a command that never is, before the order is prepared."""
    status, problem, _ = shop.ask("PUT", f"/api/orders/{order_id}/status", SHIPPED)
    assert (status, problem["code"]) == (409, "illegal_transition")
    return list(problem["allowed"])


def attend(shop: Shop, order_id: str, **body: Any) -> tuple[int, Any]:
    """Do something about an order, and give what is answered."""
    status, told, _ = shop.ask("POST", f"/api/orders/{order_id}/attention", body)
    return status, told


def reasons(order: Any) -> list[str]:
    """Why the order needs attention."""
    return [note["reason"] for note in order["attention"]]


def silent_payment(shop: Shop) -> tuple[str, Any]:
    """An order, and its payment of which PaymentSvc says no more than that it works on it."""
    order_id = new_order(shop)["id"]
    return order_id, pay(shop, order_id, token="tok_silence")


def confirm(shop: Shop, payment: Any) -> None:
    """PaymentSvc takes the money, and tells of it only when it is asked."""
    shop.partner("sandbox", "POST", f"/payments/{payment['payment_id']}/settle", {"status": "confirmed", "copies": 0})


def say_confirmed(broker: Broker, order_id: str, payment: Any, amount: int) -> None:
    """Say that the payment took so much, as whoever may publish where PaymentSvc does."""
    data = {
        "payment_id": payment["payment_id"],
        "order_id": order_id,
        "amount": {"amount": amount, "currency": "EUR"},
        "gateway_ref": "gw-forged",
    }
    broker.publish("PagoConfirmado", data)


def asked_about(shop: Shop, order_id: str) -> int:
    """How often PaymentSvc was asked about an order's payments since a knob counts it."""
    known = shop.partner("sandbox", "GET", "/knobs")["knobs"]
    return sum(each.get("hits", 0) for each in known if each.get("order_id") == order_id)


def test_an_order_takes_so_many_payments_and_no_more(shop: Shop) -> None:
    order_id = new_order(shop)["id"]
    for _ in range(PAYMENTS_MAX):
        assert "pay" in allowed(shop, order_id)
        status, payment = ask_to_pay(shop, order_id, token="tok_declined")
        assert (status, payment["status"]) == (201, "rejected")
    status, problem = ask_to_pay(shop, order_id)
    assert (status, problem["code"]) == (409, "too_many_payment_attempts")
    assert "pay" not in allowed(shop, order_id)
    assert len(shop.order(order_id)["payments"]) == PAYMENTS_MAX


def test_an_order_is_payable_until_its_time_is_over_and_not_again(shop: Shop) -> None:
    order = new_order(shop)
    expires_at = datetime.fromisoformat(order["expires_at"])
    seen: list[bool] = []

    def is_over() -> bool:
        seen.append("pay" in allowed(shop, order["id"]))
        return bool(shop.order(order["id"])["status"] == "cancelled")

    until(is_over, "expired", WINDOW_S * 5)
    assert datetime.now(UTC) >= expires_at
    assert seen[0]
    assert seen == sorted(seen, reverse=True)
    assert "pay" not in allowed(shop, order["id"])
    status, problem = ask_to_pay(shop, order["id"])
    assert (status, problem["code"], problem["allowed"]) == (409, "illegal_transition", [])
    assert shop.order(order["id"])["payments"] == []


def test_staff_can_not_try_a_refund_again_without_end(shop: Shop) -> None:
    order_id = paid(shop)
    inject_fault(shop, effect="decline", operation="refund", order_id=order_id)
    do(shop, "DELETE", f"/api/orders/{order_id}")

    def is_rejected() -> Any:
        order = shop.order(order_id)
        return order if "refund_rejected" in reasons(order) else None

    for _ in range(REFUNDS_MAX - 1):
        until(is_rejected, "the refund is rejected")
        assert attend(shop, order_id, action="retry")[0] == 200
    order = until(is_rejected, "the last refund is rejected")
    status, problem = attend(shop, order_id, action="retry")
    assert (status, problem["code"]) == (409, "too_many_refund_attempts")
    [note] = order["attention"]
    said = {"subject": note["subject"], "outcome": "refunded", "amount": order["totals"]["total"]}
    assert attend(shop, order_id, action="record", reference="by bank", note="n", **said)[0] == 200
    assert shop.reached(order_id, "cancelled")["totals"]["refunded"] == order["totals"]["total"]


def test_what_is_being_given_back_can_not_be_recorded_as_taken(shop: Shop) -> None:
    order_id = new_order(shop)["id"]
    payment = pay(shop, order_id, token="tok_mismatch")
    inject_fault(shop, effect="silence", operation="refund", order_id=order_id)
    do(shop, "DELETE", f"/api/orders/{order_id}")
    said = {"subject": payment["payment_id"], "outcome": "confirmed", "amount": 1}
    status, problem = attend(shop, order_id, action="record", reference="r", note="n", **said)
    assert (status, problem["code"]) == (409, "refund_in_progress")


def test_an_event_alone_pays_for_nothing(shop: Shop, broker: Broker) -> None:
    order_id, payment = silent_payment(shop)
    inject_fault(shop, effect="delay", delay_ms=0, operation="get_payment", order_id=order_id)
    say_confirmed(broker, order_id, payment, payment["amount"])
    until(lambda: asked_about(shop, order_id) >= 2, "PaymentSvc is asked, and asked again")
    order = shop.order(order_id)
    assert (order["status"], order["totals"]["paid"], order["needs_attention"]) == ("validated", 0, False)

    confirm(shop, payment)
    assert attend(shop, order_id, action="retry")[0] == 200
    assert shop.reached(order_id, "prepared")["totals"]["paid"] == payment["amount"]


def test_an_event_for_another_amount_than_paymentsvc_says_changes_nothing_and_needs_attention(
    shop: Shop, broker: Broker
) -> None:
    order_id, payment = silent_payment(shop)
    confirm(shop, payment)
    say_confirmed(broker, order_id, payment, payment["amount"] - 1)

    def needs_attention() -> Any:
        order = shop.order(order_id)
        return order if order["needs_attention"] else None

    order = until(needs_attention, "attention")
    assert reasons(order) == ["payment_contradicted"]
    assert (order["status"], order["totals"]["paid"]) == ("validated", 0)
    _, payments, _ = shop.ask("GET", f"/api/orders/{order_id}/payments")
    assert payments["ledger"] == []

    said = {"subject": payment["payment_id"], "outcome": "confirmed", "amount": payment["amount"]}
    assert attend(shop, order_id, action="record", reference="r", note="seen at the bank", **said)[0] == 200
    order = shop.reached(order_id, "prepared")
    assert (order["totals"]["paid"], order["needs_attention"]) == (payment["amount"], False)
