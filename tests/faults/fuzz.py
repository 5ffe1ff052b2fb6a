"""What may arrive in our inbox besides events: bytes that are no JSON, unknown types and orders, huge bodies, wrong shapes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import aio_pika

MESSAGES = 20
HUGE_BYTES = 2_000_000
CONNECT_LIMIT_S = 5.0


def bodies(rng: random.Random) -> Iterator[tuple[str, str, bytes]]:
    """Exchange, routing key and body of messages that must change nothing."""

    def some_id() -> str:
        return str(UUID(int=rng.getrandbits(128), version=4))

    def event(kind: str, data: dict[str, Any]) -> bytes:
        envelope = {
            "specversion": "1.0", "id": some_id(), "source": "/fuzz", "type": kind, "time": "2026-11-24T10:15:30Z", "data": data,
        }  # fmt: skip
        return json.dumps(envelope).encode()

    confirmed = {"payment_id": some_id(), "order_id": some_id(), "amount": {"amount": 1, "currency": "EUR"}}
    payments, products, users = "paymentsvc.events", "productsvc.events", "usersvc.events"
    yield payments, "PagoConfirmado", b"\xff\xfe not json"
    yield payments, "PagoConfirmado", b""
    yield payments, "PagoConfirmado", b"[" * 5000
    yield payments, "PagoConfirmado", event("PagoDesconocido", {})
    yield payments, "PagoConfirmado", event("PagoConfirmado", confirmed)
    yield payments, "PagoConfirmado", event("PagoConfirmado", confirmed | {"amount": {"amount": -5, "currency": "EUR"}})
    yield payments, "PagoConfirmado", event("PagoConfirmado", confirmed | {"order_id": "not-an-id"})
    yield (
        payments,
        "PagoRechazado",
        event("PagoRechazado", {"payment_id": some_id(), "order_id": some_id(), "code": "x"}),
    )
    yield payments, "PagoRechazado", event("PagoRechazado", {"pad": "x" * HUGE_BYTES})
    yield (
        products,
        "InventarioActualizado",
        event("InventarioActualizado", {"sku": "load-sku-1", "available": 5, "version": 0}),
    )
    lost = {"sku": "fuzz-1", "available": 0, "version": 1, "lost_holds": [some_id()]}
    yield products, "InventarioActualizado", event("InventarioActualizado", lost)
    yield (
        users,
        "ClienteActualizado",
        event("ClienteActualizado", {"customer_id": "fuzz", "version": 1, "name": "\u0000"}),
    )


async def fuzz(amqp_url: str, pick: float) -> int:
    """Publish such messages, some of them twice; gives how many. Raises ``OSError`` where the broker is away."""
    rng = random.Random(pick)
    choice = list(bodies(rng))
    try:
        connection = await aio_pika.connect(amqp_url, timeout=CONNECT_LIMIT_S)
        async with connection:
            channel = await connection.channel()
            for _ in range(MESSAGES):
                exchange, routing_key, body = rng.choice(choice)
                await (await channel.get_exchange(exchange)).publish(
                    aio_pika.Message(body), routing_key, timeout=CONNECT_LIMIT_S
                )
    except (aio_pika.exceptions.AMQPError, RuntimeError) as error:
        raise OSError(str(error)) from error
    return MESSAGES
