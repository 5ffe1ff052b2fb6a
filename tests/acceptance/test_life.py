"""One order's whole life over HTTP, with its events on RabbitMQ, as a client and an event-driven service see it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import aio_pika
import pytest

from tests.acceptance.shop import Shop
from tests.acceptance.started import until


class Events:
    """A queue bound to everything that OrderSvc says, and what has come so far."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def of(self, order_id: str) -> list[dict[str, Any]]:
        """First deliveries of one order's events."""
        seen: dict[str, dict[str, Any]] = {}
        for event in self.all:
            if event["subject"] == order_id:
                seen.setdefault(event["id"], event)
        return list(seen.values())


@pytest.fixture
async def events(shop: Shop) -> AsyncIterator[Events]:
    connection = await aio_pika.connect(shop.endpoints["amqp"])
    channel = await connection.channel()
    exchange = await channel.get_exchange("ordersvc.events")
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, "#")
    heard = Events()

    async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        heard.all.append(json.loads(message.body))

    await queue.consume(hear, no_ack=True)
    yield heard
    await connection.close()


async def eventually(events: Events, order_id: str, last: str) -> list[dict[str, Any]]:
    """The order's events, once the last of them is there."""
    async with asyncio.timeout(30):
        while not any(event["type"] == last for event in events.of(order_id)):
            await asyncio.sleep(0.02)
    return events.of(order_id)


async def test_an_order_goes_through_its_seven_stages_and_says_so_in_sequence(shop: Shop, events: Events) -> None:
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

    told = await eventually(events, order_id, "PedidoEntregado")
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


async def test_a_cancelled_order_says_so_only_after_its_refund(shop: Shop, events: Events) -> None:
    order_id = shop.create()["id"]
    shop.ask("POST", f"/api/orders/{order_id}/payments", {"method": "card"}, key=str(uuid4()), Prefer="wait=10")
    shop.reached(order_id, "prepared")
    assert shop.ask("DELETE", f"/api/orders/{order_id}?reason=changed")[0] in (200, 202)
    order = shop.reached(order_id, "cancelled")
    assert (order["totals"]["paid"], order["totals"]["balance"]) == (order["totals"]["refunded"], 0)
    told = await eventually(events, order_id, "PedidoCancelado")
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
