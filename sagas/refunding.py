"""Money given back: after a cancellation, in excess of the total, or late. One refund id is one refund, for ever.

Each refund has its own step and its own fate. One that may have been done stays under its id until PaymentSvc says what
became of it; one that was rejected, or gave back something else than was asked for, waits for staff with what is missing,
and no other refund is started for that. Whether an order goes on afterwards is decided elsewhere.
"""

from __future__ import annotations

from msgspec.structs import replace

from domain.attention import AttentionReason, payment_key, refund_key
from domain.calls import Declined, NotFound, Outcome, RefundAnswered
from domain.ids import refund_id, refund_transaction_id
from domain.limits import STAFF_REFUNDS_MAX
from domain.money import Money
from domain.order import Order, Status, Step, StepKind, StepState
from domain.payments import Payment, PaymentStatus, Refund, RefundStatus, Transaction, TransactionType
from domain.totals_and_statuses import money_kept, outstanding, settled_status, totals
from sagas import steps
from sagas.decision_builder import DecisionBuilder
from sagas.event_data import attention_over, call_for_attention, emit_update
from sagas.refusals import conflict

REASON_CANCELLED = "order_cancelled"
REASON_SURPLUS = "surplus"
REASON_OUTSIDE = "settled_outside"
HAS_ITS_PRICE = (Status.PAID, Status.CONFIRMED, Status.PREPARED, Status.SHIPPED, Status.DELIVERED)
TRIED_AGAIN = (AttentionReason.REFUND_REJECTED, AttentionReason.REFUND_MISMATCHED)


def refund_all(builder: DecisionBuilder) -> None:
    """Start a refund of what each payment still holds; for an order that is being or was cancelled."""
    for payment in builder.order.payments:
        amount = outstanding(payment) - withheld(builder.order, payment)
        if amount > 0:
            _start(builder, payment, amount, REASON_CANCELLED)


def refund_surplus(builder: DecisionBuilder) -> None:
    """Start refunds of what a paid order holds beyond its total, what came last first, and of foreign money."""
    order = builder.order
    if order.status not in HAS_ITS_PRICE:
        return
    excess = money_kept(order) - totals(order).total
    excess -= sum(withheld(order, payment) for payment in order.payments if payment.currency == order.currency)
    for entry in reversed(order.ledger):
        source = builder.payment(entry.payment_id)
        if entry.type is not TransactionType.CHARGE or source is None:
            continue
        amount = outstanding(source) - withheld(builder.order, source)
        if source.currency == order.currency:
            amount = max(0, min(amount, excess))
            excess -= amount
        if amount > 0:
            _start(builder, source, amount, REASON_SURPLUS)


def answered(builder: DecisionBuilder, said: RefundAnswered) -> None:
    """Take in PaymentSvc's word on a refund, whichever call it answers."""
    found = find(builder.order, said.refund_id)
    if found is None:
        return
    payment, refund = found
    match said.status:
        case "refunded":
            refunded(builder, payment, refund, said.amount)
        case "rejected":
            rejected(builder, payment, refund, "PaymentSvc rejected the refund")
        case _:
            step = steps.about(builder.order, refund.refund_id)
            if step is not None and step.state is not StepState.WAITING:
                _ask_later(builder, step)


def refunded(
    builder: DecisionBuilder, payment: Payment, refund: Refund, given: Money, *, reference: str | None = None
) -> None:
    """Money was given back by a refund: once a refund, however often it is said, and as much as is said.

    A refund that counted as rejected is entered too, as the money is gone; by whom it was given back is kept with it
    (``reference``: of staff's word), as PaymentSvc may say afterwards that it gave the same back as well.
    """
    if refund.status is RefundStatus.REFUNDED:
        if given != Money(refund.amount, refund.currency or payment.currency) or refund.reason == REASON_OUTSIDE:
            contradicted(builder, payment, refund, f"is said to have given back {given.amount} {given.currency}")
        return
    as_asked = given == Money(refund.amount, payment.currency)
    is_outside = refund.status is RefundStatus.REJECTED and reference is not None
    reason = REASON_OUTSIDE if is_outside else refund.reason
    done = replace(refund, status=RefundStatus.REFUNDED, reason=reason, reference=reference)
    if not as_asked:
        currency = None if given.currency == payment.currency else given.currency
        done = replace(done, asked=refund.amount, amount=given.amount, currency=currency)
    _end_step(builder, refund)
    attention_over(builder, refund_key(refund))
    _enter(builder, payment, done)
    if refund.status is RefundStatus.REJECTED and reference is None:
        contradicted(builder, payment, done, "was given back after all, though it counted as rejected")
    elif not as_asked:
        detail = f"asked for {refund.amount} {payment.currency}, given back {given.amount} {given.currency}"
        call_for_attention(builder, refund_key(refund), AttentionReason.REFUND_MISMATCHED, detail)


def rejected(builder: DecisionBuilder, payment: Payment, refund: Refund, detail: str) -> None:
    """The money was not given back: staff have to see to it, unless there is nothing left to give back."""
    if refund.status is RefundStatus.REFUNDED:
        contradicted(builder, payment, refund, "is said to be rejected")
    if refund.status is not RefundStatus.PROCESSING:
        return
    _end_step(builder, refund)
    attention_over(builder, refund_key(refund))
    refused = replace(refund, status=RefundStatus.REJECTED)
    _put(builder, payment, refused)
    emit_update(builder, "payments")
    call_for_attention(builder, refund_key(refund), AttentionReason.REFUND_REJECTED, detail)


def contradicted(builder: DecisionBuilder, payment: Payment, refund: Refund, what: str) -> None:
    """A later word on a refund says something else: staff have to find out what is so, and nothing is moved for it."""
    currency = refund.currency or payment.currency
    detail = f"refund of {refund.amount} {currency}, {refund.status.value}, {what}"
    call_for_attention(builder, refund_key(refund), AttentionReason.REFUND_CONTRADICTED, detail)


def failed(builder: DecisionBuilder, step: Step, outcome: Outcome) -> None:
    """Take in that a refund's call brought no word on it.

    A refusal of what may have been done before is kept while PaymentSvc is asked: it counts once PaymentSvc has known of
    nothing for as long as a request may be on its way. What was never refused is sent again.
    """
    found = find(builder.order, step.subject)
    if found is None:
        return
    match outcome:
        case NotFound() if step.kind is StepKind.VERIFY_REFUND:
            _not_found(builder, step, *found)
        case NotFound():
            _refused(builder, step, *found, "payment_not_found")
        case Declined() if step.kind is StepKind.REFUND:
            _refused(builder, step, *found, outcome.code)
        case _:
            steps.nothing_learnt(builder, step, outcome)


def try_again(builder: DecisionBuilder) -> None:
    """Start what rejected and mismatched refunds left over once more, under new ids.

    Raises ``Refused`` ``too_many_refund_attempts``: then staff have to give the money back themselves, and record it.
    """
    for payment in builder.order.payments:
        for refund in payment.refunds:
            if _why_noted(builder.order, refund) not in TRIED_AGAIN:
                continue
            amount = min(outstanding(_current(builder, payment)), missing(refund))
            if amount > 0 and builder.order.refund_seq >= STAFF_REFUNDS_MAX:
                raise conflict(
                    "too_many_refund_attempts", f"an order had {STAFF_REFUNDS_MAX} refunds: record one instead"
                )
            attention_over(builder, refund_key(refund))
            if amount > 0:
                _start(builder, payment, amount, refund.reason)


def enter_outside(
    builder: DecisionBuilder, payment: Payment, given: Money, reference: str, reason: str = REASON_OUTSIDE
) -> None:
    """Enter what staff say was given back outside PaymentSvc, or was never taken, as a refund of its own."""
    refund = _add(builder, payment, given.amount, reason)
    currency = None if given.currency == payment.currency else given.currency
    _enter(builder, payment, replace(refund, status=RefundStatus.REFUNDED, currency=currency, reference=reference))


def _enter(builder: DecisionBuilder, payment: Payment, refund: Refund) -> None:
    """Enter money that a refund gave back in the books, and emit the event."""
    _put(builder, payment, refund)
    payment = _current(builder, payment)
    status = settled_status(payment)
    builder.change_payment(replace(payment, status=status, updated_at=builder.now))
    builder.record(
        Transaction(
            transaction_id=refund_transaction_id(builder.order.id, refund.refund_id),
            type=TransactionType.REFUND,
            payment_id=payment.payment_id,
            refund_id=refund.refund_id,
            amount=refund.amount,
            currency=refund.currency or payment.currency,
            at=builder.now,
        )
    )
    if status is PaymentStatus.REFUNDED:
        attention_over(builder, payment_key(payment), reason=AttentionReason.PAYMENT_MISMATCHED)
    emit_update(builder, "payments", "totals")


def withheld(order: Order, payment: Payment) -> int:
    """Give what is not to be given back of a payment before staff have decided, in minor units of its currency."""
    if not order.attention:
        return 0
    return sum(missing(refund) for refund in payment.refunds if waits_for_staff(order, refund))


def waits_for_staff(order: Order, refund: Refund) -> bool:
    """Tell whether there is a note about a refund that was decided: what is missing is left to staff."""
    return refund.status is not RefundStatus.PROCESSING and _why_noted(order, refund) is not None


def missing(refund: Refund) -> int:
    """Give how much less a decided refund gave back than was asked for, in minor units of its payment's currency."""
    if refund.status is RefundStatus.REJECTED:
        return refund.amount
    if refund.asked is None:
        return 0
    return max(0, refund.asked - refund.amount) if refund.currency is None else refund.asked


def with_notes_of_their_own(order: Order) -> Order:
    """Give an order from before each refund had a note of its own: one under a payment is about its last rejected refund."""
    if not order.attention:
        return order
    keys = {
        f"refund:{payment.payment_id}": refund_key(refund)
        for payment in order.payments
        for refund in payment.refunds
        if refund.status is RefundStatus.REJECTED
    }
    if not any(each.key in keys for each in order.attention):
        return order
    attention = tuple(replace(each, key=keys.get(each.key, each.key)) for each in order.attention)
    return replace(order, attention=attention)


def find(order: Order, wanted: str) -> tuple[Payment, Refund] | None:
    """Give a refund of the order and its payment, or None."""
    for payment in order.payments:
        for refund in payment.refunds:
            if refund.refund_id == wanted:
                return payment, refund
    return None


def _start(builder: DecisionBuilder, payment: Payment, amount: int, reason: str) -> None:
    refund = _add(builder, payment, amount, reason)
    key = steps.key_of(StepKind.REFUND, refund.refund_id)
    undecided_at = builder.after(builder.rules.payment_attention_s)
    steps.start(
        builder, steps.intent(builder, StepKind.REFUND, key, subject=refund.refund_id, undecided_at=undecided_at)
    )


def _add(builder: DecisionBuilder, payment: Payment, amount: int, reason: str) -> Refund:
    sequence = builder.order.refund_seq + 1
    refund = Refund(
        refund_id=refund_id(builder.order.id, sequence),
        status=RefundStatus.PROCESSING,
        amount=amount,
        reason=reason,
        created_at=builder.now,
    )
    kept = _current(builder, payment)
    builder.change_payment(replace(kept, refunds=(*kept.refunds, refund), updated_at=builder.now), refund_seq=sequence)
    return refund


def _refused(builder: DecisionBuilder, step: Step, payment: Payment, refund: Refund, code: str) -> None:
    """A refund was refused: that is final, unless it may have been done before, or the id is known already."""
    if not step.may_have_happened and code != "conflict":
        rejected(builder, payment, refund, f"PaymentSvc declined the refund: {code}")
        return
    asking = replace(_as_verify(step), may_have_happened=True, refused=code, not_found_at=None)
    steps.retry_later(builder, step.key, asking, f"declined: {code}")


def _not_found(builder: DecisionBuilder, step: Step, payment: Payment, refund: Refund) -> None:
    """404: it is sent again under its id; where that was refused, it may still be on its way, and only later counts."""
    settle_s = builder.rules.payment_settle_s
    if step.refused is None:
        key = steps.key_of(StepKind.REFUND, step.subject)
        giving = replace(step, key=key, kind=StepKind.REFUND, state=StepState.RETRYING, may_have_happened=True)
        steps.again(builder, step.key, giving)
    elif step.not_found_at is None:
        steps.wait(builder, step.key, replace(step, not_found_at=builder.now), settle_s)
    elif (builder.now - step.not_found_at).total_seconds() >= settle_s:
        rejected(builder, payment, refund, f"PaymentSvc declined the refund: {step.refused}")
    else:
        rest_s = settle_s - (builder.now - step.not_found_at).total_seconds()
        steps.wait(builder, step.key, step, rest_s)


def _ask_later(builder: DecisionBuilder, step: Step) -> None:
    """PaymentSvc knows the refund and works on it, so that what it may have refused before does not count."""
    asking = replace(_as_verify(step), refused=None, not_found_at=None)
    steps.wait(builder, step.key, asking, steps.verify_wait_s(builder, step))


def _end_step(builder: DecisionBuilder, refund: Refund) -> None:
    step = steps.about(builder.order, refund.refund_id)
    if step is not None:
        steps.end(builder, step.key)


def _put(builder: DecisionBuilder, payment: Payment, refund: Refund) -> None:
    """Put ``refund`` in the place of the one with its id."""
    kept = _current(builder, payment)
    refunds = tuple(refund if each.refund_id == refund.refund_id else each for each in kept.refunds)
    builder.change_payment(replace(kept, refunds=refunds, updated_at=builder.now))


def _current(builder: DecisionBuilder, payment: Payment) -> Payment:
    return builder.payment(payment.payment_id) or payment


def _as_verify(step: Step) -> Step:
    return replace(step, key=steps.key_of(StepKind.VERIFY_REFUND, step.subject), kind=StepKind.VERIFY_REFUND)


def _why_noted(order: Order, refund: Refund) -> str | None:
    key = refund_key(refund)
    return next((each.reason for each in order.attention if each.key == key), None)
