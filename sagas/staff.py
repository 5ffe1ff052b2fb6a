"""What staff may do about an order that needs attention: try again now, give up going forward, or call it settled."""

from __future__ import annotations

from domain.calls import RefundAnswered
from domain.commands import MarkSettled, Record, RetryNow
from domain.derived import IN_FLIGHT
from domain.money import Money
from domain.order import HoldState, Step, StepKind, StepState
from domain.payments import Payment, Refund, RefundStatus
from sagas import compensation, paying, preparing, refunds, steps
from sagas.decision import Answer
from sagas.draft import Draft
from sagas.events import has_attention, tell_update
from sagas.refusals import conflict, not_found, unprocessable
from sagas.waking import try_now


def retry_now(draft: Draft, command: RetryNow) -> Answer:
    """Try every step that is not under way again at once, and rejected refunds under new ids; told where there was any."""
    for step in draft.order.steps:
        if step.state is not StepState.RUNNING:
            try_now(draft, step)
    refunds.try_rejected_again(draft)
    if draft.calls:
        tell_update(draft, "needs_attention", note=command.note)
    return Answer(settled=not draft.calls)


def mark_settled(draft: Draft, command: MarkSettled) -> Answer:
    """Take staff's word that what needs attention was settled outside, and go on from there.

    Refunds count as given back, payments without an outcome as not made, mismatched ones as given back, stock as
    released or committed. Raises ``Refused`` ``nothing_to_settle`` where it is none of these: a validation can't be
    settled outside.
    """
    any_refund = refunds.settle_outside(draft)
    any_payment = paying.settle_outside(draft)
    any_stock = _settle_stock(draft)
    if not (any_refund or any_payment or any_stock):
        raise conflict("nothing_to_settle", "nothing that needs attention can be settled outside")
    compensation.go_on(draft)
    tell_update(draft, "needs_attention", note=command.note)
    return Answer()


def record(draft: Draft, command: Record) -> Answer:
    """Take staff's word on a payment or refund that PaymentSvc leaves undecided, as if it were PaymentSvc's own.

    Raises ``Refused``: ``subject_not_found``, ``outcome_not_applicable``, ``already_decided``.
    """
    subject = command.subject.lower()
    payment = draft.payment(subject)
    if payment is not None:
        _record_payment(draft, payment, command)
    else:
        _record_refund(draft, *_refund(draft, subject), command)
    tell_update(draft, "needs_attention", note=command.note)
    return Answer()


def _record_payment(draft: Draft, payment: Payment, command: Record) -> None:
    if command.outcome not in ("confirmed", "rejected"):
        raise unprocessable("outcome_not_applicable", "a payment is confirmed or rejected", "/outcome")
    if payment.status not in IN_FLIGHT:
        raise conflict("already_decided", f"the payment is {payment.status.value}")
    if command.outcome == "confirmed":
        taken = Money(command.amount, command.currency or payment.currency)
        paying.confirmed(draft, payment, taken, command.reference)
    else:
        paying.rejected(draft, payment, "settled_outside")


def _record_refund(draft: Draft, payment: Payment, refund: Refund, command: Record) -> None:
    if command.outcome not in ("refunded", "rejected"):
        raise unprocessable("outcome_not_applicable", "a refund is refunded or rejected", "/outcome")
    if refund.status is not RefundStatus.PROCESSING:
        raise conflict("already_decided", f"the refund is {refund.status.value}")
    said = Money(command.amount, command.currency or payment.currency)
    if refunds.answered(draft, RefundAnswered(refund_id=refund.refund_id, status=command.outcome, amount=said)):
        compensation.go_on(draft)


def _refund(draft: Draft, refund_id: str) -> tuple[Payment, Refund]:
    for payment in draft.order.payments:
        for refund in payment.refunds:
            if refund.refund_id == refund_id:
                return payment, refund
    raise not_found("subject_not_found", "the order has no payment or refund of this id")


def _settle_stock(draft: Draft) -> bool:
    step = _noted(draft, StepKind.RELEASE_HOLD)
    if step is not None:
        compensation.released(draft, step)
        return True
    step = _noted(draft, StepKind.COMMIT_HOLD)
    if step is not None:
        draft.change(hold=HoldState.COMMITTED)
        steps.end(draft, step.key)
        preparing.prepared(draft)
        return True
    return False


def _noted(draft: Draft, kind: StepKind) -> Step | None:
    for step in draft.order.steps:
        if step.kind is kind and has_attention(draft, step.key):
            return step
    return None
