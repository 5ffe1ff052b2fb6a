"""Dead letters: looked at without being lost, and sent again to the inbox when their cause has been mended.

For an operator, a few at a time. Nothing is deleted here: a dead letter leaves the queue only after the inbox has
confirmed it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractQueue
from aiormq.abc import DeliveredMessage

from messaging import content_modes, topology
from messaging.connection import BrokerConnectionPolicy
from messaging.consuming import redelivery
from messaging.consuming.decoding import tolerate_any_properties
from messaging.consuming.delivery import Delivery, delivery_of

LIST_MAX_LETTERS = 1000
LISTED_BODY_MAX_BYTES = 8192  # a thousand of the broker's largest size would fill the memory
SCAN_MAX_LETTERS = 10_000
KEY_BYTES = 6
KEY = re.compile(f"[0-9a-f]{{{2 * KEY_BYTES}}}")
READ_AHEAD_MAX_LETTERS = 100
STEP_TIMEOUT_S = 10.0
NONE_LEFT_AFTER_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that was set aside, and why. ``key`` stands for its content: the same message has the same. ``body`` is the whole
    one of ``size_bytes``, or in a list its beginning.
    """

    key: str
    message_id: str | None
    reason: str
    detail: str
    attempts: int
    exchange: str
    routing_key: str
    first_received: str
    size_bytes: int
    body: bytes


async def count_dead_letters(url: str) -> int:
    """How many there are."""
    async with _opened(url) as (_, queue):
        return queue.declaration_result.message_count or 0


async def list_dead_letters(url: str, *, limit: int = 100) -> list[DeadLetter]:
    """The first ``limit`` (1000 at most) of them, with the first 8192 bytes of each body; they stay in the queue."""
    async with _opened(url) as (channel, queue):
        return [
            _letter(message, LISTED_BODY_MAX_BYTES)
            async for message in _each(channel, queue, min(limit, LIST_MAX_LETTERS))
        ]


async def find_dead_letter(url: str, key: str) -> DeadLetter | None:
    """The first one with this key among the first 10,000, or None; it stays in the queue."""
    if not KEY.fullmatch(key):
        return None
    async with _opened(url) as (channel, queue):
        async for message in _each(channel, queue, SCAN_MAX_LETTERS):
            letter = _letter(message)
            if letter.key == key:
                return letter
    return None


async def resend_dead_letters(url: str, keys: Collection[str] | None = None, *, limit: int = 100) -> int:
    """Send those with one of ``keys`` (None: whichever come first) to the inbox again, ``limit`` at most; gives how
    many.

    They keep their ids, and get all their attempts anew. Only our inbox gets them: other consumers of the partner's
    exchange have had them. One that fails again comes back to the dead letters.
    """
    sent = 0
    # A search holds all that it has met: what can be no key is not searched for.
    wanted = None if keys is None else {key for key in keys if KEY.fullmatch(key)}
    if wanted is not None and not wanted:
        return 0
    async with _opened(url) as (channel, queue):
        async for message in _each(channel, queue, SCAN_MAX_LETTERS):
            if sent >= limit:
                break
            if wanted is None or _key(message) in wanted:
                anew = redelivery.as_first_delivery(message)
                await channel.default_exchange.publish(anew, topology.INBOX, mandatory=True, timeout=STEP_TIMEOUT_S)
                await _ack(channel, message)
                sent += 1
    return sent


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[tuple[AbstractChannel, AbstractQueue]]:
    """The queue on a channel of its own. What was got and not acknowledged goes back when the channel closes."""
    tolerate_any_properties()
    async with await aio_pika.connect(url, timeout=BrokerConnectionPolicy().connect_timeout_s) as connection:
        await topology.declare(connection)
        async with connection.channel(publisher_confirms=True, on_return_raises=True) as channel:
            yield channel, await channel.declare_queue(topology.DEAD_LETTERS, passive=True)


async def _each(channel: AbstractChannel, queue: AbstractQueue, limit: int) -> AsyncIterator[Delivery]:
    """Each message once: as many as there were at the beginning, so that one that comes back is not met again.

    They come ``READ_AHEAD_MAX_LETTERS`` at a time: a question for each took ten seconds where there are four thousand.
    """
    underlay = await channel.get_underlay_channel()
    left = min(limit, queue.declaration_result.message_count or 0)
    while left > 0:
        wanted = min(left, READ_AHEAD_MAX_LETTERS)
        coming: asyncio.Queue[DeliveredMessage] = asyncio.Queue(wanted)
        await underlay.basic_qos(prefetch_count=wanted, timeout=STEP_TIMEOUT_S)
        consuming = await underlay.basic_consume(topology.DEAD_LETTERS, coming.put, timeout=STEP_TIMEOUT_S)
        for _ in range(wanted):
            try:
                message = await asyncio.wait_for(coming.get(), NONE_LEFT_AFTER_S)
            except TimeoutError:  # another operator took the others, or looks at them
                return
            yield delivery_of(message)
        await underlay.basic_cancel(consuming.consumer_tag or "", timeout=STEP_TIMEOUT_S)
        left -= wanted


async def _ack(channel: AbstractChannel, message: Delivery) -> None:
    await (await channel.get_underlay_channel()).basic_ack(message.delivery_tag)


def _key(message: Delivery) -> str:
    """In binary mode two events may have the same body: there the attributes belong to the content."""
    content = message.body
    if content_modes.is_binary(message.content_type, message.headers):
        attributes = content_modes.attributes_of(message.content_type, message.headers)
        content += repr(sorted(attributes.items())).encode(errors="replace")
    return hashlib.blake2b(content, digest_size=KEY_BYTES, person=b"dead letter").hexdigest()


def _letter(message: Delivery, body_max_bytes: int | None = None) -> DeadLetter:
    return DeadLetter(
        key=_key(message),
        message_id=message.message_id,
        reason=redelivery.text_of(message, redelivery.REASON) or "unknown",
        detail=redelivery.text_of(message, redelivery.DETAIL) or "",
        attempts=redelivery.attempt_of(message),
        exchange=redelivery.exchange_of(message),
        routing_key=redelivery.routing_key_of(message),
        first_received=redelivery.text_of(message, redelivery.FIRST_RECEIVED) or "",
        size_bytes=len(message.body),
        body=message.body[:body_max_bytes],
    )
