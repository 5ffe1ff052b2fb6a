"""When the event that ends an order's life arrives at a consumer: a service may answer fast and publish late."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection

import aio_pika
import msgspec
from aio_pika.abc import AbstractIncomingMessage

from messaging.topology import EVENTS

LAST_EVENT_TYPE = "PedidoEntregado"
POLL_S = 0.02
TIMEOUT_S = 10.0


class _Envelope(msgspec.Struct):
    subject: str


class LastEvents:
    """``seen_at_s``: by order id, on the clock of ``time.perf_counter``."""

    def __init__(self) -> None:
        self.seen_at_s: dict[str, float] = {}
        self._decode = msgspec.json.Decoder(_Envelope).decode

    async def on_message(self, message: AbstractIncomingMessage) -> None:
        """Note when an order's last event came first."""
        self.seen_at_s.setdefault(self._decode(message.body).subject, time.perf_counter())

    async def until_seen(self, order_ids: Collection[str], limit_s: float) -> int:
        """Return when the events of all these orders have come, or the time is over; gives how many have not."""
        until_s = time.monotonic() + limit_s
        while (missing := sum(order_id not in self.seen_at_s for order_id in order_ids)) and time.monotonic() < until_s:
            await asyncio.sleep(POLL_S)
        return missing


@contextlib.asynccontextmanager
async def last_events(amqp_url: str) -> AsyncIterator[LastEvents]:
    """Listen meanwhile, by a queue of its own."""
    events = LastEvents()
    async with await aio_pika.connect(amqp_url, timeout=TIMEOUT_S) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(EVENTS, LAST_EVENT_TYPE)
        await queue.consume(events.on_message, no_ack=True)
        yield events
