"""The intake: consumes a queue so that the bodies in memory have a bound in bytes.

RabbitMQ's prefetch counts messages, and their size is known only once they are on their way. So a body for which there is no room is
read off the connection without being kept, and given back to the queue; from then on messages are taken one at a time, of any
size, until enough small ones came in a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiormq.abc import AbstractConnection, DeliveredMessage, FrameType
from aiormq.channel import Channel
from pamqp import commands as spec
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

log = structlog.get_logger()

SMALL_IN_A_ROW_MESSAGES = 64

Receive = Callable[[DeliveredMessage], Awaitable[None]]


class IntakeChannel(Channel):
    """``has_room(size)`` is asked for each message before its body is read; one for which it gives False is not kept, and
    ``passed_over(delivery_tag)`` is called instead of the consumer.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        number: int,
        has_room: Callable[[int], bool],
        passed_over: Callable[[int], None],
    ) -> None:
        super().__init__(connection, number, publisher_confirms=False)
        self._has_room = has_room
        self._passed_over = passed_over
        self._ahead: ContentHeader | None = None  # was looked at, and is still to be read

    async def _get_frame(self) -> FrameType:
        if self._ahead is None:
            return await super()._get_frame()
        ahead, self._ahead = self._ahead, None
        return ahead

    async def _on_deliver_frame(self, frame: spec.Basic.Deliver) -> None:
        header = await self._get_frame()
        if not isinstance(header, ContentHeader):
            raise ValueError(f"expected a content header, got {header!r}")  # noqa: TRY004 - as aiormq itself does
        if self._has_room(header.body_size):
            self._ahead = header
            await super()._on_deliver_frame(frame)
            return
        left_bytes = header.body_size
        while left_bytes > 0:
            content = await self._get_frame()
            if not isinstance(content, ContentBody):
                raise ValueError(f"expected a content body, got {content!r}")  # noqa: TRY004
            left_bytes -= len(content.value)
        self._passed_over(frame.delivery_tag or 0)


class Intake:
    """Hands each message of ``queue`` to ``receive``, which acknowledges it on ``channel`` or gives it back before it returns.

    ``at_work_bytes`` are the bodies that ``receive`` has now, at most ``at_work_max_bytes`` and one more message; ``given_back``
    counts those that came when there was no room.
    """

    def __init__(self, queue: str, receive: Receive, *, prefetch_max_messages: int, at_work_max_bytes: int) -> None:
        self._queue = queue
        self._receive = receive
        self._prefetch_max_messages = prefetch_max_messages
        self._at_work_max_bytes = at_work_max_bytes
        self._is_one_at_a_time = False
        self._small_in_a_row = 0
        self._is_ending = False
        self._is_cancelled = False
        self._change = asyncio.Event()
        self._passed_over: list[int] = []
        self.at_work_bytes = 0
        self.given_back = 0

    async def open(self, connection: AbstractConnection) -> IntakeChannel:
        """Open the channel."""
        number = max(connection.channels, default=0) + 1
        self.channel = IntakeChannel(connection, number, self._takes, self._pass_over)
        connection.channels[number] = self.channel
        self.channel.on_consumer_cancel_callbacks.add(self._note_cancelled)
        await self.channel.open()
        return self.channel

    async def run(self) -> None:
        """Consume until ``end`` is called. Raises aiormq's errors when the channel is lost, ``ConnectionResetError`` when the broker
        ends the consumer (as it does when the queue is deleted).
        """
        while True:
            prefetch = 1 if self._is_one_at_a_time else self._prefetch_max_messages
            await self.channel.basic_qos(prefetch_count=prefetch)
            consuming = await self.channel.basic_consume(self._queue, self._hand_over)
            await self._change.wait()
            if self._is_cancelled:
                raise ConnectionResetError("the broker has ended the consumer")
            await self.channel.basic_cancel(consuming.consumer_tag or "")
            # Nothing of this consumer comes any more, and what came since the change was asked for was passed over.
            given_back, self._passed_over = self._passed_over, []
            for delivery_tag in given_back:
                await self.channel.basic_nack(delivery_tag, requeue=True)
            self.given_back += len(given_back)
            if self._is_ending:
                return
            self._change.clear()
            self._is_one_at_a_time = not self._is_one_at_a_time
            self._small_in_a_row = 0
            log.info("intake_changed", is_one_at_a_time=self._is_one_at_a_time, given_back=len(given_back))

    def end(self) -> None:
        """Let ``run`` return; messages at work are finished."""
        self._is_ending = True
        self._change.set()

    def _takes(self, size_bytes: int) -> bool:
        if self._change.is_set():
            return False
        if not self._is_one_at_a_time and self.at_work_bytes + size_bytes > self._at_work_max_bytes:
            self._change.set()
            return False
        self.at_work_bytes += size_bytes
        return True

    def _note_cancelled(self, _: object) -> None:
        self._is_cancelled = True
        self._change.set()

    def _pass_over(self, delivery_tag: int) -> None:
        self._passed_over.append(delivery_tag)

    async def _hand_over(self, message: DeliveredMessage) -> None:
        size_bytes = len(message.body)
        try:
            await self._receive(message)
        finally:
            self.at_work_bytes -= size_bytes
            if self._is_one_at_a_time:
                self._note_size(size_bytes)

    def _note_size(self, size_bytes: int) -> None:
        """Take many at a time again once there is room for as many as come at once, if all were of the size of the latest."""
        is_small = size_bytes * self._prefetch_max_messages <= self._at_work_max_bytes
        self._small_in_a_row = self._small_in_a_row + 1 if is_small else 0
        if self._small_in_a_row >= SMALL_IN_A_ROW_MESSAGES:
            self._change.set()
