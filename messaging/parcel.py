"""A parcel: a consumed message that is sent on, to wait or to be set aside, with where it came from and why in its
headers.

Only what makes the new message out of the old one is here; nothing is sent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pamqp.encode
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

ATTEMPT = "x-attempt"
REASON = "x-reason"
DETAIL = "x-detail"
ORIGINAL_EXCHANGE = "x-original-exchange"
ORIGINAL_ROUTING_KEY = "x-original-routing-key"
FIRST_RECEIVED = "x-first-received"

ATTEMPTS_READ_MAX = 1_000_000
DETAIL_MAX_CHARACTERS = 500
FOREIGN_HEADERS_MAX_BYTES = 4096

# RabbitMQ writes the first three kinds itself; it would route copies by the last two.
_NOT_CARRIED_OVER = ("x-death", "x-first-death-", "x-last-death-", "CC", "BCC")


def attempt_of(message: AbstractIncomingMessage) -> int:
    """How often the message has been sent to wait; 0 where the header is absent or makes no sense."""
    value = message.headers.get(ATTEMPT)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return min(max(value, 0), ATTEMPTS_READ_MAX)


def text_of(message: AbstractIncomingMessage, header: str) -> str | None:
    """A header that is a text, or None."""
    value = message.headers.get(header)
    return value if isinstance(value, str) else None


def to_wait(message: AbstractIncomingMessage, attempt: int, reason: str, detail: str) -> Message:
    """The message as it goes into a delayed-retry queue, for the ``attempt``-th time."""
    return _sent_on(message, {ATTEMPT: attempt, REASON: reason, DETAIL: _bounded(detail)})


def to_set_aside(message: AbstractIncomingMessage, reason: str, detail: str) -> Message:
    """The message as a dead letter."""
    return _sent_on(message, {ATTEMPT: attempt_of(message), REASON: reason, DETAIL: _bounded(detail)})


def to_try_anew(message: AbstractIncomingMessage) -> Message:
    """A dead letter as it goes back to the inbox: with all its attempts before it, and where it first came from."""
    return _sent_on(message, {})


def routing_key_of(message: AbstractIncomingMessage) -> str:
    """The routing key that the message first came with."""
    return text_of(message, ORIGINAL_ROUTING_KEY) or message.routing_key or ""


def _sent_on(message: AbstractIncomingMessage, ours: dict[str, Any]) -> Message:
    """A copy that outlives a restart. Not copied: a time to live, which would make it vanish; a user id, which
    RabbitMQ would check against ours; a priority.
    """
    origin = {
        ORIGINAL_EXCHANGE: text_of(message, ORIGINAL_EXCHANGE) or message.exchange or "",
        ORIGINAL_ROUTING_KEY: routing_key_of(message),
        FIRST_RECEIVED: text_of(message, FIRST_RECEIVED) or datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    return Message(
        message.body,
        headers={**_foreign_headers(message), **origin, **ours},
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
        delivery_mode=DeliveryMode.PERSISTENT,
    )


def _foreign_headers(message: AbstractIncomingMessage) -> dict[str, Any]:
    """The sender's own headers, or none where they are many: all headers of a message have to fit into one frame."""
    own = (ATTEMPT, REASON, DETAIL)
    foreign = {
        name: value
        for name, value in message.headers.items()
        if name not in own and not name.startswith(_NOT_CARRIED_OVER)
    }
    try:
        size_bytes = len(pamqp.encode.field_table(foreign))
    except (TypeError, ValueError):
        return {}
    return foreign if size_bytes <= FOREIGN_HEADERS_MAX_BYTES else {}


def _bounded(detail: str) -> str:
    return detail[:DETAIL_MAX_CHARACTERS].encode(errors="replace").decode()
