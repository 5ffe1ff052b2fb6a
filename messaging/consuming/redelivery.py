"""Redelivery: a consumed message that is sent on, to wait or to be set aside, with where it came from and why in its
headers.

Only what makes the new message out of the old one is here; nothing is sent.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import pamqp.encode
from aio_pika import DeliveryMode, Message

from messaging import content_modes, topology
from messaging.consuming.delivery import Delivery

ATTEMPT = "x-attempt"
REASON = "x-reason"
DETAIL = "x-detail"
ORIGINAL_EXCHANGE = "x-original-exchange"
ORIGINAL_ROUTING_KEY = "x-original-routing-key"
FIRST_RECEIVED = "x-first-received"

ATTEMPTS_READ_MAX = 1_000_000
DETAIL_MAX_CHARACTERS = 500
FOREIGN_HEADERS_MAX_BYTES = 4096
CLOUDEVENTS_HEADERS_MAX_BYTES = 16_384
SHORT_TEXT_MAX_BYTES = 255

# RabbitMQ writes all but the last two kinds itself; it would route copies by those.
_NOT_CARRIED_OVER = (
    "x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count", "CC", "BCC",
)  # fmt: skip
_BY_US = ("", topology.DEAD)  # the exchanges by which we send messages on ourselves


def attempt_of(message: Delivery) -> int:
    """How often the message has been sent to wait; 0 where the header is absent, makes no sense, or is not our own."""
    value = message.headers.get(ATTEMPT) if message.exchange in _BY_US else None
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return min(max(value, 0), ATTEMPTS_READ_MAX)


def text_of(message: Delivery, header: str) -> str | None:
    """A header that is a text, or None."""
    value = message.headers.get(header)
    return value if isinstance(value, str) else None


def as_delayed(message: Delivery, attempt: int, reason: str, detail: str) -> Message:
    """The message as it goes into a delayed-retry queue, for the ``attempt``-th time."""
    return _sent_on(message, {ATTEMPT: attempt, REASON: reason, DETAIL: _bounded(detail)})


def as_dead_letter(message: Delivery, reason: str, detail: str) -> Message:
    """The message as a dead letter."""
    return _sent_on(message, {ATTEMPT: attempt_of(message), REASON: reason, DETAIL: _bounded(detail)})


def as_first_delivery(message: Delivery) -> Message:
    """A dead letter as it goes back to the inbox: with all its attempts before it, and where it first came from."""
    return _sent_on(message, {})


def exchange_of(message: Delivery) -> str:
    """The exchange that the message was first published to; empty where it was none.

    Our own header names it where we have sent the message on. In a message that came by another exchange that header is not our
    own, and where the broker itself set the message aside, the broker says where it came from.
    """
    return _origin(message)[0]


def routing_key_of(message: Delivery) -> str:
    """The routing key that the message first came with."""
    return _short(_origin(message)[1]) or ""


def _origin(message: Delivery) -> tuple[str, str]:
    exchange, routing_key = message.exchange, message.routing_key
    if exchange == topology.DEAD and "x-death" in message.headers:
        exchange, routing_key = _before_death(message.headers["x-death"])
    if exchange in _BY_US:
        told = text_of(message, ORIGINAL_EXCHANGE)
        return told or "", text_of(message, ORIGINAL_ROUTING_KEY) or routing_key
    return exchange, routing_key


def _before_death(deaths: Any) -> tuple[str, str]:
    """Where the broker says that a message came from which it has set aside itself: the latest entry is the first."""
    try:
        return str(deaths[0]["exchange"]), str(deaths[0]["routing-keys"][0])
    except (TypeError, LookupError):
        return "unknown", ""


def _sent_on(message: Delivery, ours: dict[str, Any]) -> Message:
    """A copy that outlives a restart. Not copied: a time to live, which would make it vanish; a user id, which
    RabbitMQ would check against ours; a priority.

    Each header has a bound, be it one that is ours by its name: all of them have to fit into one frame, and one that
    does not ends the connection, at each redelivery again.
    """
    origin = {
        ORIGINAL_EXCHANGE: _short(exchange_of(message)),
        ORIGINAL_ROUTING_KEY: routing_key_of(message),
        FIRST_RECEIVED: _short(text_of(message, FIRST_RECEIVED))
        or datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    return Message(
        message.body,
        headers={**_foreign_headers(message), **origin, **ours},
        content_type=_short(message.content_type),
        content_encoding=_short(message.content_encoding),
        message_id=_short(message.message_id),
        correlation_id=_short(message.correlation_id),
        timestamp=message.timestamp,
        type=_short(message.type),
        app_id=_short(message.app_id),
        delivery_mode=DeliveryMode.PERSISTENT,
    )


def _foreign_headers(message: Delivery) -> dict[str, Any]:
    """The sender's own headers as far as they fit, those of CloudEvents apart: all headers of a message have to fit into one frame."""
    own = (ATTEMPT, REASON, DETAIL)
    kept: dict[str, Any] = {}
    left_bytes = {True: CLOUDEVENTS_HEADERS_MAX_BYTES, False: FOREIGN_HEADERS_MAX_BYTES}
    for name, value in message.headers.items():
        if name in own or name.startswith(_NOT_CARRIED_OVER):
            continue
        size_bytes, is_event = _size_bytes(name, value), content_modes.is_attribute(name)
        if size_bytes <= left_bytes[is_event]:
            kept[name] = value
            left_bytes[is_event] -= size_bytes
    return kept


def _size_bytes(name: str, value: Any) -> int:
    """What a header takes when it is written; more than there is where it can't be, for any reason."""
    try:
        return len(pamqp.encode.field_table({name: value}))
    except Exception:  # noqa: BLE001 - decoded values of all kinds come here, and pamqp's encoder raises errors of all kinds
        return sys.maxsize


def _short(text: str | None) -> str | None:
    """As much of a text as a property can hold."""
    return text if text is None else text.encode(errors="replace")[:SHORT_TEXT_MAX_BYTES].decode(errors="ignore")


def _bounded(detail: str) -> str:
    return detail[:DETAIL_MAX_CHARACTERS].encode(errors="replace").decode()
