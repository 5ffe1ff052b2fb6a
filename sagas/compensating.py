"""Compensation: what is undone when an order is cancelled, and in which order.

First every payment's outcome is awaited, then all money goes back, then the stock, then the uses of promotions; only
then is the order cancelled and the event emitted (docs/contract.md, "The seven stages"). ``go_on`` is called whenever one of these
got further.
"""

from __future__ import annotations

from msgspec.structs import replace

from domain.attention import OUTLIVE_CANCELLING, AttentionReason
from domain.calls import Declined, HoldAnswered, NotFound, NotSent, Outcome, Unknown
from domain.events import EventType
from domain.order import CancelReason, HoldState, Status, Step, StepKind, StepState
from domain.payments import RefundStatus
from domain.totals_and_statuses import in_flight, outstanding, totals
from sagas import refunding, steps
from sagas.decision_builder import DecisionBuilder
from sagas.event_data import call_for_attention, emit, emit_update

RELEASE_KEY = "release_hold"


def cancel(builder: DecisionBuilder, reason: CancelReason, *, note: str | None = None, by_itself: bool = False) -> None:
    """Begin to cancel, and finish at once where nothing has to be undone by a call.

    The steps that went forward are dropped (their late answers change nothing); those about money go on. A charge that
    waits to be sent again is asked for instead.
    """
    before = builder.order
    kept = tuple(step for step in before.steps if step.kind in steps.MONEY_STEPS)
    keys = {step.key for step in before.steps if step.kind not in steps.MONEY_STEPS}
    attention = tuple(
        each for each in before.attention if each.key not in keys and each.reason != AttentionReason.REFUND_REJECTED
    )
    builder.change(
        status=Status.CANCELLING,
        cancel_reason=reason,
        cancel_note=note,
        steps=kept,
        attention=attention,
        products=(),
        fetched_customer=None,
    )
    if _has_something_to_undo(builder):
        changed = ["status"]
        if before.attention and not attention:
            changed.append("needs_attention")
        emit_update(builder, *changed, by_itself=by_itself)
    for step in kept:
        if step.kind is StepKind.CHARGE and step.state is StepState.RETRYING:
            ask_instead(builder, step)
    go_on(builder)


def ask_instead(builder: DecisionBuilder, charge: Step) -> None:
    """Ask what became of a charge, now, instead of sending it again."""
    asking = replace(charge, key=steps.key_of(StepKind.VERIFY, charge.subject), kind=StepKind.VERIFY)
    steps.again(builder, charge.key, asking)


def go_on(builder: DecisionBuilder) -> None:
    """Take the next step of undoing, if the one before it is done; end with ``cancelled``."""
    if builder.order.status is not Status.CANCELLING or in_flight(builder.order):
        return
    refunding.refund_all(builder)
    if _money_is_out(builder):
        return
    if builder.order.hold_revision and builder.order.hold is not HoldState.RELEASED:
        if not steps.has_step(builder.order, StepKind.RELEASE_HOLD):
            steps.start(builder, steps.intent(builder, StepKind.RELEASE_HOLD, RELEASE_KEY))
        return
    _finish(builder)


def release_answered(builder: DecisionBuilder, step: Step, outcome: Outcome) -> None:
    """Take in the answer to giving the stock back; unless it is yes, it is tried again until it succeeds."""
    match outcome:
        case HoldAnswered(state="released"):
            released(builder, step)
        case Declined():
            steps.retry_later(builder, step.key, step, f"declined: {outcome.code}")
            detail = f"release_hold: {outcome.code}"
            call_for_attention(builder, step.key, AttentionReason.RELEASE_DECLINED, detail)
        case NotSent() | Unknown():
            steps.no_answer(builder, step.key, step, outcome)
        case NotFound():
            steps.retry_later(builder, step.key, step, "not known")
        case _:
            steps.retry_later(builder, step.key, step, f"unexpected answer: {type(outcome).__name__}")


def released(builder: DecisionBuilder, step: Step) -> None:
    """The stock is given back: go on."""
    builder.change(hold=HoldState.RELEASED)
    steps.end(builder, step.key)
    go_on(builder)


def late_money(builder: DecisionBuilder) -> None:
    """Give back what came for an order that is cancelled already."""
    if builder.order.status is Status.CANCELLED:
        refunding.refund_all(builder)


def _has_something_to_undo(builder: DecisionBuilder) -> bool:
    return bool(in_flight(builder.order)) or bool(builder.order.hold_revision) or _money_is_out(builder)


def _money_is_out(builder: DecisionBuilder) -> bool:
    order = builder.order
    if steps.has_step(order, StepKind.REFUND, StepKind.VERIFY_REFUND):
        return True
    return any(outstanding(payment) > 0 for payment in order.payments)


def _finish(builder: DecisionBuilder) -> None:
    order = builder.order
    builder.releases.extend(discount.code for discount in order.discounts)
    attention = tuple(each for each in order.attention if each.reason in OUTLIVE_CANCELLING)
    builder.change(status=Status.CANCELLED, cancelled_at=builder.now, attention=attention)
    given_back = [
        {
            "refund_id": refund.refund_id,
            "payment_id": payment.payment_id,
            "amount": refund.amount,
            "currency": refund.currency or payment.currency,
        }
        for payment in order.payments
        for refund in payment.refunds
        if refund.status is RefundStatus.REFUNDED
    ]
    reason = order.cancel_reason.value if order.cancel_reason else None
    emit(
        builder,
        EventType.CANCELLED,
        more={"reason": reason, "refunds": given_back},
        params={"reason": reason, "refunded": totals(builder.order).refunded, "currency": order.currency},
    )
