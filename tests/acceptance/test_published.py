"""What the service says to others: requests to NotificationSvc, and, when all else is over, every message of the run."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.broker import Broker
from tests.acceptance.published import faults_of
from tests.acceptance.shop import Shop
from tests.acceptance.started import until

# Of a service that is given, which others may use at the same time, the last orders are enough.
ORDERS_COMPARED_MAX = 400
EVENT_TYPES = {
    "PedidoCreado", "PedidoActualizado", "PedidoConfirmado", "PedidoCancelado", "PagoRecibido", "PedidoEnviado",
    "PedidoEntregado", "SolicitudNotificacion",
}  # fmt: skip


def pay(shop: Shop, order_id: str, token: str) -> str:
    body = {"method": "card", "token": token}
    status, payment, _ = shop.ask("POST", f"/api/orders/{order_id}/payments", body, key=str(uuid4()), Prefer="wait=10")
    assert status == 201, payment
    return str(payment["status"])


def becomes(shop: Shop, order_id: str, **wanted: Any) -> Any:
    status, order, _ = shop.ask("PUT", f"/api/orders/{order_id}/status", wanted)
    assert status == 200, order
    return order


def whole_life(shop: Shop) -> Any:
    """An order that is paid at the second attempt and delivered in two parcels."""
    order = shop.create(quantity=2)
    order_id = order["id"]
    assert pay(shop, order_id, "tok_insufficient_funds") == "rejected"
    assert pay(shop, order_id, "tok_fine") == "confirmed"
    shop.reached(order_id, "prepared")
    one = {"lines": [{"item_id": order["items"][0]["id"], "quantity": 1}]}
    for number in ("T-1", "T-2"):
        becomes(shop, order_id, status="shipped", carrier="SEUR", tracking_number=number, **one)
    return becomes(shop, order_id, status="delivered")


def cancelled_life(shop: Shop) -> Any:
    """An order that is paid for and cancelled."""
    order_id = shop.create()["id"]
    pay(shop, order_id, "tok_fine")
    shop.reached(order_id, "prepared")
    shop.ask("DELETE", f"/api/orders/{order_id}")
    return shop.reached(order_id, "cancelled")


def asked_of_notification_svc(broker: Broker, order: Any, count: int) -> list[tuple[int, str, str]]:
    """The requests for an order, when there are as many: sequence, template, and the type of the event that it goes with."""
    notices = until(
        lambda: broker.notices_of(order["id"]) if len(broker.notices_of(order["id"])) >= count else None,
        f"{count} requests to NotificationSvc",
    )
    types = {event["id"]: event["type"] for event in broker.of(order["id"])}
    for notice in notices:
        data = notice["data"]
        assert (data["order_id"], data["customer_id"]) == (order["id"], order["customer"]["id"])
        assert data["number"] in (None, order["number"])
        assert not {"email", "name"} & set(data["params"]), "NotificationSvc knows its customers itself"
    return [(int(each["sequence"]), each["data"]["template"], types[each["causationid"]]) for each in notices]


def test_each_stage_is_told_to_the_customer_once_with_its_event(shop: Shop, broker: Broker) -> None:
    order = whole_life(shop)
    broker.told(order["id"], "PedidoEntregado")
    assert asked_of_notification_svc(broker, order, 6) == [
        (1, "order_created", "PedidoCreado"),
        (2, "payment_rejected", "PedidoActualizado"),
        (3, "order_confirmed", "PedidoConfirmado"),
        (4, "order_shipped", "PedidoEnviado"),
        (5, "order_shipped", "PedidoEnviado"),
        (6, "order_delivered", "PedidoEntregado"),
    ]


def test_a_cancellation_is_told_to_the_customer_once_it_is_settled(shop: Shop, broker: Broker) -> None:
    order = cancelled_life(shop)
    broker.told(order["id"], "PedidoCancelado")
    assert asked_of_notification_svc(broker, order, 3) == [
        (1, "order_created", "PedidoCreado"),
        (2, "order_confirmed", "PedidoConfirmado"),
        (3, "order_cancelled", "PedidoCancelado"),
    ]


@pytest.mark.looks_back
def test_everything_that_was_published_in_this_run_is_as_promised(shop: Shop, broker: Broker) -> None:
    whole_life(shop)
    cancelled_life(shop)
    older = begun_before(shop, broker)
    orders = [order_id for order_id in broker.sequences() if order_id not in older]
    timelines = {order_id: timeline(shop, order_id) for order_id in orders[-ORDERS_COMPARED_MAX:]}
    assert timelines

    def is_all_heard() -> bool:
        heard = broker.sequences()
        return all(set(heard[order_id]) >= told for order_id, told in timelines.items())

    until(is_all_heard, "each event that is in a timeline was published")
    status, document, _ = shop.ask("GET", "/asyncapi.json")
    assert status == 200
    heard = list(broker.heard)
    assert {message.routing_key for message in heard} == EVENT_TYPES
    assert faults_of(heard, document, older) == []


def timeline(shop: Shop, order_id: str) -> set[int]:
    """The sequences of an order's events, as the order has them."""
    status, found, _ = shop.ask("GET", f"/api/orders/{order_id}/timeline")
    assert status == 200, found
    return {event["sequence"] for event in found["data"]}


def begun_before(shop: Shop, broker: Broker) -> set[str]:
    """Orders older than the ears: none, unless the service was given."""
    late = {order_id for order_id, sequences in broker.sequences().items() if sequences[0] > 1}
    return {each for each in late if datetime.fromisoformat(shop.order(each)["created_at"]) < broker.opened_at}
