"""One order's whole life over HTTP, with its events on RabbitMQ, as a client and an event-driven service see it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from tests.acceptance.broker import Broker
from tests.acceptance.shop import Shop
from tests.acceptance.started import until


def test_an_order_goes_through_its_seven_stages_and_says_so_in_sequence(shop: Shop, broker: Broker) -> None:
    order = shop.create()
    order_id = order["id"]
    assert order["status"] == "validated"
    status, payment, _ = shop.ask(
        "POST", f"/api/orders/{order_id}/payments", {"method": "card"}, key=str(uuid4()), Prefer="wait=10"
    )
    assert (status, payment["status"]) == (201, "confirmed")
    shop.reached(order_id, "prepared")
    shipped = {"status": "shipped", "carrier": "SEUR", "tracking_number": "T-1"}
    assert shop.ask("PUT", f"/api/orders/{order_id}/status", shipped)[1]["status"] == "shipped"
    status, delivered, _ = shop.ask("PUT", f"/api/orders/{order_id}/status", {"status": "delivered"})
    assert (status, delivered["status"]) == (200, "delivered")
    assert delivered["totals"]["balance"] == 0
    assert delivered["number"].startswith("ORD-")

    told = broker.told(order_id, "PedidoEntregado")
    assert [int(event["sequence"]) for event in told] == list(range(1, len(told) + 1))
    assert [event["type"] for event in told if event["type"] != "PedidoActualizado"] == [
        "PedidoCreado",
        "PagoRecibido",
        "PedidoConfirmado",
        "PedidoEnviado",
        "PedidoEntregado",
    ]
    versions = [event["data"]["version"] for event in told]
    assert versions == sorted(versions)


def test_a_cancelled_order_says_so_only_after_its_refund(shop: Shop, broker: Broker) -> None:
    order_id = shop.create()["id"]
    shop.ask("POST", f"/api/orders/{order_id}/payments", {"method": "card"}, key=str(uuid4()), Prefer="wait=10")
    shop.reached(order_id, "prepared")
    assert shop.ask("DELETE", f"/api/orders/{order_id}?reason=changed")[0] in (200, 202)
    order = shop.reached(order_id, "cancelled")
    assert (order["totals"]["paid"], order["totals"]["balance"]) == (order["totals"]["refunded"], 0)
    told = broker.told(order_id, "PedidoCancelado")
    cancelled = told[-1]
    assert cancelled["type"] == "PedidoCancelado"
    assert cancelled["data"]["totals"]["refunded"] == order["totals"]["paid"]
    assert [refund["amount"] for refund in cancelled["data"]["refunds"]] == [order["totals"]["paid"]]


def test_fifty_creations_with_one_key_make_one_order_and_get_equal_answers(shop: Shop) -> None:
    key = str(uuid4())
    body = {"customer_id": "c-1001", "currency": "EUR", "items": [{"sku": "load-sku-2", "quantity": 1}]}

    def create(_: int) -> tuple[int, str]:
        status, order, _headers = shop.ask("POST", "/api/orders", body, key=key)
        return status, json.dumps(order, sort_keys=True)

    with ThreadPoolExecutor(25) as pool:
        answers = set(pool.map(create, range(50)))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 201
    status, problem, _ = shop.ask("POST", "/api/orders", {**body, "currency": "USD"}, key=key)
    assert (status, problem["code"]) == (422, "idempotency_key_reused")


def test_of_two_edits_with_one_version_one_wins(shop: Shop) -> None:
    order = shop.create()
    item = order["items"][0]["id"]
    path = f"/api/orders/{order['id']}/items/{item}/quantity"
    version = f'"{order["version"]}"'
    answers = [shop.ask("PUT", path, {"quantity": n}, If_Match=version)[0] for n in (3, 4)]
    assert answers == [200, 412]
    until(lambda: shop.order(order["id"])["status"] == "validated", "the edit's validation")
