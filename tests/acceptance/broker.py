"""RabbitMQ as the others have it: partners publish there, NotificationSvc and whoever likes listens, an operator looks in.

It runs on a thread of its own, so that it hears everything from the first order on, whatever the tests are doing.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from tests.acceptance.started import until

EXCHANGE_OF = {
    "PagoConfirmado": "paymentsvc.events",
    "PagoRechazado": "paymentsvc.events",
    "InventarioActualizado": "productsvc.events",
    "ClienteActualizado": "usersvc.events",
}
LISTENED = (("ordersvc.events", "#"), ("notificationsvc.requests", "SolicitudNotificacion"))
INBOX, DEAD_LETTERS = "ordersvc.inbox", "ordersvc.dead-letters"
RETRIES = tuple(f"ordersvc.retry.{seconds}s" for seconds in (1, 5, 20, 60, 300))
STEP_LIMIT_S = 60.0
LOOKED_AT_MAX = 1000

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message as it came, or as it lies in a queue."""

    exchange: str
    routing_key: str
    message_id: str | None
    content_type: str | None
    delivery_mode: int | None
    type: str | None
    app_id: str | None
    correlation_id: str | None
    timestamp: datetime | None
    headers: dict[str, Any]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The envelope."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class Broker:
    """``heard`` is all that the service has said since this was opened, in the order of its coming."""

    def __init__(self, url: str) -> None:
        self.heard: list[Heard] = []
        self.opened_at = datetime.now(UTC)
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="broker", daemon=True)
        self._ears = f"tests.{uuid4()}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._connection = self._run(aio_pika.connect_robust(self._url, reconnect_interval=0.2))
        self._run(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # Listening.

    def of(self, order_id: str) -> list[dict[str, Any]]:
        """First deliveries of an order's events."""
        return self._from(f"/ordersvc/orders/{order_id}")

    def notices_of(self, order_id: str) -> list[dict[str, Any]]:
        """First deliveries of an order's requests to NotificationSvc."""
        return self._from(f"/ordersvc/orders/{order_id}/notifications")

    def told(self, order_id: str, last: str) -> list[dict[str, Any]]:
        """The order's events, once there is one of the type ``last``."""

        def there() -> list[dict[str, Any]]:
            events = self.of(order_id)
            return events if any(event["type"] == last for event in events) else []

        return until(there, f"{last} of {order_id}", STEP_LIMIT_S)

    def sequences(self) -> dict[str, list[int]]:
        """For each order the sequences of its events, in the order of their coming."""
        found: dict[str, list[int]] = defaultdict(list)
        for heard in list(self.heard):
            if heard.exchange == "ordersvc.events":
                event = heard.event
                found[event["subject"]].append(int(event["sequence"]))
        return found

    def _from(self, source: str) -> list[dict[str, Any]]:
        seen: dict[str, dict[str, Any]] = {}
        for heard in list(self.heard):
            event = heard.event
            if event["source"] == source:
                seen.setdefault(event["id"], event)
        return list(seen.values())

    # Publishing, as a partner.

    def publish(self, event_type: str, data: object, *, event_id: str = "", copies: int = 1, **attributes: Any) -> str:
        """Say something with as few attributes as a partner may; gives the event's id. None takes an attribute away."""
        event_id = event_id or str(uuid4())
        envelope = {
            "specversion": "1.0",
            "id": event_id,
            "source": "/tests",
            "type": event_type,
            "time": datetime.now(UTC).isoformat(),
            "data": data,
            **attributes,
        }
        body = json.dumps({name: value for name, value in envelope.items() if value is not None}).encode()
        for _ in range(copies):
            self.send(event_type, body, message_id=event_id)
        return event_id

    def send(
        self,
        event_type: str,
        body: bytes,
        *,
        message_id: str,
        exchange: str = "",
        routing_key: str = "",
        **properties: Any,
    ) -> None:
        """Put any bytes where events of a type are published, or elsewhere; returns once the broker has them."""
        message = aio_pika.Message(body, message_id=message_id, **properties)
        self._run(self._send(exchange or EXCHANGE_OF[event_type], routing_key or event_type, message))

    # Looking in, as an operator.

    def waiting(self, queue: str) -> list[Heard]:
        """The messages in a queue, which stay there."""
        return self._run(self._look(queue))

    def find(self, queue: str, message_id: str) -> Heard | None:
        """The message with this id in a queue, or None; it stays there."""
        return next((message for message in self.waiting(queue) if message.message_id == message_id), None)

    def arrived(self, queue: str, message_id: str) -> Heard:
        """The message, as soon as it is in that queue."""
        return until(lambda: self.find(queue, message_id), f"{message_id} in {queue}", STEP_LIMIT_S)

    def retry_of(self, message_id: str) -> tuple[str, Heard] | None:
        """Where a message waits to be tried again."""
        found = ((queue, self.find(queue, message_id)) for queue in RETRIES)
        return next(((queue, message) for queue, message in found if message is not None), None)

    def hasten(self, queue: str, message_id: str) -> bool:
        """Do at once what the broker does when a message's delay is over; False where it has been over already."""
        return self._run(self._move(queue, message_id, INBOX))

    def take_away(self, queue: str, message_id: str) -> bool:
        """Remove a message; False where it is not there."""
        return self._run(self._move(queue, message_id, None))

    # On the thread.

    def _run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(STEP_LIMIT_S)

    async def _listen(self) -> None:
        channel = await self._connection.channel()
        # It outlives a lost connection, so that nothing is missed; it is deleted at the end.
        queue = await channel.declare_queue(self._ears, durable=True)
        for exchange, routing_key in LISTENED:
            await queue.bind(exchange, routing_key)
        await queue.consume(self._hear)
        self._outgoing = await self._connection.channel(publisher_confirms=True, on_return_raises=True)

    async def _hear(self, message: AbstractIncomingMessage) -> None:
        self.heard.append(_heard(message))
        await message.ack()

    async def _send(self, exchange: str, routing_key: str, message: aio_pika.Message) -> None:
        place = await self._outgoing.get_exchange(exchange, ensure=False)
        await place.publish(message, routing_key, mandatory=True)

    async def _look(self, queue: str) -> list[Heard]:
        # What was got and not acknowledged goes back when the channel closes.
        async with await self._channel() as channel:
            place = await channel.get_queue(queue, ensure=False)
            found: list[Heard] = []
            while len(found) < LOOKED_AT_MAX and (message := await place.get(fail=False)) is not None:
                found.append(_heard(message))
            return found

    async def _move(self, queue: str, message_id: str, to: str | None) -> bool:
        async with await self._channel() as channel:
            place = await channel.get_queue(queue, ensure=False)
            for _ in range(LOOKED_AT_MAX):
                message = await place.get(fail=False)
                if message is None:
                    return False
                if message.message_id == message_id:
                    if to is not None:
                        again = aio_pika.Message(message.body, headers=message.headers, message_id=message_id)
                        await self._outgoing.default_exchange.publish(again, to, mandatory=True)
                    await message.ack()
                    return True
        return False

    async def _channel(self) -> AbstractChannel:
        """A channel of its own. Where RabbitMQ was killed just now, and while we connect anew, this waits until it is back."""
        await self._connection.ready()
        return await self._connection.channel()

    async def _close(self) -> None:
        channel = await self._channel()
        ears = await channel.get_queue(self._ears, ensure=False)
        await ears.delete(if_unused=False, if_empty=False)
        await self._connection.close()


def _heard(message: AbstractIncomingMessage) -> Heard:
    return Heard(
        exchange=message.exchange or "",
        routing_key=message.routing_key or "",
        message_id=message.message_id,
        content_type=message.content_type,
        delivery_mode=message.delivery_mode,
        type=message.type,
        app_id=message.app_id,
        correlation_id=message.correlation_id,
        timestamp=message.timestamp,
        headers=dict(message.headers),
        body=message.body,
    )
