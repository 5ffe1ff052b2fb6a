"""From a decision to what is written, replied and published: pure translation, each thing worked out once."""

from __future__ import annotations

from actors.order.replies import Reply, encode_reply, make_reply
from domain import representation
from domain.commands import Message
from domain.events import Event
from domain.order import Order
from messaging.envelope import encode_event, encode_notice
from messaging.publishing.publisher import Outbound
from sagas.decide import deadline
from sagas.decision import CommandResult, Decision
from storage.writes.order_store import Commit, StoredEvent


def commit_of(base: Order | None, message: Message, decision: Decision) -> tuple[Commit, Reply]:
    """Give what has to be written for a decision on ``base``, and the sender's reply once it is.

    Raises ``ValueError`` for a decision that has no order.
    """
    order = decision.order
    if order is None:
        raise ValueError("a decision without effect is confirmed, not committed")
    reply = reply_to(message, order, decision.result)
    totals = representation.totals(order)
    commit = Commit(
        order=order,
        base_version=0 if base is None else base.version,
        deadline=deadline(order),
        payment_status=representation.payment_status(order),
        fulfillment_status=representation.fulfillment_status(order),
        total=totals.total,
        paid=totals.paid,
        refunded=totals.refunded,
        events=tuple(_stored(order.id, event) for event in decision.events),
        ledger=decision.ledger,
        message_id=message.id if message.keyed else None,
        fingerprint=message.fingerprint,
        reply=encode_reply(reply) if message.keyed else None,
        promotion_uses=tuple((use.code, use.customer_id) for use in decision.promotion_uses),
        releases=decision.releases,
        reference_versions=decision.reference_versions,
    )
    return commit, reply


def reply_to(message: Message, order: Order, answer: CommandResult) -> Reply:
    """Give the sender's reply; only clients and staff read a document."""
    if message.actor.reads_answers:
        return make_reply(order, answer)
    return Reply(document=b"", version=order.version)


def outbound(event: StoredEvent) -> Outbound:
    """Give a stored event as the publisher takes it."""
    return Outbound(sequence=event.sequence, routing_key=event.type, body=event.body, notice=event.notice)


def _stored(order_id: str, event: Event) -> StoredEvent:
    return StoredEvent(
        sequence=event.sequence,
        type=event.type.value,
        version=event.version,
        at=event.at,
        actor_type=event.actor.type.value,
        actor_id=event.actor.id,
        body=encode_event(order_id, event),
        notice=encode_notice(order_id, event),
    )
