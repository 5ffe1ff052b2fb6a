"""Each state that needs attention and each verb that ends it, as docs/operations.md has them, over HTTP.

The orders are made first, all of them: a step uses up its fast tries in half a minute, and all may do so at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.broker import Broker
from tests.acceptance.listening import listening
from tests.acceptance.shop import Shop
from tests.acceptance.staff_cases import CASES, Case
from tests.acceptance.started import Started, until

pytestmark = pytest.mark.own_service

SETTINGS = {
    "SHARDS": "1",
    "PAYMENT_ATTENTION_S": "3",
    "PARTNER_ATTEMPTS_MAX": "1",
    "PARTNER_CALL_TIMEOUT_S": "30",  # an answer may be late
    "PARTNER_TOTAL_TIMEOUT_S": "40",
    "BREAKER_FAILURES_MAX": "10000",
}
NOTED_LIMIT_S = 120.0
HELD = {"validated": "held", "prepared": "committed", "cancelled": "released"}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with Started(tmp_path_factory.mktemp("staff") / "state", SETTINGS) as started:
        yield started


@pytest.fixture(scope="module")
def broker(started: Started) -> Iterator[Broker]:
    with listening(started) as broker:
        yield broker


@pytest.fixture(scope="module")
def shop(started: Started) -> Shop:
    return Shop(started.endpoints(), started.folder)


@pytest.fixture(scope="module")
def orders(shop: Shop, broker: Broker) -> dict[str, str]:
    """An order for each case."""
    return {case.name: case.make(shop, broker) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verb_ends_what_needed_attention(shop: Shop, orders: dict[str, str], case: Case) -> None:
    order_id = orders[case.name]
    order = noted(shop, order_id, case.reason)
    assert order["saga"]["state"] == "needs_attention"
    seen_by_customer(shop, order)

    case.before(shop, order_id)
    body = {"action": case.verb, "note": f"note of {case.name}", **case.more(order)}
    status, told, _ = shop.ask("POST", f"/api/orders/{order_id}/attention", body)
    assert status == 200, told

    def is_over() -> Any:
        found = shop.order(order_id)
        return found if found["status"] == case.becomes and not found["needs_attention"] else None

    ended = until(is_over, f"{case.name}: {case.becomes}, without attention: {shop.order(order_id)}", 60.0)
    assert ended["attention"] == []
    assert net_of_service(shop, order_id) - net_of_partner(shop, order_id) == case.outside(ended)
    assert held(shop, order_id) == HELD[case.becomes]
    if case.verb != "skip_to_compensation":  # its note is the cancellation's
        _, timeline, _ = shop.ask("GET", f"/api/orders/{order_id}/timeline")
        assert body["note"] in [row.get("note") for row in timeline["data"]]


def test_what_paymentsvc_says_later_and_otherwise_needs_attention_again_and_moves_nothing(shop: Shop) -> None:
    """Staff record that nothing was taken, and the customer pays once more; then PaymentSvc confirms the first payment."""
    order_id = shop.create()["id"]
    first = shop.ask("POST", f"/api/orders/{order_id}/payments", {"method": "card", "token": "tok_silence"}, key="1")[1]
    said = {"subject": first["payment_id"].upper(), "outcome": "rejected", "amount": 0, "reference": "r", "note": "n"}
    assert shop.ask("POST", f"/api/orders/{order_id}/attention", {"action": "record", **said})[0] == 200
    assert shop.ask("POST", f"/api/orders/{order_id}/payments", {"method": "card"}, key="2", Prefer="wait=10")[0] == 201
    shop.reached(order_id, "prepared")

    shop.partner("sandbox", "POST", f"/payments/{first['payment_id']}/settle", {"status": "confirmed"})
    order = noted(shop, order_id, "payment_contradicted")

    def is_given_back() -> bool:
        total: int = order["totals"]["total"]
        return net_of_service(shop, order_id) == net_of_partner(shop, order_id) == total

    until(is_given_back, "the surplus given back once")
    assert len(shop.partner("sandbox", "GET", f"/ledger?order_id={order_id}")["refunds"]) == 1


def noted(shop: Shop, order_id: str, reason: str) -> Any:
    """The order, once it needs attention for that reason."""

    def there() -> Any:
        order = shop.order(order_id)
        return order if reason in [note["reason"] for note in order["attention"]] else None

    return until(there, f"{reason} of {order_id}: {shop.order(order_id)}", NOTED_LIMIT_S)


def seen_by_customer(shop: Shop, order: Any) -> None:
    """The order's customer sees that something is the matter, and not what."""
    token = shop.token("orders:read", customer=order["customer"]["id"])
    _, shown, _ = shop.ask("GET", f"/api/orders/{order['id']}", token=token)
    assert (shown["needs_attention"], shown["attention"], shown["saga"]["last_error"]) == (True, [], None)
    _, timeline, _ = shop.ask("GET", f"/api/orders/{order['id']}/timeline", token=token)
    assert all("note" not in row for row in timeline["data"])
    assert all("id" not in row["actor"] for row in timeline["data"] if row["actor"]["type"] == "staff")


def net_of_service(shop: Shop, order_id: str) -> int:
    """What the order has of its customer's money by the service's ledger."""
    _, answer, _ = shop.ask("GET", f"/api/orders/{order_id}/payments")
    return sum(entry["amount"] if entry["type"] == "charge" else -entry["amount"] for entry in answer["ledger"])


def net_of_partner(shop: Shop, order_id: str) -> int:
    """The same by PaymentSvc's own books; what is on its way has not moved."""
    books = shop.partner("sandbox", "GET", f"/ledger?order_id={order_id}")
    taken: int = sum(charge["amount"]["amount"] for charge in books["charges"] if charge["status"] == "confirmed")
    given_back: int = sum(refund["amount"] for refund in books["refunds"] if refund["status"] == "refunded")
    return taken - given_back


def held(shop: Shop, order_id: str) -> str:
    """What ProductSvc says of the order's stock."""
    [hold] = shop.partner("sandbox", "GET", f"/ledger?order_id={order_id}")["holds"]
    return str(hold["state"])
