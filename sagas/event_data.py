"""Event data and notices of a change, as contracts/events.md wants them. Nothing personal, no decisions.

An event shows the order as it is when it is emitted, so a decision that goes through several states emits one event in
each.
"""

from __future__ import annotations

from typing import Any

from domain.attention import AttentionReason
from domain.commands import Actor, ActorType
from domain.events import Event, EventType, Notice, Template
from domain.order import Attention, Order
from domain.representation import payment_status, represent_item, represent_totals, totals
from sagas.decision_builder import DecisionBuilder

SAGA = Actor(ActorType.SAGA, "ordersvc")
LOCALE_DEFAULT = "es"

_TEMPLATES = {
    EventType.CREATED: Template.ORDER_CREATED,
    EventType.CONFIRMED: Template.ORDER_CONFIRMED,
    EventType.SHIPPED: Template.ORDER_SHIPPED,
    EventType.DELIVERED: Template.ORDER_DELIVERED,
    EventType.CANCELLED: Template.ORDER_CANCELLED,
}


def emit(
    builder: DecisionBuilder,
    kind: EventType,
    *,
    more: dict[str, Any] | None = None,
    params: dict[str, Any] | None = None,
    template: Template | None = None,
    by_itself: bool = False,
) -> None:
    """Add an event about the order as it stands in the builder, and the notice that goes with its kind.

    ``more`` is what the kind has besides the common data; ``params`` are the notice's. ``by_itself``: the order did it,
    not the message's sender.
    """
    wanted = template or _TEMPLATES.get(kind)
    counted = builder.order
    builder.change(event_seq=counted.event_seq + 1, notice_seq=counted.notice_seq + (1 if wanted else 0))
    order = builder.order
    data: dict[str, Any] = {
        "order_id": order.id,
        "number": order.number,
        "version": builder.version,
        "status": order.status.value,
        "previous_status": builder.last_published_status.value if builder.last_published_status else None,
        "payment_status": payment_status(order),
        "customer_id": order.customer_id,
        "currency": order.currency,
        "totals": represent_totals(totals(order)),
    }
    if more:
        data.update(more)
    builder.last_published_status = order.status
    builder.events.append(
        Event(
            sequence=order.event_seq,
            type=kind,
            at=builder.now,
            version=builder.version,
            actor=SAGA if by_itself else builder.message.actor,
            causation_id=builder.message.id,
            data=data,
            traceparent=builder.message.traceparent,
            notice=_notice(order, wanted, params or {}) if wanted else None,
        )
    )


def emit_update(
    builder: DecisionBuilder,
    *changed: str,
    template: Template | None = None,
    params: dict[str, Any] | None = None,
    note: str | None = None,
    by_itself: bool = False,
) -> None:
    """Emit a ``PedidoActualizado``; ``changed`` is of items, discounts, totals, status, validation, payments,
    shipments, hold and needs_attention.
    """
    more: dict[str, Any] = {"changed": list(changed)}
    if note is not None:
        more["note"] = note
    emit(builder, EventType.UPDATED, more=more, params=params, template=template, by_itself=by_itself)


def items_data(builder: DecisionBuilder) -> dict[str, Any]:
    """Give the ``items[]`` of PedidoCreado and PedidoConfirmado."""
    return {"items": [represent_item(line) for line in builder.order.lines]}


def call_for_attention(builder: DecisionBuilder, key: str, reason: AttentionReason, detail: str) -> None:
    """Note that staff should look at the order, in the place of an older note of that key; the first note of an
    order emits an event.
    """
    before = builder.order.attention
    note = Attention(key, reason.value, detail)
    if note in before:
        return
    builder.change(attention=(*(each for each in before if each.key != key), note))
    if not before:
        emit_update(builder, "needs_attention", by_itself=True)


def attention_over(builder: DecisionBuilder, *keys: str, reason: AttentionReason | None = None) -> None:
    """Take back the notes of these keys (only those for ``reason``, where one is named); the last one
    emits an event.
    """
    before = builder.order.attention
    if not before:
        return
    after = tuple(each for each in before if each.key not in keys or reason not in (None, each.reason))
    if len(after) == len(before):
        return
    builder.change(attention=after)
    if not after:
        emit_update(builder, "needs_attention", by_itself=True)


def has_attention(builder: DecisionBuilder, key: str, reason: AttentionReason | None = None) -> bool:
    """Tell whether there is a note of that key (and for ``reason``, where one is named)."""
    return any(each.key == key and reason in (None, each.reason) for each in builder.order.attention)


def _notice(order: Order, template: Template, params: dict[str, Any]) -> Notice:
    return Notice(
        sequence=order.notice_seq,
        template=template,
        data={
            "customer_id": order.customer_id,
            "order_id": order.id,
            "number": order.number,
            "template": template.value,
            "locale": order.metadata.get("locale", LOCALE_DEFAULT),
            "params": params,
        },
    )
