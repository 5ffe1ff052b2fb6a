"""A bridge on a real RabbitMQ between a partner that publishes what it likes and orders that answer what the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from messaging import topology
from messaging.connection import BrokerConnectionPolicy
from messaging.consuming.consumer import Consumer, ConsumerLimits
from messaging.envelope import InboundEvent
from tests.queues import DELAYS

ORDER_ID = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
HASTY = BrokerConnectionPolicy(retry_first_s=0.02, retry_max_s=0.1, close_timeout_s=0.5)
LIMIT_S = 60.0


def confirmation(event_id: str, **changes: Any) -> bytes:
    envelope = {
        "specversion": "1.0",
        "id": event_id,
        "source": "paymentsvc",
        "type": "PagoConfirmado",
        "time": "2026-11-24T10:15:30Z",
        "data": {"payment_id": "p-1", "order_id": ORDER_ID, "amount": {"amount": 7125, "currency": "EUR"}},
        **changes,
    }
    return json.dumps(envelope).encode()


class Partner:
    """Another service: publishes what it likes."""

    def __init__(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        self._connection = connection
        self._channel = channel

    async def publish(
        self,
        body: bytes,
        *,
        headers: dict[str, Any] | None = None,
        exchange: str = "paymentsvc.events",
        routing_key: str = "PagoConfirmado",
        **properties: Any,
    ) -> None:
        place = await self._channel.get_exchange(exchange, ensure=False) if exchange else self._channel.default_exchange
        message = aio_pika.Message(body, headers=headers, **properties)
        await place.publish(message, routing_key)

    async def dead_letters(self, count: int) -> list[AbstractIncomingMessage]:
        """Take so many dead letters out of their queue, as soon as they are there."""
        queue = await self._channel.get_queue(topology.DEAD_LETTERS, ensure=False)
        found: list[AbstractIncomingMessage] = []
        async with asyncio.timeout(LIMIT_S):
            while len(found) < count:
                message = await queue.get(fail=False)
                if message is not None:
                    await message.ack()
                    found.append(message)
        return found

    async def reject(self, queue: str) -> None:
        """Reject the first message of a queue, as soon as there is one: the broker sets it aside by itself."""
        place = await self._channel.get_queue(queue, ensure=False)
        async with asyncio.timeout(LIMIT_S):
            while (message := await place.get(fail=False)) is None:
                pass
        await message.reject(requeue=False)

    async def delete(self, queue: str) -> None:
        """Delete a queue, as an operator may."""
        await self._channel.queue_delete(queue)

    async def unbind(self, queue: str, exchange: str, routing_key: str) -> None:
        """Take a binding away, as an operator may."""
        await (await self._channel.get_queue(queue, ensure=False)).unbind(exchange, routing_key)

    async def declare(self) -> None:
        """Declare everything, for what was deleted to be there for certain."""
        await topology.declare(self._connection, delays=DELAYS)

    async def depth(self, queue: str) -> int:
        found = await self._channel.declare_queue(queue, passive=True)
        return found.declaration_result.message_count or 0


class Orders:
    """Who is delivered to. ``answers`` are used up one a delivery; None is a success, and so is all that follows."""

    def __init__(self, *answers: Exception | None) -> None:
        self.heard: list[InboundEvent] = []
        self.answers = list(answers)

    async def deliver(self, event: InboundEvent) -> None:
        self.heard.append(event)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.heard]


@asynccontextmanager
async def bridging(
    url: str, deliver: Callable[[InboundEvent], Awaitable[None]], **limits: float
) -> AsyncIterator[Consumer]:
    bridge = Consumer(
        url,
        deliver=deliver,
        limits=ConsumerLimits(**limits),  # type: ignore[arg-type]
        delays=DELAYS,
        connection_policy=HASTY,
    )
    await bridge.start()
    try:
        yield bridge
    finally:
        await bridge.stop(drain_timeout_s=5)
