"""The consumer: partners' events from the inbox to the function that is handed in, acknowledged only after they have had their
effect.

A message leaves the inbox in one of three ways: delivered, sent to wait for a while, or set aside as a dead letter.
It is acknowledged after that has happened, so it may come twice but is never lost. What an event means is not known
here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aio_pika.abc import AbstractConnection, AbstractExchange
from aiormq.abc import DeliveredMessage

from domain.errors import OutcomeUnknown, Refused, Unavailable
from messaging import topology
from messaging.connection import LOST, BrokerConnection, BrokerConnectionPolicy
from messaging.consuming import redelivery
from messaging.consuming.delivery import Delivery, delivery_of
from messaging.consuming.intake import Intake, IntakeChannel
from messaging.consuming.unanswered import Unanswered
from messaging.envelope import DETAIL_MAX_CHARACTERS, InboundEvent, UnreadableEvent, decode
from supervised import awaited, supervised

log = structlog.get_logger()

# What is not known may be known soon: our own commit may come after the partner's event.
NOT_YET = frozenset({"order_not_found", "payment_not_found"})

Deliver = Callable[[InboundEvent], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerLimits:
    """Bounds of a consumer: messages at work at once and the bytes of their bodies, the size of a body that is read, how
    long a delivery may take, how long a publish.

    ``requeue_pause_s`` passes before a message that could neither be delivered nor sent on is tried again. One that has no
    answer for ``answer_max_s`` counts as unanswered.
    """

    prefetch_max_messages: int = 128
    at_work_max_bytes: int = 16_777_216
    message_max_bytes: int = 1_048_576
    deliver_timeout_s: float = 20.0
    publish_timeout_s: float = 10.0
    requeue_pause_s: float = 1.0
    answer_max_s: float = 60.0


@dataclass(frozen=True, slots=True)
class _NotDelivered:
    """Why a message had no effect, and whether it may have one later."""

    reason: str
    detail: str
    is_for_later: bool


@dataclass(frozen=True, slots=True)
class _Channels:
    """Where messages come from, and where they are sent on to: to wait, or aside."""

    incoming: IntakeChannel
    waiting: AbstractExchange
    dead: AbstractExchange


class Consumer:
    """Consumes ``ordersvc.inbox``. ``deliver`` returns once the effect is committed, or raises: ``Unavailable``,
    ``OutcomeUnknown``, a ``Refused`` that says "not known" and any unforeseen error mean later; any other ``Refused``
    means never.

    Counters: ``delivered``, ``retried`` (sent to wait), ``dead_lettered``, ``given_back`` (came when there was no room),
    ``times_out_of_range`` (events delivered whose own time is); ``at_work`` messages now.
    """

    def __init__(
        self,
        url: str,
        *,
        deliver: Deliver,
        name: str = "ordersvc-bridge",
        limits: ConsumerLimits | None = None,
        delays: tuple[topology.Delay, ...] = topology.DELAYS,
        connection_policy: BrokerConnectionPolicy | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deliver = deliver
        self._limits = limits or ConsumerLimits()
        self._delays = delays
        self._broker = BrokerConnection(url, name=name, use=self._consume, policy=connection_policy)
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._drain_timeout_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self._unanswered = Unanswered(self._limits.answer_max_s, monotonic)
        self._intake: Intake | None = None
        self._given_back = 0
        self.delivered = 0
        self.retried = 0
        self.dead_lettered = 0
        self.times_out_of_range = 0

    async def start(self) -> None:
        """Begin to consume. It does not wait for a broker, nor does it fail without one."""
        self._task = supervised("bridge-link", self._broker.run)

    async def stop(self, drain_timeout_s: float = 5.0) -> None:
        """Take no more messages, finish those at work within ``drain_timeout_s``; what is left goes back to the
        inbox.
        """
        if self._task is None:
            return
        self._drain_timeout_s = drain_timeout_s
        self._stopping.set()
        if not self._broker.is_up:
            self._task.cancel()
        await asyncio.wait((self._task,))
        self._task = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the broker now."""
        return self._broker.is_up

    @property
    def connects(self) -> int:
        """How often a connection was made."""
        return self._broker.connects

    @property
    def at_work(self) -> int:
        """Messages that are being handled now."""
        return self._unanswered.at_work

    @property
    def at_work_bytes(self) -> int:
        """The bodies of those."""
        return 0 if self._intake is None else self._intake.at_work_bytes

    @property
    def unanswered(self) -> int:
        """Messages that have been neither acknowledged nor set aside for longer than ``answer_max_s``."""
        return self._unanswered.count()

    @property
    def given_back(self) -> int:
        """How many messages were given back to the inbox because there was no room for their bodies."""
        return self._given_back + (0 if self._intake is None else self._intake.given_back)

    async def _consume(self, connection: AbstractConnection) -> None:
        await topology.declare(connection, delays=self._delays)
        outgoing = await connection.channel(publisher_confirms=True, on_return_raises=True)
        dead = await outgoing.get_exchange(topology.DEAD, ensure=False)
        transport = connection.transport
        if transport is None:
            raise ConnectionResetError("the connection is closed")

        async def receive(message: DeliveredMessage) -> None:
            await self._receive(message, channels)

        self._given_back = self.given_back
        self._intake = intake = Intake(
            topology.INBOX,
            receive,
            prefetch_max_messages=self._limits.prefetch_max_messages,
            at_work_max_bytes=self._limits.at_work_max_bytes,
        )
        channels = _Channels(await intake.open(transport.connection), outgoing.default_exchange, dead)
        consuming = awaited("bridge-intake", intake.run())
        ends = [
            consuming,
            awaited("bridge-stopping", self._stopping.wait()),
            channels.incoming.closing,
            awaited("bridge-outgoing", outgoing.closed()),
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if consuming.done():
                consuming.result()
            if not self._stopping.is_set():
                raise ConnectionResetError("a channel was closed")
            intake.end()
            await consuming
            with suppress(TimeoutError):
                async with asyncio.timeout(self._drain_timeout_s):
                    await self._idle.wait()
        finally:
            for end in ends:
                end.cancel()

    async def _receive(self, message: DeliveredMessage, channels: _Channels) -> None:
        """Answer every message: the broker gets its acknowledgement, or has it again."""
        self._idle.clear()
        work = self._unanswered.begin(message.body)
        try:
            await self._answer(delivery_of(message), channels)
            await channels.incoming.basic_ack(message.delivery_tag or 0)
            self._unanswered.answered(work)
        except Exception as error:
            if isinstance(error, LOST):
                log.warning("message_comes_again", error=type(error).__name__, detail=str(error)[:200])
            else:
                log.exception("message_not_answered", message_id=message.header.properties.message_id)
            await asyncio.sleep(self._limits.requeue_pause_s)
            with suppress(Exception):  # the channel is gone, and with it the message is back in the inbox
                await channels.incoming.basic_nack(message.delivery_tag or 0, requeue=True)
            self._unanswered.given_back(work)
        except asyncio.CancelledError:  # the channel is gone
            self._unanswered.given_back(work)
            raise
        finally:
            self._unanswered.end(work)
            if not self.at_work:
                self._idle.set()

    async def _answer(self, message: Delivery, channels: _Channels) -> None:
        """Deliver a message or send it on; returns when the one or the other has happened."""
        failure = await self._try(message)
        if failure is None:
            self.delivered += 1
        else:
            await self._send_on(message, failure, channels)

    async def _try(self, message: Delivery) -> _NotDelivered | None:
        """Read and deliver; None when it had its effect."""
        try:
            event = decode(
                message.body,
                self._limits.message_max_bytes,
                content_type=message.content_type,
                headers=message.headers,
            )
            if redelivery.exchange_of(message) != topology.CONSUMED[event.type]:
                detail = f"{event.type} came by the exchange {redelivery.exchange_of(message)!r}"
                return _NotDelivered("wrong_exchange", detail, is_for_later=False)
            async with asyncio.timeout(self._limits.deliver_timeout_s):
                await self._deliver(event)
        except UnreadableEvent as error:
            return _NotDelivered(error.reason, error.detail, is_for_later=False)
        except Refused as error:
            return _NotDelivered(error.code, error.detail, is_for_later=error.code in NOT_YET)
        except Unavailable as error:
            return _NotDelivered(error.code, error.detail, is_for_later=True)
        except OutcomeUnknown as error:
            return _NotDelivered("outcome_unknown", error.detail, is_for_later=True)
        except TimeoutError:
            limit_s = self._limits.deliver_timeout_s
            return _NotDelivered("outcome_unknown", f"no answer within {limit_s} s", is_for_later=True)
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the channel is gone, or we stop
            log.exception("delivery_failed", message_id=message.message_id)
            return _NotDelivered("internal_error", _text_of(error), is_for_later=True)
        if event.time is None:
            self.times_out_of_range += 1
        return None

    async def _send_on(
        self,
        message: Delivery,
        failure: _NotDelivered,
        channels: _Channels,
    ) -> None:
        """Send a message to wait or aside, and return once the broker has it there."""
        attempt = redelivery.attempt_of(message)
        limit_s = self._limits.publish_timeout_s
        if failure.is_for_later and attempt < len(self._delays):
            sent = redelivery.as_delayed(message, attempt + 1, failure.reason, failure.detail)
            await channels.waiting.publish(sent, self._delays[attempt].queue, mandatory=True, timeout=limit_s)
            self.retried += 1
            return
        sent = redelivery.as_dead_letter(message, failure.reason, failure.detail)
        await channels.dead.publish(sent, redelivery.routing_key_of(message), mandatory=True, timeout=limit_s)
        self.dead_lettered += 1
        log.warning(
            "message_dead_lettered",
            message_id=message.message_id,
            reason=failure.reason,
            attempts=attempt,
            routing_key=redelivery.routing_key_of(message),
        )


def _text_of(error: BaseException) -> str:
    """What an error says, which may be an error again."""
    try:
        return f"{type(error).__name__}: {error}"[:DETAIL_MAX_CHARACTERS]
    except Exception:  # noqa: BLE001
        return type(error).__name__
