"""Stage 3: money is collected, and nothing is believed but PaymentSvc's own word, or staff's where it has none.

What PaymentSvc says may come as an answer or as an event, twice, late or in any order; the first final word counts, and
one that says something else later needs attention and moves no money. What is sent and asked until then is in
``charging``, giving back in ``refunding``.
"""

from __future__ import annotations

from msgspec.structs import replace

from domain.attention import AttentionReason, payment_key
from domain.commands import Pay
from domain.events import EventType, Template
from domain.ids import charge_transaction_id, payment_id
from domain.money import Money
from domain.order import CancelReason, Status, StepKind
from domain.payments import Payment, PaymentStatus, Transaction, TransactionType
from domain.totals_and_statuses import IN_FLIGHT, TOOK_MONEY, has_mismatch, in_flight, money_kept, totals
from sagas import compensating, preparing, refunding, steps
from sagas.deadline import can_expire
from sagas.decision import Answer
from sagas.decision_builder import Draft
from sagas.event_data import attention_over, call_for_attention, tell, tell_update
from sagas.refusals import conflict, illegal, unprocessable

CODE_SETTLED_OUTSIDE = "settled_outside"  # staff's word that nothing was taken


def pay(draft: Draft, command: Pay) -> Answer:
    """Start to collect the balance or a part of it. Raises ``Refused`` where the order can't be paid now."""
    order, rules = draft.order, draft.rules
    if in_flight(order) is not None:
        raise conflict("payment_in_progress", "another payment's outcome is awaited")
    if has_mismatch(order):
        raise conflict("payment_mismatched", "a payment took another amount or currency than was asked for")
    if draft.now >= order.expires_at:
        raise illegal(draft, "pay")
    if len(order.payments) >= rules.payment_attempts_max:
        raise conflict("too_many_payment_attempts", f"an order takes {rules.payment_attempts_max} payments at most")
    balance = totals(order).balance
    amount = balance if command.amount is None else command.amount
    if not 0 < amount <= balance:
        detail = f"the amount must be between 1 and the balance of {balance}"
        raise unprocessable("amount_out_of_range", detail, "/amount")
    payment = Payment(
        payment_id=payment_id(order.id, len(order.payments) + 1),
        status=PaymentStatus.PROCESSING,
        amount=amount,
        currency=order.currency,
        method=command.method,
        created_at=draft.now,
        updated_at=draft.now,
        token=command.token,
    )
    draft.change(payments=(*order.payments, payment))
    key = steps.key_of(StepKind.CHARGE, payment.payment_id)
    undecided_at = draft.after(rules.payment_attention_s)
    steps.start(draft, steps.intent(draft, StepKind.CHARGE, key, subject=payment.payment_id, undecided_at=undecided_at))
    tell_update(draft, "payments")
    return Answer(resource="payment", resource_id=payment.payment_id, settled=False)


def confirmed(draft: Draft, payment: Payment, taken: Money, gateway_ref: str | None) -> None:
    """Money was taken for the payment: once a payment, however often and late it is said."""
    if payment.status in TOOK_MONEY:
        if taken != Money(payment.amount, payment.currency):
            contradicted(draft, payment, f"is said to have taken {taken.amount} {taken.currency}")
        return
    end_step(draft, payment)
    attention_over(draft, payment_key(payment))
    as_asked = taken == Money(payment.amount, payment.currency)
    settled = replace(
        payment,
        status=PaymentStatus.CONFIRMED if as_asked else PaymentStatus.MISMATCHED,
        amount=taken.amount,
        currency=taken.currency,
        token=None,
        code=None,
        gateway_ref=gateway_ref,
        updated_at=draft.now,
    )
    draft.change_payment(settled)
    enter_charge(draft, settled, taken, charge_transaction_id(draft.order.id, payment.payment_id))
    if as_asked:
        received(draft, settled)
    else:
        _mismatched(draft, settled, payment)
    if payment.code == CODE_SETTLED_OUTSIDE and not _is_noted(draft, settled):
        contradicted(draft, payment, "was taken after all, though staff recorded that it was not")
    go_on_with_money(draft)


def rejected(draft: Draft, payment: Payment, code: str) -> None:
    """The attempt is closed: the order waits for another, or goes on to expire or to be cancelled.

    A rejection of what PaymentSvc itself has confirmed takes nothing back and is no news: events come in any order, and this one
    may be from before. Against the staff's word it is one.
    """
    if payment.status in TOOK_MONEY:
        if payment.recorded:
            contradicted(draft, payment, f"is said to be rejected: {code}")
        return
    end_step(draft, payment)
    if payment.status in IN_FLIGHT:
        reject(draft, payment, code)
    else:
        attention_over(draft, payment_key(payment))


def reject(draft: Draft, payment: Payment, code: str) -> None:
    """Close a payment in flight as not made, and go on: an order past its time expires at once."""
    attention_over(draft, payment_key(payment))
    draft.change_payment(replace(payment, status=PaymentStatus.REJECTED, code=code, token=None, updated_at=draft.now))
    params = {"amount": payment.amount, "currency": payment.currency, "code": code}
    tell_update(draft, "payments", template=Template.PAYMENT_REJECTED, params=params)
    go_on(draft)


def contradicted(draft: Draft, payment: Payment, what: str) -> None:
    """A later word on a payment says something else: staff have to find out what is so, and nothing is moved for it."""
    detail = f"payment of {payment.amount} {payment.currency}, {payment.status.value}, {what}"
    call_for_attention(draft, payment_key(payment), AttentionReason.PAYMENT_CONTRADICTED, detail)


def advance(draft: Draft) -> None:
    """A validated order whose money is all there, or that costs nothing, is paid without another payment."""
    if _is_covered(draft):
        draft.change(status=Status.PAID, paid_at=draft.now)
        tell_update(draft, "status", by_itself=True)
        preparing.confirm(draft)
        refunding.give_back_surplus(draft)


def received(draft: Draft, payment: Payment) -> None:
    """Tell of a confirmed payment. On a closed order it is late money: no PagoRecibido, and it goes back."""
    if draft.order.status in (Status.DELIVERED, Status.CANCELLED):
        tell_update(draft, "payments", "totals")
        return
    covered = _is_covered(draft)
    if covered:
        draft.change(status=Status.PAID, paid_at=draft.now)
    tell(
        draft,
        EventType.PAYMENT_RECEIVED,
        more={"payment_id": payment.payment_id, "amount": payment.amount, "method": payment.method},
    )
    if covered:
        preparing.confirm(draft)


def enter_charge(draft: Draft, payment: Payment, taken: Money, transaction_id: str) -> None:
    """Enter money that a payment took in the ledger."""
    draft.record(
        Transaction(
            transaction_id=transaction_id,
            type=TransactionType.CHARGE,
            payment_id=payment.payment_id,
            refund_id=None,
            amount=taken.amount,
            currency=taken.currency,
            at=draft.now,
        )
    )


def go_on_with_money(draft: Draft) -> None:
    """Money came or went: give back what is not the order's to keep, and go on with a cancellation."""
    refunding.give_back_surplus(draft)
    compensating.late_money(draft)
    compensating.go_on(draft)


def go_on(draft: Draft) -> None:
    """No money is on its way any more: an order past its time expires, one that is being cancelled goes on with that."""
    if can_expire(draft.order) and draft.now >= draft.order.expires_at:
        compensating.cancel(draft, CancelReason.EXPIRED, by_itself=True)
    else:
        compensating.go_on(draft)


def end_step(draft: Draft, payment: Payment) -> None:
    """End the step about a payment, if there is one."""
    step = steps.about(draft.order, payment.payment_id)
    if step is not None:
        steps.end(draft, step.key)


def _mismatched(draft: Draft, payment: Payment, asked: Payment) -> None:
    tell_update(draft, "payments", "totals")
    if draft.order.status in (Status.CREATED, Status.VALIDATED):
        detail = f"asked for {asked.amount} {asked.currency}, taken {payment.amount} {payment.currency}"
        call_for_attention(draft, payment_key(payment), AttentionReason.PAYMENT_MISMATCHED, detail)


def _is_noted(draft: Draft, payment: Payment) -> bool:
    return any(each.key == payment_key(payment) for each in draft.order.attention)


def _is_covered(draft: Draft) -> bool:
    order = draft.order
    if order.status is not Status.VALIDATED or has_mismatch(order):
        return False
    return money_kept(order) >= totals(order).total
