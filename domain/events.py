"""Events: what was decided. Type names are fixed by the people who use this service (contracts/events.md)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from domain.commands import Actor


class EventType(StrEnum):
    """The names of events on the wire."""

    CREATED = "PedidoCreado"
    UPDATED = "PedidoActualizado"
    CONFIRMED = "PedidoConfirmado"
    CANCELLED = "PedidoCancelado"
    PAYMENT_RECEIVED = "PagoRecibido"
    SHIPPED = "PedidoEnviado"
    DELIVERED = "PedidoEntregado"


class Template(StrEnum):
    """The names of the texts that NotificationSvc sends."""

    ORDER_CREATED = "order_created"
    ORDER_CONFIRMED = "order_confirmed"
    PAYMENT_REJECTED = "payment_rejected"
    ORDER_SHIPPED = "order_shipped"
    ORDER_DELIVERED = "order_delivered"
    ORDER_CANCELLED = "order_cancelled"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A request to NotificationSvc that goes with an event; ``sequence`` is dense within the order's notices."""

    sequence: int
    template: Template
    data: Mapping[str, object]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an order. ``sequence`` is dense within the order; ``data`` is the wire's ``data`` object.

    ``stage`` names the status reached by it, for the timeline, or None. ``changed`` is what an update changed.
    """

    sequence: int
    type: EventType
    at: datetime
    version: int
    actor: Actor
    causation_id: str
    data: Mapping[str, object]
    traceparent: str | None = None
    notice: Notice | None = None
