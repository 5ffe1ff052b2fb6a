"""What partners say over RabbitMQ, and what becomes of it: every case of contracts/events.md, "Consumed by OrderSvc"."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from domain.ids import payment_id
from tests.acceptance.broker import DEAD_LETTERS, RETRIES, Broker
from tests.acceptance.shop import Shop
from tests.acceptance.started import until

SILENT = "tok_silence"  # PaymentSvc says "processing", and no more until it is told to


@pytest.fixture(autouse=True)
def well_behaved(shop: Shop) -> Iterator[None]:
    """Whatever a test did to the partners' behaviour ends with it."""
    yield
    shop.partner("sandbox", "DELETE", "/knobs")


def pay(shop: Shop, order_id: str, token: str | None = SILENT) -> str:
    """Start a payment; gives its id."""
    body = {"method": "card", **({} if token is None else {"token": token})}
    status, payment, _ = shop.ask("POST", f"/api/orders/{order_id}/payments", body, key=str(uuid4()))
    assert status == 202, payment
    return str(payment["payment_id"])


def settle(shop: Shop, payment: str, status: str = "confirmed", copies: int = 1) -> None:
    """Let PaymentSvc settle a payment and say so."""
    body = {"status": status, "copies": copies}
    until(lambda: known_to_payment_svc(shop, payment), "the charge is at PaymentSvc")
    shop.partner("sandbox", "POST", f"/payments/{payment}/settle", body)


def known_to_payment_svc(shop: Shop, payment: str) -> bool:
    charges = shop.partner("sandbox", "GET", "/ledger")["charges"]
    return any(charge["payment_id"] == payment for charge in charges)


def money(order: Any) -> dict[str, Any]:
    return {"amount": order["totals"]["total"], "currency": order["currency"]}


def ledger(shop: Shop, order_id: str) -> list[tuple[str, int, str]]:
    """The entries of an order's ledger: type, amount, currency."""
    status, found, _ = shop.ask("GET", f"/api/orders/{order_id}/payments")
    assert status == 200
    return [(entry["type"], entry["amount"], entry["currency"]) for entry in found["ledger"]]


def payment_status(shop: Shop, order_id: str) -> Any:
    status, found, _ = shop.ask("GET", f"/api/orders/{order_id}/payments/status")
    assert status == 200
    return found


def attempt(shop: Shop, order_id: str, status: str) -> None:
    """Return when the order's only attempt to pay is so."""
    until(
        lambda: [each["status"] for each in payment_status(shop, order_id)["attempts"]] == [status],
        f"the payment of {order_id} is {status}",
    )


def waits_with(broker: Broker, message_id: str, reason: str) -> None:
    """Return when a message was tried, and waits to be tried again because of ``reason``."""
    _, message = until(lambda: broker.retry_of(message_id), f"{message_id} waits")
    assert message.headers["x-reason"] == reason, message.headers
    assert message.headers["x-attempt"] >= 1


def tries_of(broker: Broker, message_id: str) -> int:
    """How often a message that waits has been tried; 0 while it does not wait."""
    where = broker.retry_of(message_id)
    return 0 if where is None else int(where[1].headers["x-attempt"])


def taken_off(broker: Broker, message_id: str) -> None:
    """Take a message that waits to be tried again away for good."""
    until(
        lambda: any(broker.take_away(queue, message_id) for queue in RETRIES),
        f"{message_id} is taken away",
    )


def handled(broker: Broker, order_id: str) -> None:
    """Return when what was published before for an order, which is past caring for its hold, has been handed to it.

    News of its hold are no more to it than that, and the event waits for the other order that nobody knows: it is seen
    to wait once both have been asked.
    """
    lost = {"sku": "marker", "available": 0, "version": 0, "lost_holds": [order_id, str(uuid4())]}
    marker = broker.publish("InventarioActualizado", lost)
    waits_with(broker, marker, "order_not_found")
    taken_off(broker, marker)


# Money


def test_a_confirmation_is_charged_once_however_often_and_under_whatever_id_it_comes(
    shop: Shop, broker: Broker
) -> None:
    order = shop.create()
    payment = pay(shop, order["id"])
    settle(shop, payment, copies=3)
    shop.partner("sandbox", "POST", f"/payments/{payment}/announce", {"copies": 2})
    prepared = shop.reached(order["id"], "prepared")
    # Hours later, after everything else, once more.
    confirmed = {"payment_id": payment, "order_id": order["id"], "amount": money(order)}
    broker.publish("PagoConfirmado", confirmed)
    handled(broker, order["id"])
    assert ledger(shop, order["id"]) == [("charge", order["totals"]["total"], "EUR")]
    assert shop.order(order["id"])["version"] == prepared["version"]
    assert [event["type"] for event in broker.told(order["id"], "PedidoConfirmado")].count("PagoRecibido") == 1


def test_a_confirmation_that_comes_before_our_own_commit_of_the_attempt_waits_for_it(
    shop: Shop, broker: Broker
) -> None:
    order = shop.create()
    confirmed = {"payment_id": payment_id(order["id"], 1), "order_id": order["id"], "amount": money(order)}
    event = broker.publish("PagoConfirmado", confirmed)
    waits_with(broker, event, "payment_not_found")
    assert pay(shop, order["id"]) == confirmed["payment_id"]
    hastened = any(broker.hasten(queue, event) for queue in RETRIES)
    assert shop.reached(order["id"], "prepared")["payment_status"] == "paid", hastened
    assert ledger(shop, order["id"]) == [("charge", order["totals"]["total"], "EUR")]


WRITTEN: dict[str, Callable[[dict[str, Any], dict[str, Any]], tuple[Any, dict[str, Any]]]] = {
    "ids_in_capitals": lambda attributes, data: (
        {
            **attributes,
            "data": {**data, "payment_id": data["payment_id"].upper(), "order_id": data["order_id"].upper()},
        },
        {},
    ),
    "amount_with_a_fraction_of_zero": lambda attributes, data: (
        {**attributes, "data": {**data, "amount": {**data["amount"], "amount": float(data["amount"]["amount"])}}},
        {},
    ),
    "time_of_nobodys_calendar": lambda attributes, data: (
        {**attributes, "time": "0001-01-01T00:00:00+01:00", "data": data},
        {"timestamp": 0},
    ),
    "data_in_base64": lambda attributes, data: (
        {**attributes, "data_base64": base64.b64encode(json.dumps(data).encode()).decode()},
        {"content_type": "application/cloudevents+json; charset=utf-8"},
    ),
    "binary_mode": lambda attributes, data: (
        data,
        {
            "headers": {f"cloudEvents_{name}": value for name, value in attributes.items()},
            "content_type": "application/json",
        },
    ),
    "binary_mode_with_colons": lambda attributes, data: (
        data,
        {
            "headers": {f"cloudEvents:{name}": value for name, value in attributes.items()},
            "content_type": "application/json; charset=utf-8",
        },
    ),
}


@pytest.mark.parametrize("written", [*WRITTEN])
def test_a_confirmation_counts_however_it_is_written(shop: Shop, broker: Broker, written: str) -> None:
    order = shop.create()
    payment = pay(shop, order["id"])
    attributes = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/tests",
        "type": "PagoConfirmado",
        "time": "2026-11-24T10:15:30Z",
    }
    data = {"payment_id": payment, "order_id": order["id"], "amount": money(order)}
    body, properties = WRITTEN[written](attributes, data)
    broker.send("PagoConfirmado", json.dumps(body).encode(), message_id=attributes["id"], **properties)
    assert shop.reached(order["id"], "prepared")["payment_status"] == "paid"
    assert ledger(shop, order["id"]) == [("charge", order["totals"]["total"], "EUR")]


def test_a_confirmation_from_another_partners_exchange_pays_nothing(shop: Shop, broker: Broker) -> None:
    """Whoever may publish for ProductSvc could have orders marked as paid."""
    order = shop.create()
    payment = pay(shop, order["id"])
    data = {"payment_id": payment, "order_id": order["id"], "amount": money(order)}
    event_id = str(uuid4())
    attributes = {"specversion": "1.0", "id": event_id, "source": "/tests", "time": "2026-11-24T10:15:30Z"}
    broker.send(
        "PagoConfirmado",
        json.dumps({**attributes, "type": "PagoConfirmado", "data": data}).encode(),
        message_id=event_id,
        exchange="productsvc.events",
        routing_key="InventarioActualizado",
        headers={"x-original-exchange": "paymentsvc.events"},
    )
    letter = broker.arrived(DEAD_LETTERS, event_id)
    assert (letter.headers["x-reason"], letter.headers["x-original-exchange"]) == (
        "wrong_exchange",
        "productsvc.events",
    )
    assert ledger(shop, order["id"]) == []
    assert shop.order(order["id"])["payment_status"] == "pending"
    assert broker.take_away(DEAD_LETTERS, event_id)


def test_a_rejection_closes_the_attempt_and_another_may_follow(shop: Shop, broker: Broker) -> None:
    order = shop.create()
    payment = pay(shop, order["id"])
    rejected = {"payment_id": payment, "order_id": order["id"], "code": "card_declined", "message": "No."}
    broker.publish("PagoRechazado", rejected, copies=2)
    attempt(shop, order["id"], "rejected")
    assert payment_status(shop, order["id"])["attempts"][0]["code"] == "card_declined"
    found = shop.order(order["id"])
    assert (found["status"], found["payment_status"]) == ("validated", "unpaid")
    pay(shop, order["id"], token=None)
    shop.reached(order["id"], "prepared")
    assert ledger(shop, order["id"]) == [("charge", order["totals"]["total"], "EUR")]


def test_money_that_was_taken_counts_whatever_was_said_first(shop: Shop, broker: Broker) -> None:
    order = shop.create()
    payment = pay(shop, order["id"])
    broker.publish("PagoRechazado", {"payment_id": payment, "order_id": order["id"], "code": "card_declined"})
    attempt(shop, order["id"], "rejected")
    settle(shop, payment)
    prepared = shop.reached(order["id"], "prepared")
    # And a rejection that comes after the confirmation takes nothing back.
    broker.publish("PagoRechazado", {"payment_id": payment, "order_id": order["id"], "code": "card_declined"})
    handled(broker, order["id"])
    assert shop.order(order["id"])["version"] == prepared["version"]
    assert ledger(shop, order["id"]) == [("charge", order["totals"]["total"], "EUR")]


@pytest.mark.parametrize(
    ("taken", "paid"), [({"amount_delta": 100}, 100), ({"amount_delta": 0, "currency": "CHF"}, None)]
)
def test_a_confirmation_for_another_amount_or_currency_never_advances_the_order_and_goes_back_when_it_is_cancelled(
    shop: Shop, broker: Broker, taken: dict[str, Any], paid: int | None
) -> None:
    order = shop.create()
    total = order["totals"]["total"]
    for effect in ({"effect": "silence"}, {"effect": "mismatch", **taken}):
        shop.partner("sandbox", "POST", "/knobs", {**effect, "operation": "charge", "order_id": order["id"]})
    payment = pay(shop, order["id"], token=None)
    settle(shop, payment)
    attempt(shop, order["id"], "mismatched")
    found = shop.order(order["id"])
    assert (found["status"], found["needs_attention"]) == ("validated", True)
    assert found["totals"]["paid"] == (0 if paid is None else total + paid)
    status, problem, _ = shop.ask("POST", f"/api/orders/{order['id']}/payments", {"method": "card"}, key=str(uuid4()))
    assert (status, problem["code"]) == (409, "payment_mismatched")

    assert shop.ask("DELETE", f"/api/orders/{order['id']}")[0] in (200, 202)
    cancelled = shop.reached(order["id"], "cancelled")
    assert (cancelled["totals"]["balance"], cancelled["needs_attention"]) == (0, False)
    amount, currency = total + taken["amount_delta"], taken.get("currency", "EUR")
    assert ledger(shop, order["id"]) == [("charge", amount, currency), ("refund", amount, currency)]
    assert given_back(shop, order["id"]) == amount
    assert "PagoRecibido" not in {event["type"] for event in broker.told(order["id"], "PedidoCancelado")}


def given_back(shop: Shop, order_id: str) -> int:
    """What PaymentSvc itself says it gave back for an order."""
    refunds = shop.partner("sandbox", "GET", f"/ledger?order_id={order_id}")["refunds"]
    return sum(refund["amount"] for refund in refunds if refund["status"] == "refunded")


def test_money_for_a_cancelled_order_goes_back_by_itself(shop: Shop, broker: Broker) -> None:
    order = shop.create()
    total = order["totals"]["total"]
    payment = pay(shop, order["id"])
    broker.publish("PagoRechazado", {"payment_id": payment, "order_id": order["id"], "code": "card_declined"})
    attempt(shop, order["id"], "rejected")
    assert shop.ask("DELETE", f"/api/orders/{order['id']}")[0] in (200, 202)
    shop.reached(order["id"], "cancelled")
    events = len(broker.told(order["id"], "PedidoCancelado"))

    settle(shop, payment)
    until(lambda: len(ledger(shop, order["id"])) == 2, "the money went back")
    assert ledger(shop, order["id"]) == [("charge", total, "EUR"), ("refund", total, "EUR")]
    assert given_back(shop, order["id"]) == total
    found = shop.order(order["id"])
    assert (found["status"], found["totals"]["balance"]) == ("cancelled", 0)
    late = until(lambda: broker.of(order["id"])[events + 1 :], "both are told of")
    assert {event["type"] for event in late} == {"PedidoActualizado"}


# What is not known


def test_an_event_for_an_order_that_does_not_exist_is_tried_after_each_delay_and_then_set_aside(
    shop: Shop, broker: Broker
) -> None:
    nobody = str(uuid4())
    confirmed = {"payment_id": "p-1", "order_id": nobody, "amount": {"amount": 100, "currency": "EUR"}}
    event = broker.publish("PagoConfirmado", confirmed)
    # The first delay is waited for; the others are hastened, as they grow to five minutes.
    tried: dict[str, int] = {}

    def is_set_aside() -> bool:
        where = broker.retry_of(event)
        if where is not None:
            queue, message = where
            tried[queue] = message.headers["x-attempt"]
            assert message.headers["x-reason"] == "order_not_found"
            assert message.headers["x-original-exchange"] == "paymentsvc.events"
            if queue != RETRIES[0]:
                broker.hasten(queue, event)
        return broker.find(DEAD_LETTERS, event) is not None

    until(is_set_aside, "set aside")
    # A short delay may be over before anybody has looked.
    assert tried.items() <= dict(zip(RETRIES, range(1, 6), strict=True)).items()
    assert tried.keys() >= set(RETRIES[2:])
    letter = broker.arrived(DEAD_LETTERS, event)
    assert (letter.headers["x-reason"], letter.headers["x-attempt"]) == ("order_not_found", len(RETRIES))
    assert nobody in letter.headers["x-detail"]
    assert letter.delivery_mode == 2
    assert letter.routing_key == "PagoConfirmado"
    assert broker.take_away(DEAD_LETTERS, event)


def test_an_event_for_a_payment_that_does_not_exist_waits(shop: Shop, broker: Broker) -> None:
    order = shop.create()
    rejected = {"payment_id": "no-such-payment", "order_id": order["id"], "code": "card_declined"}
    event = broker.publish("PagoRechazado", rejected)
    waits_with(broker, event, "payment_not_found")
    taken_off(broker, event)
    assert shop.order(order["id"])["version"] == order["version"]


def test_an_id_that_comes_again_with_other_content_is_set_aside_at_once(shop: Shop, broker: Broker) -> None:
    order = shop.create()
    payment = pay(shop, order["id"])
    rejected = {"payment_id": payment, "order_id": order["id"], "code": "card_declined"}
    event = broker.publish("PagoRechazado", rejected)
    attempt(shop, order["id"], "rejected")
    broker.publish("PagoRechazado", {**rejected, "code": "fraud_suspected"}, event_id=event)
    letter = broker.arrived(DEAD_LETTERS, event)
    assert letter.headers["x-reason"] == "idempotency_key_reused"
    assert letter.headers["x-attempt"] == 0
    assert payment_status(shop, order["id"])["attempts"][0]["code"] == "card_declined"
    assert broker.take_away(DEAD_LETTERS, event)


# Stock and prices


def held(shop: Shop, order_id: str) -> tuple[str, int]:
    """The state and revision of an order's hold at ProductSvc."""
    hold = shop.partner("product", "GET", f"/holds/{order_id}")
    return hold["state"], hold["revision"]


def test_a_validated_order_that_lost_its_hold_asks_for_it_again(shop: Shop, broker: Broker) -> None:
    order = shop.create()
    shop.partner("sandbox", "POST", f"/holds/{order['id']}/lose")
    revision = order["revision"] + 1
    until(lambda: held(shop, order["id"]) == ("held", revision), "held again")
    found = until(
        lambda: next((o for o in [shop.order(order["id"])] if o["revision"] == revision), None), "the order says so"
    )
    assert found["status"] == "validated"


def test_a_validated_order_whose_new_hold_is_refused_is_cancelled_as_out_of_stock(shop: Shop) -> None:
    order = shop.create()
    knob = {"effect": "refuse", "operation": "put_hold", "order_id": order["id"]}
    shop.partner("sandbox", "POST", "/knobs", knob)
    shop.partner("sandbox", "POST", f"/holds/{order['id']}/lose")
    assert shop.reached(order["id"], "cancelled")["cancel_reason"] == "out_of_stock"


def test_of_several_orders_each_gets_its_news_once_though_one_is_not_known(shop: Shop, broker: Broker) -> None:
    waiting, firm, nobody = shop.create(), shop.create(), str(uuid4())
    pay(shop, firm["id"], token=None)
    firm = shop.reached(firm["id"], "prepared")
    lost = {"sku": "load-sku-1", "available": 0, "version": 0, "lost_holds": [nobody, waiting["id"], firm["id"]]}
    event = broker.publish("InventarioActualizado", lost)
    waits_with(broker, event, "order_not_found")
    _, message = until(lambda: broker.retry_of(event), "it waits")
    assert nobody in message.headers["x-detail"]
    until(lambda: held(shop, waiting["id"]) == ("held", waiting["revision"] + 1), "held again")
    # It comes again for the one that is not known; the others have had it.
    until(lambda: tries_of(broker, event) > 1, "tried once more")
    taken_off(broker, event)
    assert held(shop, waiting["id"]) == ("held", waiting["revision"] + 1)
    assert shop.order(firm["id"])["version"] == firm["version"]
    assert held(shop, firm["id"]) == ("committed", firm["revision"])


def test_a_price_is_replaced_by_a_higher_version_only_and_what_was_validated_keeps_its_own(
    shop: Shop, broker: Broker
) -> None:
    sku = f"sku-{uuid4()}"
    shop.partner("sandbox", "PUT", f"/products/{sku}", {"prices": {"EUR": 1000}, "name": "A", "stock": 1_000_000})
    validated = shop.create(sku=sku, quantity=1)
    assert price_of(validated) == 1000
    (product,) = shop.partner("product", "GET", f"/products?sku={sku}&currency=EUR")["products"]

    def news(version: int, price: int, **more: Any) -> str:
        data = {"sku": sku, "available": 5, "version": version, "unit_price": {"amount": price, "currency": "EUR"}}
        return broker.publish("InventarioActualizado", {**data, **more})

    # Nobody but the event says so: ProductSvc itself goes on answering with the version that it had.
    news(product["version"] + 1000, 1300, name="B")
    until(lambda: price_of(shop.create(sku=sku, quantity=1)) == 1300, "the new price")
    late = news(product["version"] + 999, 1200, lost_holds=[str(uuid4())])
    waits_with(broker, late, "order_not_found")
    taken_off(broker, late)
    order = shop.create(sku=sku, quantity=1)
    assert (price_of(order), order["items"][0]["name"]) == (1300, "B")
    assert price_of(shop.order(validated["id"])) == 1000


def price_of(order: Any) -> int:
    return int(order["items"][0]["unit_price"])


# Customers


def test_a_customers_news_count_for_new_orders_and_leave_the_frozen_address(shop: Shop, broker: Broker) -> None:
    customer = f"load-customer-{uuid4().int % 1_000_000 + 1}"
    order = shop.create(customer=customer)
    pay(shop, order["id"], token=None)
    confirmed = shop.reached(order["id"], "prepared")
    version = shop.partner("user", "GET", f"/customers/{customer}")["version"]
    address = {"address_id": "new", "line1": "Rúa Nova 1", "city": "Lugo", "postal_code": "27001", "country": "ES"}

    broker.publish(
        "ClienteActualizado",
        {"customer_id": customer, "version": version + 10, "name": "New Name", "addresses": [address]},
    )
    moved = until(
        lambda: next((o for o in [shop.create(customer=customer)] if o["customer"]["name"] == "New Name"), None),
        "the new name",
    )
    assert moved["shipping_address"]["line1"] == "Rúa Nova 1"
    assert shop.order(order["id"])["shipping_address"] == confirmed["shipping_address"]
    assert confirmed["shipping_address"]["line1"] != "Rúa Nova 1"

    broker.publish("ClienteActualizado", {"customer_id": customer, "version": version + 11, "status": "blocked"})
    refused = until(
        lambda: next((o for o in [shop.create(customer=customer)] if o["status"] == "cancelled"), None), "blocked"
    )
    assert refused["cancel_reason"] == "validation_failed"
