"""One order's whole life over HTTP, with its events on RabbitMQ, as a client and an event-driven service see it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

from tests.acceptance.broker import Broker
from tests.acceptance.shop import Shop

AT_ONCE = 50


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
    assert "PedidoActualizado" in [event["type"] for event in told]
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
    key, together = str(uuid4()), Barrier(AT_ONCE)
    body = {"customer_id": "c-1001", "currency": "EUR", "items": [{"sku": "load-sku-2", "quantity": 1}]}

    def create(_: int) -> tuple[int, bytes]:
        client = connected(shop)
        together.wait()
        answer = client.raw("POST", "/api/orders", body, key=key)
        return answer.status, answer.data

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(create, range(AT_ONCE)))
    assert len(answers) == AT_ONCE
    assert len(set(answers)) == 1
    assert answers[0][0] == 201
    status, problem, _ = shop.ask("POST", "/api/orders", {**body, "currency": "USD"}, key=key)
    assert (status, problem["code"]) == (422, "idempotency_key_reused")


def test_of_two_edits_with_one_version_one_wins(shop: Shop) -> None:
    for edits in (2, 10):
        order, together = shop.create(), Barrier(edits)
        path, version = f"/api/orders/{order['id']}/items/{order['items'][0]['id']}/quantity", f'"{order["version"]}"'

        def edit(
            number: int, path: str = path, version: str = version, together: Barrier = together
        ) -> tuple[int, Any]:
            client = connected(shop)
            together.wait()
            status, told, _ = client.ask("PUT", path, {"quantity": 10 + number}, If_Match=version)
            return status, told

        with ThreadPoolExecutor(edits) as pool:
            answers = list(pool.map(edit, range(edits)))
        assert sorted(status for status, _ in answers) == [200] + [412] * (edits - 1)
        made = next(told for status, told in answers if status == 200)
        assert all(told["current_version"] > order["version"] for status, told in answers if status == 412)
        assert shop.reached(order["id"], "validated")["items"][0]["quantity"] == made["items"][0]["quantity"]


def connected(shop: Shop) -> Shop:
    """The same client with a connection of its own, open already, so that what is asked at once comes at once."""
    client = Shop(shop.endpoints, shop.folder)
    assert client.ask("GET", "/health/live")[0] == 200
    return client
