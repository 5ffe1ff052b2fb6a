"""The topology: every exchange, queue and binding that this service needs, declared at each connect
(contracts/events.md).

Nothing is published or consumed here. It works on RabbitMQ 3.10 and on 4, and leaves a queue that exists otherwise as
it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog
from aio_pika import ExchangeType
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelPreconditionFailed

log = structlog.get_logger()

EVENTS = "ordersvc.events"
NOTIFICATIONS = "notificationsvc.requests"
INBOX = "ordersvc.inbox"
DEAD = "ordersvc.dead"
DEAD_LETTERS = "ordersvc.dead-letters"

DELIVERY_LIMIT_SINCE_MAJOR = 4

CONSUMED: dict[str, str] = {
    "PagoConfirmado": "paymentsvc.events",
    "PagoRechazado": "paymentsvc.events",
    "InventarioActualizado": "productsvc.events",
    "ClienteActualizado": "usersvc.events",
}


@dataclass(frozen=True, slots=True)
class Delay:
    """A queue in which a message waits before it goes back to the inbox."""

    queue: str
    delay_ms: int


DELAYS: tuple[Delay, ...] = tuple(
    Delay(f"ordersvc.retry.{seconds}s", seconds * 1000) for seconds in (1, 5, 20, 60, 300)
)


async def declare(connection: AbstractConnection, *, delays: tuple[Delay, ...] = DELAYS) -> None:
    """Declare all of it; what exists already as it should be is left alone. Raises aiormq's errors when the link is
    lost.
    """
    async with connection.channel() as channel:
        await channel.declare_exchange(EVENTS, ExchangeType.TOPIC, durable=True)
        await channel.declare_exchange(NOTIFICATIONS, ExchangeType.DIRECT, durable=True)
        await channel.declare_exchange(DEAD, ExchangeType.TOPIC, durable=True)
        for exchange in sorted(set(CONSUMED.values())):
            await channel.declare_exchange(exchange, ExchangeType.TOPIC, durable=True)
    kept = _without_delivery_limit(connection)
    await _declare_queue(connection, INBOX, {**kept, "x-dead-letter-exchange": DEAD})
    await _declare_queue(connection, DEAD_LETTERS, kept)
    for delay in delays:
        await _declare_queue(connection, delay.queue, _waiting(delay))
    async with connection.channel() as channel:
        inbox = await channel.get_queue(INBOX, ensure=False)
        for event_type, exchange in CONSUMED.items():
            await inbox.bind(exchange, event_type)
        dead_letters = await channel.get_queue(DEAD_LETTERS, ensure=False)
        await dead_letters.bind(DEAD, "#")


def _without_delivery_limit(connection: AbstractConnection) -> dict[str, Any]:
    """A quorum queue that never drops a message for having been delivered often: RabbitMQ 4 does so after 20 times,
    unless configured not to; before 4 there was no such limit, nor a way to say so.
    """
    arguments: dict[str, Any] = {"x-queue-type": "quorum"}
    if _server_major(connection) >= DELIVERY_LIMIT_SINCE_MAJOR:
        arguments["x-delivery-limit"] = -1
    return arguments


def _waiting(delay: Delay) -> dict[str, Any]:
    """What is due goes to the inbox through the default exchange, and is kept until the inbox has confirmed it."""
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": delay.delay_ms,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": INBOX,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _server_major(connection: AbstractConnection) -> int:
    transport = connection.transport
    version = "" if transport is None else transport.connection.server_properties.get("version", "")
    text = version.decode() if isinstance(version, bytes) else str(version)
    major = text.split(".", 1)[0]
    return int(major) if major.isdigit() else 0


async def _declare_queue(connection: AbstractConnection, name: str, arguments: dict[str, Any]) -> None:
    """Declare a durable queue. One that exists with other arguments (an older broker's, an operator's) is used as it
    is.
    """
    try:
        async with connection.channel() as channel:
            await channel.declare_queue(name, durable=True, arguments=arguments)
    except ChannelPreconditionFailed as error:
        log.warning("queue_declared_otherwise", queue=name, detail=str(error)[:200])
        async with connection.channel() as channel:
            await channel.declare_queue(name, passive=True)
