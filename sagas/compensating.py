"""Compensation: what is undone when an order is cancelled, and in which order.

First every payment's outcome is awaited, then all money goes back, then the stock, then the uses of promotions; only
then is the order cancelled and that is told (docs/contract.md, "The seven stages"). ``go_on`` is called whenever one of these
got further.
"""

from __future__ import annotations

from msgspec.structs import replace

from domain.attention import OUTLIVE_CANCELLING, AttentionReason
from domain.calls import Declined, HoldAnswered, NotKnown, NotSent, Outcome, Unknown
from domain.events import EventType
from domain.order import CancelReason, HoldState, Status, Step, StepKind, StepState
from domain.payments import RefundStatus
from domain.totals_and_statuses import in_flight, outstanding, totals
from sagas import refunding, steps
from sagas.decision_builder import Draft
from sagas.event_data import call_for_attention, tell, tell_update

RELEASE_KEY = "release_hold"


def cancel(draft: Draft, reason: CancelReason, *, note: str | None = None, by_itself: bool = False) -> None:
    """Begin to cancel, and finish at once where nothing has to be undone by a call.

    The steps that went forward are dropped (their late answers change nothing); those about money go on. A charge that
    waits to be sent again is asked for instead.
    """
    before = draft.order
    kept = tuple(step for step in before.steps if step.kind in steps.MONEY_STEPS)
    keys = {step.key for step in before.steps if step.kind not in steps.MONEY_STEPS}
    attention = tuple(
        each for each in before.attention if each.key not in keys and each.reason != AttentionReason.REFUND_REJECTED
    )
    draft.change(
        status=Status.CANCELLING,
        cancel_reason=reason,
        cancel_note=note,
        steps=kept,
        attention=attention,
        products=(),
        fetched_customer=None,
    )
    if _has_something_to_undo(draft):
        changed = ["status"]
        if before.attention and not attention:
            changed.append("needs_attention")
        tell_update(draft, *changed, by_itself=by_itself)
    for step in kept:
        if step.kind is StepKind.CHARGE and step.state is StepState.RETRYING:
            ask_instead(draft, step)
    go_on(draft)


def ask_instead(draft: Draft, charge: Step) -> None:
    """Ask what became of a charge, now, instead of sending it again."""
    asking = replace(charge, key=steps.key_of(StepKind.VERIFY, charge.subject), kind=StepKind.VERIFY)
    steps.again(draft, charge.key, asking)


def go_on(draft: Draft) -> None:
    """Take the next step of undoing, if the one before it is done; end with ``cancelled``."""
    if draft.order.status is not Status.CANCELLING or in_flight(draft.order):
        return
    refunding.give_back_all(draft)
    if _money_is_out(draft):
        return
    if draft.order.hold_revision and draft.order.hold is not HoldState.RELEASED:
        if not steps.has_step(draft.order, StepKind.RELEASE_HOLD):
            steps.start(draft, steps.intent(draft, StepKind.RELEASE_HOLD, RELEASE_KEY))
        return
    _finish(draft)


def release_answered(draft: Draft, step: Step, outcome: Outcome) -> None:
    """Take in the answer to giving the stock back; whatever it is but yes, it is tried again until it succeeds."""
    match outcome:
        case HoldAnswered(state="released"):
            released(draft, step)
        case Declined():
            steps.retry_later(draft, step.key, step, f"declined: {outcome.code}")
            detail = f"release_hold: {outcome.code}"
            call_for_attention(draft, step.key, AttentionReason.RELEASE_DECLINED, detail)
        case NotSent() | Unknown():
            steps.no_word(draft, step.key, step, outcome)
        case NotKnown():
            steps.retry_later(draft, step.key, step, "not known")
        case _:
            steps.retry_later(draft, step.key, step, f"unexpected answer: {type(outcome).__name__}")


def released(draft: Draft, step: Step) -> None:
    """The stock is given back: go on."""
    draft.change(hold=HoldState.RELEASED)
    steps.end(draft, step.key)
    go_on(draft)


def late_money(draft: Draft) -> None:
    """Give back what came for an order that is cancelled already."""
    if draft.order.status is Status.CANCELLED:
        refunding.give_back_all(draft)


def _has_something_to_undo(draft: Draft) -> bool:
    return bool(in_flight(draft.order)) or bool(draft.order.hold_revision) or _money_is_out(draft)


def _money_is_out(draft: Draft) -> bool:
    order = draft.order
    if steps.has_step(order, StepKind.REFUND, StepKind.VERIFY_REFUND):
        return True
    return any(outstanding(payment) > 0 for payment in order.payments)


def _finish(draft: Draft) -> None:
    order = draft.order
    draft.releases.extend(discount.code for discount in order.discounts)
    attention = tuple(each for each in order.attention if each.reason in OUTLIVE_CANCELLING)
    draft.change(status=Status.CANCELLED, cancelled_at=draft.now, attention=attention)
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
    tell(
        draft,
        EventType.CANCELLED,
        more={"reason": reason, "refunds": given_back},
        params={"reason": reason, "refunded": totals(draft.order).refunded, "currency": order.currency},
    )
