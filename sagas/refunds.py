"""Money given back: after a cancellation, in excess of the total, or late. One refund id is one refund, for ever.

Starts refunds and takes in what PaymentSvc says of them; whether an order goes on afterwards is decided elsewhere.
"""

from __future__ import annotations

from domain.amending import amended
from domain.calls import Declined, NotKnown, NotSent, Outcome, RefundAnswered, Unknown
from domain.derived import money_kept, outstanding, totals
from domain.ids import refund_id, refund_transaction_id
from domain.order import Order, Status, Step, StepKind, StepState
from domain.payments import Payment, PaymentStatus, Refund, RefundStatus, Transaction, TransactionType
from sagas import steps
from sagas.draft import Draft
from sagas.events import attention_over, call_for_attention, has_attention, tell_update

REASON_CANCELLED = "order_cancelled"
REASON_SURPLUS = "surplus"
REASON_OUTSIDE = "settled_outside"
HAS_ITS_PRICE = (Status.PAID, Status.CONFIRMED, Status.PREPARED, Status.SHIPPED, Status.DELIVERED)


def give_back_all(draft: Draft) -> None:
    """Start a refund of whatever each payment still holds; for an order that is being or was cancelled."""
    for payment in draft.order.payments:
        amount = outstanding(payment)
        if amount > 0 and not is_blocked(draft, payment):
            _start(draft, payment, amount, REASON_CANCELLED)


def give_back_surplus(draft: Draft) -> None:
    """Start refunds of what a paid order holds beyond its total, what came last first, and of foreign money."""
    order = draft.order
    if order.status not in HAS_ITS_PRICE:
        return
    excess = money_kept(order) - totals(order).total
    for payment in order.payments:
        if payment.currency == order.currency and is_blocked(draft, payment):
            excess -= _refused_amount(payment)
    for entry in reversed(order.ledger):
        source = draft.payment(entry.payment_id)
        if entry.type is not TransactionType.CHARGE or source is None or is_blocked(draft, source):
            continue
        amount = outstanding(source)
        if source.currency == order.currency:
            amount = max(0, min(amount, excess))
            excess -= amount
        if amount > 0:
            _start(draft, source, amount, REASON_SURPLUS)


def answered(draft: Draft, said: RefundAnswered) -> bool:
    """Take in PaymentSvc's word on a refund, whichever call it answers. True when the refund is done by it."""
    found = _find(draft.order, said.refund_id)
    if found is None or found[1].status is not RefundStatus.PROCESSING:
        return False
    payment, refund = found
    step = steps.about(draft.order, refund.refund_id)
    if said.status == RefundStatus.REFUNDED:
        _done(draft, payment, refund)
        return True
    if said.status == RefundStatus.REJECTED:
        _rejected(draft, payment, refund, "PaymentSvc rejected the refund")
    elif step is not None and step.state is not StepState.WAITING:
        _ask_later(draft, step)
    return False


def failed(draft: Draft, step: Step, outcome: Outcome) -> None:
    """Take in that a refund's call brought no word on it."""
    found = _find(draft.order, step.subject)
    if found is None:
        return
    match outcome:
        case NotKnown() if step.kind is StepKind.VERIFY_REFUND:
            giving = amended(step, key=_key(StepKind.REFUND, step.subject), kind=StepKind.REFUND)
            steps.again(draft, step.key, amended(giving, state=StepState.RETRYING))
        case NotKnown():
            _rejected(draft, *found, "PaymentSvc does not know the payment")
        case Declined() if step.kind is StepKind.REFUND:
            _rejected(draft, *found, f"PaymentSvc declined the refund: {outcome.code}")
        case NotSent() | Unknown():
            steps.no_word(draft, step.key, step, outcome)
        case _:
            steps.retry_later(draft, step.key, step, f"unexpected answer: {type(outcome).__name__}")


def try_rejected_again(draft: Draft) -> None:
    """Start the refunds that PaymentSvc rejected once more, under new ids."""
    for payment in draft.order.payments:
        if is_blocked(draft, payment):
            amount = min(outstanding(payment), _refused_amount(payment))
            attention_over(draft, _block(payment))
            if amount > 0:
                _start(draft, payment, amount, payment.refunds[-1].reason)


def settle_outside(draft: Draft) -> bool:
    """Enter as given back what staff say was settled outside: rejected refunds, exhausted ones, and mismatched
    payments.

    True when there was any.
    """
    before = draft.order
    for payment in before.payments:
        for refund in payment.refunds:
            step = steps.about(draft.order, refund.refund_id)
            if step is not None and has_attention(draft, step.key):
                _done(draft, _current(draft, payment), refund)
        blocked = is_blocked(draft, payment)
        if blocked or payment.status is PaymentStatus.MISMATCHED:
            now_is = _current(draft, payment)
            amount = min(outstanding(now_is), _refused_amount(now_is)) if blocked else outstanding(now_is)
            attention_over(draft, _block(payment))
            if amount > 0:
                entered = _add(draft, now_is, amount, REASON_OUTSIDE)
                _done(draft, _current(draft, payment), entered)
    return draft.order is not before


def is_blocked(draft: Draft, payment: Payment) -> bool:
    """Tell whether a refund of the payment was rejected and waits for staff."""
    return has_attention(draft, _block(payment))


def _start(draft: Draft, payment: Payment, amount: int, reason: str) -> None:
    refund = _add(draft, payment, amount, reason)
    key = _key(StepKind.REFUND, refund.refund_id)
    steps.start(draft, steps.intent(draft, StepKind.REFUND, key, subject=refund.refund_id))


def _add(draft: Draft, payment: Payment, amount: int, reason: str) -> Refund:
    sequence = draft.order.refund_seq + 1
    refund = Refund(
        refund_id=refund_id(draft.order.id, sequence),
        status=RefundStatus.PROCESSING,
        amount=amount,
        reason=reason,
        created_at=draft.now,
    )
    kept = _current(draft, payment)
    draft.change_payment(amended(kept, refunds=(*kept.refunds, refund), updated_at=draft.now), refund_seq=sequence)
    return refund


def _done(draft: Draft, payment: Payment, refund: Refund) -> None:
    refunds = _with_status(payment, refund, RefundStatus.REFUNDED)
    given = sum(each.amount for each in refunds if each.status is RefundStatus.REFUNDED)
    status = PaymentStatus.REFUNDED if given >= payment.amount else PaymentStatus.PARTIALLY_REFUNDED
    draft.change_payment(amended(payment, refunds=refunds, status=status, updated_at=draft.now))
    draft.record(
        Transaction(
            transaction_id=refund_transaction_id(draft.order.id, refund.refund_id),
            type=TransactionType.REFUND,
            payment_id=payment.payment_id,
            refund_id=refund.refund_id,
            amount=refund.amount,
            currency=payment.currency,
            at=draft.now,
        )
    )
    _end_step(draft, refund)
    if status is PaymentStatus.REFUNDED:
        attention_over(draft, mismatch_key(payment))
    tell_update(draft, "payments", "totals")


def _rejected(draft: Draft, payment: Payment, refund: Refund, detail: str) -> None:
    refunds = _with_status(payment, refund, RefundStatus.REJECTED)
    draft.change_payment(amended(payment, refunds=refunds, updated_at=draft.now))
    _end_step(draft, refund)
    tell_update(draft, "payments")
    call_for_attention(draft, _block(payment), "refund_rejected", detail)


def _ask_later(draft: Draft, step: Step) -> None:
    asking = amended(step, key=_key(StepKind.VERIFY_REFUND, step.subject), kind=StepKind.VERIFY_REFUND)
    steps.wait(draft, step.key, asking, steps.verify_wait_s(draft, step))


def _end_step(draft: Draft, refund: Refund) -> None:
    step = steps.about(draft.order, refund.refund_id)
    if step is not None:
        steps.end(draft, step.key)


def _with_status(payment: Payment, refund: Refund, status: RefundStatus) -> tuple[Refund, ...]:
    return tuple(
        amended(each, status=status) if each.refund_id == refund.refund_id else each for each in payment.refunds
    )


def _refused_amount(payment: Payment) -> int:
    """Give the amount of the rejected refund that blocks the payment: the last one."""
    last = payment.refunds[-1] if payment.refunds else None
    return last.amount if last is not None and last.status is RefundStatus.REJECTED else 0


def _current(draft: Draft, payment: Payment) -> Payment:
    return draft.payment(payment.payment_id) or payment


def _find(order: Order, wanted: str) -> tuple[Payment, Refund] | None:
    for payment in order.payments:
        for refund in payment.refunds:
            if refund.refund_id == wanted:
                return payment, refund
    return None


def _block(payment: Payment) -> str:
    return f"refund:{payment.payment_id}"


def mismatch_key(payment: Payment) -> str:
    """Give the key of the note that the payment took something else than was asked for."""
    return f"payment:{payment.payment_id}"


def _key(kind: StepKind, subject: str) -> str:
    return f"{kind.value}:{subject}"
