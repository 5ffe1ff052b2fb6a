"""The bridge: partners' events from the inbox to whoever is handed in, acknowledged only after they have had their
effect.

A message leaves the inbox in one of three ways: delivered, sent to wait for a while, or set aside as a dead letter.
It is acknowledged after that has happened, so it may come twice but is never lost. What an event means is not known
here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aio_pika.abc import AbstractConnection, AbstractExchange, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import DeliveryError

from domain.errors import OutcomeUnknown, Refused, Unavailable
from messaging import parcel, topology
from messaging.envelope import InboundEvent, Unreadable, decode
from messaging.link import LOST, Link, LinkPolicy
from supervised import awaited, supervised

log = structlog.get_logger()

# What is not known may be known soon: our own commit may come after the partner's event.
NOT_YET = frozenset({"order_not_found", "payment_not_found"})

Deliver = Callable[[InboundEvent], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeLimits:
    """Bounds of a bridge: messages at work at once, the size of a body, how long a delivery may take, how long a
    publish.

    ``requeue_pause_s`` passes before a message that could neither be delivered nor sent on is tried again.
    """

    prefetch_max_messages: int = 128
    message_max_bytes: int = 1_048_576
    deliver_timeout_s: float = 20.0
    publish_timeout_s: float = 10.0
    requeue_pause_s: float = 1.0


@dataclass(frozen=True, slots=True)
class _NotDelivered:
    """Why a message had no effect, and whether it may have one later."""

    reason: str
    detail: str
    is_for_later: bool


class EventBridge:
    """Consumes ``ordersvc.inbox``. ``deliver`` returns once the effect is committed, or raises: ``Unavailable``,
    ``OutcomeUnknown`` and a ``Refused`` that says "not known" mean later; any other ``Refused`` means never.

    Counters: ``delivered``, ``retried`` (sent to wait), ``dead_lettered``; ``at_work`` messages now.
    """

    def __init__(
        self,
        url: str,
        *,
        deliver: Deliver,
        name: str = "ordersvc-bridge",
        limits: BridgeLimits | None = None,
        delays: tuple[topology.Delay, ...] = topology.DELAYS,
        link_policy: LinkPolicy | None = None,
    ) -> None:
        self._deliver = deliver
        self._limits = limits or BridgeLimits()
        self._delays = delays
        self._link = Link(url, name=name, use=self._consume, policy=link_policy)
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._drain_timeout_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self.at_work = 0
        self.delivered = 0
        self.retried = 0
        self.dead_lettered = 0

    async def start(self) -> None:
        """Begin to consume. It does not wait for a broker, nor does it fail without one."""
        self._task = supervised("bridge-link", self._link.run)

    async def stop(self, drain_timeout_s: float = 5.0) -> None:
        """Take no more messages, finish those at work within ``drain_timeout_s``; what is left goes back to the
        inbox.
        """
        if self._task is None:
            return
        self._drain_timeout_s = drain_timeout_s
        self._stopping.set()
        if not self._link.is_up:
            self._task.cancel()
        await asyncio.wait((self._task,))
        self._task = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the broker now."""
        return self._link.is_up

    async def _consume(self, connection: AbstractConnection) -> None:
        await topology.declare(connection, delays=self._delays)
        outgoing = await connection.channel(publisher_confirms=True, on_return_raises=True)
        waiting = outgoing.default_exchange
        dead = await outgoing.get_exchange(topology.DEAD, ensure=False)
        incoming = await connection.channel(publisher_confirms=False)
        await incoming.set_qos(prefetch_count=self._limits.prefetch_max_messages)
        inbox: AbstractQueue = await incoming.get_queue(topology.INBOX, ensure=False)

        async def receive(message: AbstractIncomingMessage) -> None:
            await self._receive(message, waiting, dead)

        consumer = await inbox.consume(receive)
        ends = [
            awaited("bridge-stopping", self._stopping.wait()),
            awaited("bridge-incoming", incoming.closed()),
            awaited("bridge-outgoing", outgoing.closed()),
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        if not self._stopping.is_set():
            raise ConnectionResetError("a channel was closed")
        await inbox.cancel(consumer)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_timeout_s):
                await self._idle.wait()

    async def _receive(
        self, message: AbstractIncomingMessage, waiting: AbstractExchange, dead: AbstractExchange
    ) -> None:
        self.at_work += 1
        self._idle.clear()
        try:
            failure = await self._try(message)
            if failure is None:
                self.delivered += 1
            else:
                await self._send_on(message, failure, waiting, dead)
            await message.ack()
        except DeliveryError:
            log.exception("message_not_sent_on", message_id=message.message_id)
            await asyncio.sleep(self._limits.requeue_pause_s)
            with suppress(*LOST):
                await message.nack(requeue=True)
        except LOST:
            log.warning("message_comes_again", message_id=message.message_id)
        finally:
            self.at_work -= 1
            if not self.at_work:
                self._idle.set()

    async def _try(self, message: AbstractIncomingMessage) -> _NotDelivered | None:
        """Read and deliver; None when it had its effect."""
        try:
            event = decode(message.body, self._limits.message_max_bytes)
        except Unreadable as error:
            return _NotDelivered(error.reason, error.detail, is_for_later=False)
        try:
            async with asyncio.timeout(self._limits.deliver_timeout_s):
                await self._deliver(event)
        except Refused as error:
            return _NotDelivered(error.code, error.detail, is_for_later=error.code in NOT_YET)
        except Unavailable as error:
            return _NotDelivered(error.code, error.detail, is_for_later=True)
        except OutcomeUnknown as error:
            return _NotDelivered("outcome_unknown", error.detail, is_for_later=True)
        except TimeoutError:
            limit_s = self._limits.deliver_timeout_s
            return _NotDelivered("outcome_unknown", f"no answer within {limit_s} s", is_for_later=True)
        except Exception as error:
            log.exception("delivery_failed", source=event.source, event_id=event.id, type=event.type)
            return _NotDelivered("internal_error", type(error).__name__, is_for_later=True)
        return None

    async def _send_on(
        self,
        message: AbstractIncomingMessage,
        failure: _NotDelivered,
        waiting: AbstractExchange,
        dead: AbstractExchange,
    ) -> None:
        """Send a message to wait or aside, and return once the broker has it there."""
        attempt = parcel.attempt_of(message)
        limit_s = self._limits.publish_timeout_s
        if failure.is_for_later and attempt < len(self._delays):
            sent = parcel.to_wait(message, attempt + 1, failure.reason, failure.detail)
            await waiting.publish(sent, self._delays[attempt].queue, mandatory=True, timeout=limit_s)
            self.retried += 1
            return
        sent = parcel.to_set_aside(message, failure.reason, failure.detail)
        await dead.publish(sent, parcel.routing_key_of(message), mandatory=True, timeout=limit_s)
        self.dead_lettered += 1
        log.warning(
            "message_dead_lettered",
            message_id=message.message_id,
            reason=failure.reason,
            attempts=attempt,
            routing_key=parcel.routing_key_of(message),
        )
