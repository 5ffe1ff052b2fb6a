"""A message as it came out of a queue: its body, where it was published, and the properties that are of use here.

aio-pika's own ``IncomingMessage`` refuses what it does not know, such as a delivery mode of 3; this takes all that a broker delivers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiormq.abc import DeliveredMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """``exchange`` is empty where the message came by the default exchange; ``headers`` are as pamqp decodes them."""

    body: bytes
    exchange: str
    routing_key: str
    delivery_tag: int = 0
    headers: Mapping[str, Any] = field(default_factory=dict)
    content_type: str | None = None
    content_encoding: str | None = None
    message_id: str | None = None
    correlation_id: str | None = None
    timestamp: datetime | None = None
    type: str | None = None
    app_id: str | None = None


def delivery_of(message: DeliveredMessage) -> Delivery:
    """Translate what aiormq gives."""
    properties = message.header.properties
    return Delivery(
        body=message.body,
        exchange=message.exchange or "",
        routing_key=message.routing_key or "",
        delivery_tag=message.delivery_tag or 0,
        headers=properties.headers or {},
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        message_id=properties.message_id,
        correlation_id=properties.correlation_id,
        timestamp=properties.timestamp,
        type=properties.message_type,
        app_id=properties.app_id,
    )
