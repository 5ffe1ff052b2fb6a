"""What an order does when its time has come: expire, be confirmed, or make the calls again that are due."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from domain.attention import AttentionReason, payment_key, refund_key
from domain.calls import Partner
from domain.order import CancelReason, Step, StepKind, StepState
from domain.totals_and_statuses import IN_FLIGHT
from sagas import charging, compensating, preparing, refunding, steps
from sagas.deadline import can_expire
from sagas.decision_builder import DecisionBuilder
from sagas.event_data import call_for_attention, has_attention


def run_due(builder: DecisionBuilder) -> None:
    """Do what is due by now and nothing else: a wake that comes early, or twice, changes nothing."""
    due = [step for step in builder.order.steps if step.next_try_at <= builder.now]
    preparing.confirm(builder)
    if can_expire(builder.order) and builder.now >= builder.order.expires_at:
        compensating.cancel(builder, CancelReason.EXPIRED)
    for step in due:
        if builder.step(step.key) is step:
            try_now(builder, step)
    _note_undecided(builder)


def ask_again(builder: DecisionBuilder, partner: Partner) -> None:
    """Make the calls to a partner now that were to be tried again later."""
    for step in builder.order.steps:
        is_waiting = step.state is StepState.RETRYING and builder.step(step.key) is step
        if is_waiting and steps.partner_of(step) is partner:
            try_now(builder, step)


def try_now(builder: DecisionBuilder, step: Step) -> None:
    """Make a step's call again: its next try is due, its answer was lost, or staff want it now."""
    if step.kind is StepKind.CHARGE:
        charging.charge_due(builder, step)
    else:
        steps.again(builder, step.key, step)


def _note_undecided(builder: DecisionBuilder) -> None:
    """Note the payments and refunds that have been without a final word for too long; each once.

    A step from before there was such a time has none: there it counts from the start of its payment or refund.
    """
    for step in builder.order.steps:
        due_at = step.undecided_at or _undecided_at(builder, step)
        if due_at is None or due_at > builder.now:
            continue
        payment, found = builder.payment(step.subject), refunding.find(builder.order, step.subject)
        detail = f"PaymentSvc has no final word on {step.subject}"
        if payment is not None and not has_attention(builder, payment_key(payment)):
            call_for_attention(builder, payment_key(payment), AttentionReason.PAYMENT_UNDECIDED, detail)
        if found is not None and not has_attention(builder, refund_key(found[1])):
            call_for_attention(builder, refund_key(found[1]), AttentionReason.REFUND_UNDECIDED, detail)
        if step.undecided_at is not None:
            steps.put(builder, step.key, replace(step, undecided_at=None))


def _undecided_at(builder: DecisionBuilder, step: Step) -> datetime | None:
    payment, found = builder.payment(step.subject), refunding.find(builder.order, step.subject)
    about = payment if payment is not None and payment.status in IN_FLIGHT else found[1] if found is not None else None
    return None if about is None else about.created_at + timedelta(seconds=builder.rules.payment_attention_s)
