"""Dead letters: looked at without being lost, and sent again to the inbox when whatever was wrong has been mended.

For an operator, a few at a time. Nothing is deleted here: a letter leaves the queue only after the inbox has
confirmed it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from messaging import parcel, topology
from messaging.link import LinkPolicy

LIST_MAX_LETTERS = 1000
SCAN_MAX_LETTERS = 10_000
KEY_BYTES = 6
STEP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that was set aside, and why. ``key`` stands for its content: the same message has the same."""

    key: str
    message_id: str | None
    reason: str
    detail: str
    attempts: int
    exchange: str
    routing_key: str
    first_received: str
    body: bytes


async def count_dead_letters(url: str) -> int:
    """How many there are."""
    async with _opened(url) as (_, queue):
        return queue.declaration_result.message_count or 0


async def list_dead_letters(url: str, *, limit: int = 100) -> list[DeadLetter]:
    """The first ``limit`` (1000 at most) of them; they stay in the queue."""
    async with _opened(url) as (_, queue):
        return [_letter(message) async for message in _each(queue, min(limit, LIST_MAX_LETTERS))]


async def find_dead_letter(url: str, key: str) -> DeadLetter | None:
    """The first one with this key among the first 10,000, or None; it stays in the queue."""
    async with _opened(url) as (_, queue):
        async for message in _each(queue, SCAN_MAX_LETTERS):
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
    async with _opened(url) as (channel, queue):
        async for message in _each(queue, SCAN_MAX_LETTERS):
            if sent >= limit:
                break
            if keys is None or _key(message) in keys:
                anew = parcel.to_try_anew(message)
                await channel.default_exchange.publish(anew, topology.INBOX, mandatory=True, timeout=STEP_TIMEOUT_S)
                await message.ack()
                sent += 1
    return sent


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[tuple[AbstractChannel, AbstractQueue]]:
    """The queue on a channel of its own. What was got and not acknowledged goes back when the channel closes."""
    async with await aio_pika.connect(url, timeout=LinkPolicy().connect_timeout_s) as connection:
        await topology.declare(connection)
        async with connection.channel(publisher_confirms=True, on_return_raises=True) as channel:
            yield channel, await channel.declare_queue(topology.DEAD_LETTERS, passive=True)


async def _each(queue: AbstractQueue, limit: int) -> AsyncIterator[AbstractIncomingMessage]:
    """Each message once: as many as there were at the beginning, so that one that comes back is not met again."""
    for _ in range(min(limit, queue.declaration_result.message_count or 0)):
        message = await queue.get(no_ack=False, fail=False, timeout=STEP_TIMEOUT_S)
        if message is None:
            return
        yield message


def _key(message: AbstractIncomingMessage) -> str:
    return hashlib.blake2b(message.body, digest_size=KEY_BYTES, person=b"dead letter").hexdigest()


def _letter(message: AbstractIncomingMessage) -> DeadLetter:
    return DeadLetter(
        key=_key(message),
        message_id=message.message_id,
        reason=parcel.text_of(message, parcel.REASON) or "unknown",
        detail=parcel.text_of(message, parcel.DETAIL) or "",
        attempts=parcel.attempt_of(message),
        exchange=parcel.text_of(message, parcel.ORIGINAL_EXCHANGE) or "",
        routing_key=parcel.routing_key_of(message),
        first_received=parcel.text_of(message, parcel.FIRST_RECEIVED) or "",
        body=message.body,
    )
