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
from sagas.decision import CommandResult
from sagas.decision_builder import DecisionBuilder
from sagas.event_data import attention_over, call_for_attention, emit, emit_update
from sagas.refusals import conflict, illegal, unprocessable

CODE_SETTLED_OUTSIDE = "settled_outside"  # staff's word that nothing was taken


def pay(builder: DecisionBuilder, command: Pay) -> CommandResult:
    """Start to collect the balance or a part of it. Raises ``Refused`` where the order can't be paid now."""
    order, rules = builder.order, builder.rules
    if in_flight(order) is not None:
        raise conflict("payment_in_progress", "another payment's outcome is awaited")
    if has_mismatch(order):
        raise conflict("payment_mismatched", "a payment took another amount or currency than was asked for")
    if builder.now >= order.expires_at:
        raise illegal(builder, "pay")
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
        created_at=builder.now,
        updated_at=builder.now,
        token=command.token,
    )
    builder.change(payments=(*order.payments, payment))
    key = steps.key_of(StepKind.CHARGE, payment.payment_id)
    undecided_at = builder.after(rules.payment_attention_s)
    steps.start(
        builder, steps.intent(builder, StepKind.CHARGE, key, subject=payment.payment_id, undecided_at=undecided_at)
    )
    emit_update(builder, "payments")
    return CommandResult(resource="payment", resource_id=payment.payment_id, settled=False)


def confirmed(builder: DecisionBuilder, payment: Payment, taken: Money, gateway_ref: str | None) -> None:
    """Money was taken for the payment: once a payment, however often and late it is said."""
    if payment.status in TOOK_MONEY:
        if taken != Money(payment.amount, payment.currency):
            contradicted(builder, payment, f"is said to have taken {taken.amount} {taken.currency}")
        return
    end_step(builder, payment)
    attention_over(builder, payment_key(payment))
    as_asked = taken == Money(payment.amount, payment.currency)
    settled = replace(
        payment,
        status=PaymentStatus.CONFIRMED if as_asked else PaymentStatus.MISMATCHED,
        amount=taken.amount,
        currency=taken.currency,
        token=None,
        code=None,
        gateway_ref=gateway_ref,
        updated_at=builder.now,
    )
    builder.change_payment(settled)
    enter_charge(builder, settled, taken, charge_transaction_id(builder.order.id, payment.payment_id))
    if as_asked:
        received(builder, settled)
    else:
        _mismatched(builder, settled, payment)
    if payment.code == CODE_SETTLED_OUTSIDE and not _is_noted(builder, settled):
        contradicted(builder, payment, "was taken after all, though staff recorded that it was not")
    go_on_with_money(builder)


def rejected(builder: DecisionBuilder, payment: Payment, code: str) -> None:
    """The attempt is closed: the order waits for another, or goes on to expire or to be cancelled.

    A rejection of what PaymentSvc itself has confirmed takes nothing back and is no news: events come in any order, and this one
    may be from before. Against the staff's word it is one.
    """
    if payment.status in TOOK_MONEY:
        if payment.recorded:
            contradicted(builder, payment, f"is said to be rejected: {code}")
        return
    end_step(builder, payment)
    if payment.status in IN_FLIGHT:
        reject(builder, payment, code)
    else:
        attention_over(builder, payment_key(payment))


def reject(builder: DecisionBuilder, payment: Payment, code: str) -> None:
    """Close a payment in flight as not made, and go on: an order past its time expires at once."""
    attention_over(builder, payment_key(payment))
    builder.change_payment(
        replace(payment, status=PaymentStatus.REJECTED, code=code, token=None, updated_at=builder.now)
    )
    params = {"amount": payment.amount, "currency": payment.currency, "code": code}
    emit_update(builder, "payments", template=Template.PAYMENT_REJECTED, params=params)
    go_on(builder)


def contradicted(builder: DecisionBuilder, payment: Payment, what: str) -> None:
    """A later word on a payment says something else: staff have to find out what is so, and nothing is moved for it."""
    detail = f"payment of {payment.amount} {payment.currency}, {payment.status.value}, {what}"
    call_for_attention(builder, payment_key(payment), AttentionReason.PAYMENT_CONTRADICTED, detail)


def advance(builder: DecisionBuilder) -> None:
    """A validated order whose money is all there, or that costs nothing, is paid without another payment."""
    if _is_covered(builder):
        builder.change(status=Status.PAID, paid_at=builder.now)
        emit_update(builder, "status", by_itself=True)
        preparing.confirm(builder)
        refunding.refund_surplus(builder)


def received(builder: DecisionBuilder, payment: Payment) -> None:
    """Emit the event of a confirmed payment. On a closed order it is late money: no PagoRecibido, and it goes back."""
    if builder.order.status in (Status.DELIVERED, Status.CANCELLED):
        emit_update(builder, "payments", "totals")
        return
    covered = _is_covered(builder)
    if covered:
        builder.change(status=Status.PAID, paid_at=builder.now)
    emit(
        builder,
        EventType.PAYMENT_RECEIVED,
        more={"payment_id": payment.payment_id, "amount": payment.amount, "method": payment.method},
    )
    if covered:
        preparing.confirm(builder)


def enter_charge(builder: DecisionBuilder, payment: Payment, taken: Money, transaction_id: str) -> None:
    """Enter money that a payment took in the ledger."""
    builder.record(
        Transaction(
            transaction_id=transaction_id,
            type=TransactionType.CHARGE,
            payment_id=payment.payment_id,
            refund_id=None,
            amount=taken.amount,
            currency=taken.currency,
            at=builder.now,
        )
    )


def go_on_with_money(builder: DecisionBuilder) -> None:
    """Money came or went: give back what is not the order's to keep, and go on with a cancellation."""
    refunding.refund_surplus(builder)
    compensating.late_money(builder)
    compensating.go_on(builder)


def go_on(builder: DecisionBuilder) -> None:
    """No money is on its way any more: an order past its time expires, one that is being cancelled goes on with that."""
    if can_expire(builder.order) and builder.now >= builder.order.expires_at:
        compensating.cancel(builder, CancelReason.EXPIRED, by_itself=True)
    else:
        compensating.go_on(builder)


def end_step(builder: DecisionBuilder, payment: Payment) -> None:
    """End the step about a payment, if there is one."""
    step = steps.about(builder.order, payment.payment_id)
    if step is not None:
        steps.end(builder, step.key)


def _mismatched(builder: DecisionBuilder, payment: Payment, asked: Payment) -> None:
    emit_update(builder, "payments", "totals")
    if builder.order.status in (Status.CREATED, Status.VALIDATED):
        detail = f"asked for {asked.amount} {asked.currency}, taken {payment.amount} {payment.currency}"
        call_for_attention(builder, payment_key(payment), AttentionReason.PAYMENT_MISMATCHED, detail)


def _is_noted(builder: DecisionBuilder, payment: Payment) -> bool:
    return any(each.key == payment_key(payment) for each in builder.order.attention)


def _is_covered(builder: DecisionBuilder) -> bool:
    order = builder.order
    if order.status is not Status.VALIDATED or has_mismatch(order):
        return False
    return money_kept(order) >= totals(order).total
