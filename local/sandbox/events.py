"""The partners' events: put into CloudEvents and published in the background, in order, until they are confirmed.

The queue is bounded and lives in memory: it survives the broker's restarts, not the sandbox's. What no longer fits is
dropped and counted. Without a broker's address nothing is published.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import Any, Final

import aio_pika
import structlog
from aio_pika.abc import AbstractExchange

from local.sandbox.responses import encode

QUEUE_MAX_EVENTS: Final = 100_000
TOGETHER_MAX_EVENTS: Final = 128
CONFIRM_TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 5.0
RECONNECT_S: Final = 0.5
SERVICES: Final = ("paymentsvc", "productsvc", "usersvc")

_log = structlog.get_logger(__name__)


class _Event:
    """One event on its way; ``confirmed`` is made only for those who wait for it."""

    __slots__ = ("body", "confirmed", "id", "service", "type")

    def __init__(self, service: str, type_: str, source: str, data: dict[str, Any]) -> None:
        self.service = service
        self.type = type_
        self.id = str(uuid.uuid4())
        self.confirmed: asyncio.Future[None] | None = None
        self.body = encode(
            {
                "specversion": "1.0",
                "id": self.id,
                "source": source,
                "type": type_,
                "time": datetime.now(UTC),
                "datacontenttype": "application/json",
                "data": data,
            }
        )


class Events:
    """The background publisher. ``start`` and ``stop`` it on its event loop; without ``amqp_url`` it drops all."""

    def __init__(self, amqp_url: str) -> None:
        self._amqp_url = amqp_url
        self._queue: deque[_Event] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.published = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many are not confirmed yet."""
        return len(self._queue)

    def start(self) -> None:
        """Begin to publish; does not wait for the broker."""
        if self._amqp_url:
            self._task = asyncio.create_task(self._run(), name="sandbox-events")

    async def stop(self, wait_s: float = 2.0) -> None:
        """Give what waits ``wait_s`` seconds to be confirmed, then end."""
        if self._task is None:
            return
        if self._queue:
            last = self._queue[-1]
            last.confirmed = last.confirmed or asyncio.get_running_loop().create_future()
            await asyncio.wait([last.confirmed], timeout=wait_s)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def offer(self, service: str, type_: str, source: str, data: dict[str, Any], *, copies: int = 1) -> None:
        """Publish an event of ``service`` (``paymentsvc`` …) soon, ``copies`` times with one id; never waits."""
        if self._task is None or len(self._queue) + copies > QUEUE_MAX_EVENTS:
            self.dropped += copies
            return
        event = _Event(service, type_, source, data)
        self._queue.extend([event] * copies)
        self._wake.set()

    async def confirmed(self, timeout_s: float) -> bool:
        """Wait until all that was offered so far is on the broker; False when that took longer."""
        if not self._queue:
            return True
        last = self._queue[-1]
        last.confirmed = last.confirmed or asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait([last.confirmed], timeout=timeout_s)
        return bool(done)

    async def _run(self) -> None:
        while True:
            try:
                await self._publish_all()
            except (aio_pika.exceptions.AMQPError, ConnectionError, OSError, RuntimeError, TimeoutError) as error:
                _log.warning("sandbox_broker_away", error=type(error).__name__, waiting=len(self._queue))
            await asyncio.sleep(RECONNECT_S)

    async def _publish_all(self) -> None:
        """Publish what comes, over one connection, until that breaks."""
        async with await aio_pika.connect(self._amqp_url, timeout=CONNECT_TIMEOUT_S) as connection:
            channel = await connection.channel(publisher_confirms=True)
            exchanges = {
                service: await channel.declare_exchange(f"{service}.events", "topic", durable=True)
                for service in SERVICES
            }
            while True:
                while not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                together = [self._queue[index] for index in range(min(len(self._queue), TOGETHER_MAX_EVENTS))]
                await asyncio.gather(*(_publish(exchanges[event.service], event) for event in together))
                for event in together:
                    self._queue.popleft()
                    self.published += 1
                    if event.confirmed is not None and not event.confirmed.done():
                        event.confirmed.set_result(None)


async def _publish(exchange: AbstractExchange, event: _Event) -> None:
    message = aio_pika.Message(
        event.body,
        content_type="application/cloudevents+json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=event.id,
    )
    await exchange.publish(message, routing_key=event.type, mandatory=False, timeout=CONFIRM_TIMEOUT_S)
