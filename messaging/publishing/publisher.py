"""The publisher: committed events on their way to RabbitMQ, with confirms, in sequence within each order.

It is offered events after their commit and reports, in groups, which have arrived. It never makes a caller wait: without a
broker the backlog fills, and what it can't hold comes again from the database. It reads no database itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile

import structlog
from aio_pika.abc import AbstractConnection

from messaging import topology
from messaging.connection import BrokerConnection, BrokerConnectionPolicy
from messaging.envelope import NOTICE_TYPE
from messaging.publishing.confirm_channel import ConfirmChannel, open_confirm_channel
from messaging.publishing.event_properties import encode_properties
from messaging.publishing.publish_queue import Line, Outbound, PublishQueue
from supervised import awaited, note_failure, supervised

__all__ = ["Outbound", "Publisher", "PublisherLimits"]

log = structlog.get_logger()

CHANNEL_NUMBER = 1000  # far from the numbers that aiormq gives by itself
WRITE_MAX_MESSAGES = 64
REPORTS_WAITING_MAX = 10

OnConfirmed = Callable[[list[tuple[str, int]]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherLimits:
    """Bounds of a publisher.

    ``queue_max_events`` wait or are under way; ``confirms_in_flight_max`` of them are under way; as many orders as
    ``remembered_max_orders`` are remembered after their last event. Confirms are reported after ``report_every_s`` or
    ``report_max_events``, whichever comes first. What the broker refuses (nack) is sent again after ``nack_retry_s``.
    """

    queue_max_events: int = 50_000
    confirms_in_flight_max: int = 256
    remembered_max_orders: int = 50_000
    report_every_s: float = 0.2
    report_max_events: int = 500
    nack_retry_s: float = 1.0
    gather_s: float = 0.01
    hurry_events: int = 8


class Publisher:
    """Publishes what it is offered. ``on_confirmed`` gets ``(order id, sequence)`` pairs, one group at a time; if it
    raises, those pairs are reported again when their events are offered again.

    Counters: ``published`` events (confirmed, their notices with them), ``returned`` messages that no queue was bound
    for, ``retried`` events that had to be sent again.
    """

    def __init__(
        self,
        url: str,
        *,
        on_confirmed: OnConfirmed,
        name: str = "ordersvc-publisher",
        limits: PublisherLimits | None = None,
        connection_policy: BrokerConnectionPolicy | None = None,
    ) -> None:
        self._limits = limits or PublisherLimits()
        self._on_confirmed = on_confirmed
        self._queue = PublishQueue(
            max_events=self._limits.queue_max_events, remembered_max_orders=self._limits.remembered_max_orders
        )
        self._broker = BrokerConnection(url, name=name, use=self._publish, policy=connection_policy)
        self._confirmed: list[tuple[str, int]] = []
        self._wake = asyncio.Event()
        self._is_hurried = False
        self._drained = asyncio.Event()
        self._report_due = asyncio.Event()
        self._report_full = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.published = 0
        self.returned = 0
        self.retried = 0

    async def start(self) -> None:
        """Begin to publish. It does not wait for a broker, nor does it fail without one."""
        self._tasks = [
            supervised("publisher-link", self._broker.run),
            supervised("publisher-report", self._report),
        ]

    async def stop(self, drain_timeout_s: float = 5.0) -> None:
        """Publish what waits, for ``drain_timeout_s`` at most, report what was confirmed, and close the connection."""
        if self._queue.size:
            self._drained.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(drain_timeout_s):
                    await self._drained.wait()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []
        await self._tell_confirmed()

    def offer(self, order_id: str, events: Sequence[Outbound]) -> None:
        """Take committed events of an order, never waiting. ``PublishQueue.offer`` says what is passed over."""
        for sequence in self._queue.offer(order_id, events):
            self._note_confirmed(order_id, sequence)
        if self._queue.has_ready:
            self._wake.set()

    def forget(self, order_ids: Iterable[str]) -> None:
        """Drop what is known of orders that leave memory or have another owner now."""
        self._queue.forget(order_ids)

    def leave(self, order_ids: Iterable[str]) -> None:
        """These orders leave the caller's memory: what waits goes out, but one that lags is forgotten, so that what
        is kept of lagging orders is bounded by the orders in memory. Its events are found unpublished in the
        database.
        """
        self._queue.forget(order_id for order_id in order_ids if self._queue.is_lagging(order_id))

    def statistics(self) -> dict[str, float]:
        """Figures for the metrics, by name."""
        return {
            "published_total": self.published,
            "returned_total": self.returned,
            "republished_total": self.retried,
            "publisher_waiting_events": self.waiting_events,
            "publisher_lagging_orders": self.lagging_orders,
        }

    def lagging(self) -> frozenset[str]:
        """The orders whose further events have to be offered again from the database."""
        return self._queue.lagging

    @property
    def lagging_orders(self) -> int:
        """How many orders lag."""
        return self._queue.lagging_orders

    @property
    def waiting_events(self) -> int:
        """How many events wait or are under way."""
        return self._queue.size

    @property
    def room(self) -> int:
        """How many more events can be taken: as many as a sweep should ask the database for."""
        return self._queue.room

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the broker now."""
        return self._broker.is_up

    # One connection's worth of publishing.

    async def _publish(self, connection: AbstractConnection) -> None:
        await topology.declare(connection)
        session = _Session(self._settle)
        transport = connection.transport
        if transport is None:
            raise ConnectionResetError("the connection is closed")
        channel = await open_confirm_channel(
            transport.connection, CHANNEL_NUMBER, session.on_confirm, self._count_returned
        )
        pump = awaited("publisher-pump", self._pump(channel, session))
        closing = channel.closing
        try:
            await asyncio.wait((pump, closing), return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
            raise ConnectionResetError("the channel was closed")
        finally:
            pump.cancel()
            closing.cancel()
            lost = session.end()
            self.retried += len(lost)
            for line in lost:
                self._queue.again(line)

    async def _pump(self, channel: ConfirmChannel, session: _Session) -> None:
        """Write what may be written, some time after there is something; asleep otherwise."""
        while True:
            self._wake.clear()
            while frames := self._next_frames(channel, session):
                await channel.send(frames)
            await self._wake.wait()
            if not self._is_hurried:
                await asyncio.sleep(self._limits.gather_s)
            self._is_hurried = False

    def _next_frames(self, channel: ConfirmChannel, session: _Session) -> list[bytes]:
        limits = self._limits
        frames: list[bytes] = []
        tag = channel.delivery_tag
        while (
            len(session.under_way) < limits.confirms_in_flight_max
            and len(frames) < WRITE_MAX_MESSAGES
            and len(self._confirmed) < REPORTS_WAITING_MAX * limits.report_max_events
        ):
            following = self._queue.next()
            if following is None:
                break
            line, event = following
            try:
                messages = [
                    channel.message_frames(
                        exchange=exchange,
                        routing_key=routing_key,
                        properties=encode_properties(body),
                        body=body,
                    )
                    for exchange, routing_key, body in _messages(event)
                ]
            except Exception as error:  # noqa: BLE001 - one event that can't be framed must not hold up those of other orders
                note_failure("frame-event", error, order_id=line.order_id)
                self._later(line)
                continue
            sent = _Sent(line, awaited=len(messages))
            for message in messages:
                tag += 1
                session.under_way[tag] = sent
                frames.append(message)
        return frames

    def _settle(self, line: Line, is_taken: bool) -> None:
        """The broker has spoken on all that was sent for the head of a line."""
        if is_taken:
            self.published += 1
            self._note_confirmed(line.order_id, self._queue.confirm(line))
            self._is_hurried = self._is_hurried or len(line.waiting) > self._limits.hurry_events
            if not self._queue.size:
                self._drained.set()
            self._wake.set()
        else:
            self._later(line)

    def _later(self, line: Line) -> None:
        self.retried += 1
        asyncio.get_running_loop().call_later(self._limits.nack_retry_s, self._send_again, line)

    def _send_again(self, line: Line) -> None:
        self._queue.again(line)
        self._wake.set()

    def _count_returned(self) -> None:
        self.returned += 1

    # Reporting what was confirmed.

    def _note_confirmed(self, order_id: str, sequence: int) -> None:
        self._confirmed.append((order_id, sequence))
        self._report_due.set()
        if len(self._confirmed) >= self._limits.report_max_events:
            self._report_full.set()

    async def _report(self) -> None:
        while True:
            await self._report_due.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.report_every_s):
                    await self._report_full.wait()
            await self._tell_confirmed()

    async def _tell_confirmed(self) -> None:
        self._report_due.clear()
        self._report_full.clear()
        group, self._confirmed = self._confirmed, []
        if not group:
            return
        try:
            await self._on_confirmed(group)
        except Exception:
            log.exception("confirms_not_noted", events=len(group))
        self._wake.set()


@dataclass(slots=True, eq=False)
class _Sent:
    """What was sent for the head of a line: its event, and the notice that goes with it."""

    line: Line
    awaited: int = 0
    is_refused: bool = False


class _Session:
    """What is under way on one channel, by delivery tag; a late word on an earlier channel finds nothing."""

    def __init__(self, settle: Callable[[Line, bool], None]) -> None:
        self.under_way: dict[int, _Sent] = {}
        self._settle = settle

    def on_confirm(self, delivery_tag: int, multiple: bool, is_ack: bool) -> None:
        """The broker's word on one message, or on all up to it."""
        for tag in self._up_to(delivery_tag) if multiple else (delivery_tag,):
            sent = self.under_way.pop(tag, None)
            if sent is None:
                continue
            sent.awaited -= 1
            sent.is_refused = sent.is_refused or not is_ack
            if not sent.awaited:
                self._settle(sent.line, not sent.is_refused)

    def end(self) -> list[Line]:
        """The lines whose heads were not wholly confirmed; nothing is under way any more."""
        lines = {id(sent.line): sent.line for sent in self.under_way.values()}
        self.under_way.clear()
        return list(lines.values())

    def _up_to(self, delivery_tag: int) -> list[int]:
        # Tags are in ascending order, as they were given.
        return list(takewhile(lambda tag: tag <= delivery_tag, self.under_way))


def _messages(event: Outbound) -> Iterator[tuple[str, str, bytes]]:
    yield topology.EVENTS, event.routing_key, event.body
    if event.notice is not None:
        yield topology.NOTIFICATIONS, NOTICE_TYPE, event.notice
