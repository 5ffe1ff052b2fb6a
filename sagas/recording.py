"""Staff's word on money: what became of a payment or refund that PaymentSvc leaves undecided or in question.

It is entered by the same functions as PaymentSvc's own word, so that the order goes on in the same way and money moves
once. What PaymentSvc says later and differently needs attention again (``paying``, ``refunding``).
"""

from __future__ import annotations

from msgspec.structs import replace

from domain.attention import AttentionReason, payment_key, refund_key
from domain.commands import Record
from domain.errors import Refused
from domain.ids import correction_transaction_id
from domain.limits import AMOUNT_MAX_MINOR
from domain.money import Money
from domain.payments import REASON_CORRECTED, Payment, PaymentStatus, Refund, RefundStatus
from domain.totals_and_statuses import IN_FLIGHT, outstanding, settled_status
from sagas import charging, compensating, paying, refunding, steps
from sagas.decision import CommandResult
from sagas.decision_builder import DecisionBuilder
from sagas.event_data import attention_over, emit_update, has_attention
from sagas.refusals import conflict, not_found, unprocessable


def record(builder: DecisionBuilder, command: Record) -> CommandResult:
    """Take staff's word on a payment (``confirmed``, ``rejected``) or a refund (``refunded``, ``rejected``).

    It is for what has no final word, and for what was left to staff: of a mismatched payment, what was really taken
    (``confirmed``) or was given back outside (``refunded``); of a payment that counted as rejected and is in question
    again, what was taken after all (``confirmed``); of a refund that was rejected or gave back something else,
    what was given back by it in all. Said again of what is decided so already, it changes nothing but the note that the
    decision had been contradicted.

    Raises ``Refused``: ``subject_not_found``, ``outcome_not_applicable``, ``already_decided``, ``amount_out_of_range``,
    ``refund_in_progress``.
    """
    subject = command.subject.lower()
    payment = builder.payment(subject)
    found = refunding.find(builder.order, subject)
    before = builder.order
    if payment is not None:
        _record_payment(builder, payment, command)
    elif found is not None:
        _record_refund(builder, *found, command)
    else:
        raise not_found("subject_not_found", "the order has no payment or refund of this id")
    if builder.order is not before:
        emit_update(builder, "needs_attention", note=command.note)
    return CommandResult(settled=not builder.calls)


def _record_payment(builder: DecisionBuilder, payment: Payment, command: Record) -> None:
    said = Money(command.amount, command.currency or payment.currency)
    match command.outcome, payment.status:
        case "confirmed", status if status in IN_FLIGHT:
            _check_amount(command)
            paying.confirmed(builder, replace(payment, recorded=True), said, command.reference)
        case "rejected", status if status in IN_FLIGHT:
            known = replace(payment, gateway_ref=command.reference)
            charging.give_up(builder, known, paying.CODE_SETTLED_OUTSIDE)
        case "confirmed", PaymentStatus.MISMATCHED:
            _check_amount(command)
            _correct(builder, payment, said, command.reference)
        case "refunded", PaymentStatus.MISMATCHED:
            _settle_mismatched(builder, payment, said, command)
        case ("confirmed", PaymentStatus.CONFIRMED | PaymentStatus.PARTIALLY_REFUNDED | PaymentStatus.REFUNDED):
            if said != Money(payment.amount, payment.currency):
                raise _decided(payment.status)
            attention_over(builder, payment_key(payment))
        case "confirmed", PaymentStatus.REJECTED if has_attention(builder, payment_key(payment)):
            _check_amount(command)
            paying.confirmed(builder, replace(payment, code=None, recorded=True), said, command.reference)
        case "rejected", PaymentStatus.REJECTED:
            if has_attention(builder, payment_key(payment)):
                _stays_rejected(builder, payment)
        case "refunded", PaymentStatus.PARTIALLY_REFUNDED | PaymentStatus.REFUNDED if _is_repeat(
            payment, command, command.amount
        ):
            pass
        case "rejected", PaymentStatus.MISMATCHED:
            raise _not_applicable("money was taken: record what was taken, or what was given back")
        case ("confirmed" | "rejected", _) | ("refunded", PaymentStatus.PARTIALLY_REFUNDED | PaymentStatus.REFUNDED):
            raise _decided(payment.status)
        case _:
            raise _not_applicable(
                "a payment without a final word is confirmed or rejected, a mismatched one refunded too"
            )


def _record_refund(builder: DecisionBuilder, payment: Payment, refund: Refund, command: Record) -> None:
    said = Money(command.amount, command.currency or payment.currency)
    is_left_to_staff = refunding.waits_for_staff(builder.order, refund)
    match command.outcome, refund.status:
        case "refunded", status if status is RefundStatus.PROCESSING or (
            status is RefundStatus.REJECTED and is_left_to_staff
        ):
            _check_amount(command)
            refunding.refunded(builder, payment, refund, said, reference=command.reference)
            compensating.go_on(builder)
        case "rejected", RefundStatus.PROCESSING:
            refunding.rejected(builder, payment, refund, f"staff recorded that it was rejected: {command.reference}")
        case "rejected", RefundStatus.REJECTED:
            pass
        case "refunded", RefundStatus.REFUNDED:
            _settle_refunded(builder, payment, refund, said, command)
        case ("refunded" | "rejected", _):
            raise _decided(refund.status)
        case _:
            raise _not_applicable("a refund is refunded or rejected")


def _stays_rejected(builder: DecisionBuilder, payment: Payment) -> None:
    """A payment that counted as never made and that PaymentSvc works on: it is watched on, and not awaited."""
    attention_over(builder, payment_key(payment))
    builder.change_payment(replace(payment, code=paying.CODE_SETTLED_OUTSIDE, updated_at=builder.now))
    step = steps.about(builder.order, payment.payment_id)
    if step is not None:
        steps.put(builder, step.key, replace(step, undecided_at=None, told=None))


def _correct(builder: DecisionBuilder, payment: Payment, taken: Money, reference: str) -> None:
    """A mismatched payment really took ``taken``: the books get the difference, and it counts as confirmed.

    What PaymentSvc's word made them say too much is entered as gone, since entries are never taken back.
    """
    if any(refund.status is RefundStatus.PROCESSING for refund in payment.refunds):
        raise conflict("refund_in_progress", "what was taken is being given back: record what becomes of the refund")
    attention_over(builder, payment_key(payment), *(refund_key(refund) for refund in payment.refunds))
    is_same_currency = taken.currency == payment.currency
    more = taken.amount - payment.amount if is_same_currency else taken.amount
    less = max(0, -more) if is_same_currency else payment.amount
    counted = replace(
        payment,
        status=PaymentStatus.CONFIRMED,
        amount=taken.amount,
        currency=taken.currency,
        gateway_ref=reference,
        recorded=True,
        refunds=tuple(replace(each, currency=each.currency or payment.currency) for each in payment.refunds),
        updated_at=builder.now,
    )
    counted = replace(counted, status=settled_status(counted))
    builder.change_payment(counted)
    if more > 0:
        entry = correction_transaction_id(builder.order.id, payment.payment_id)
        paying.enter_charge(builder, counted, Money(more, taken.currency), entry)
    if less > 0:
        refunding.enter_outside(builder, counted, Money(less, payment.currency), reference, REASON_CORRECTED)
    paying.received(builder, builder.payment(payment.payment_id) or counted)
    paying.go_on_with_money(builder)
    paying.go_on(builder)


def _settle_mismatched(builder: DecisionBuilder, payment: Payment, given: Money, command: Record) -> None:
    if _is_repeat(payment, command, given.amount):
        return
    rest = outstanding(payment)
    if given.currency != payment.currency or not 0 < given.amount <= rest:
        raise _amount_out_of_range(f"of the payment {rest} {payment.currency} are left to give back")
    refunding.enter_outside(builder, payment, given, command.reference)
    paying.advance(builder)
    paying.go_on_with_money(builder)
    paying.go_on(builder)


def _settle_refunded(builder: DecisionBuilder, payment: Payment, refund: Refund, given: Money, command: Record) -> None:
    """Staff say how much a refund that is decided gave back in all: as much as is entered, or more.

    What is missing then is not left to staff any more: it is given back like any other money.
    """
    entered = refund.amount if refund.currency in (None, payment.currency) else 0
    more = given.amount - entered
    is_noted = has_attention(builder, refund_key(refund))
    if given == Money(refund.amount, refund.currency or payment.currency):
        if refund.reference != command.reference or not has_attention(
            builder, refund_key(refund), AttentionReason.REFUND_MISMATCHED
        ):
            attention_over(builder, refund_key(refund))
    elif _is_repeat(payment, command, more, apart=refund):
        return
    elif is_noted and given.currency == payment.currency:
        if not 0 < more <= outstanding(payment):
            raise _amount_out_of_range(f"{entered} {payment.currency} are entered, {outstanding(payment)} are left")
        attention_over(builder, refund_key(refund))
        refunding.enter_outside(builder, payment, Money(more, given.currency), command.reference)
    else:
        raise _decided(refund.status)
    paying.go_on_with_money(builder)


def _is_repeat(payment: Payment, command: Record, amount: int, *, apart: Refund | None = None) -> bool:
    """Tell whether staff said the same before: so much, with the same reference, of another refund than ``apart``."""
    return any(
        (refund.reason, refund.amount, refund.reference) == (refunding.REASON_OUTSIDE, amount, command.reference)
        for refund in payment.refunds
        if refund is not apart
    )


def _check_amount(command: Record) -> None:
    if not 0 < command.amount <= AMOUNT_MAX_MINOR:
        raise _amount_out_of_range(f"the amount must be between 1 and {AMOUNT_MAX_MINOR}")


def _amount_out_of_range(detail: str) -> Refused:
    return unprocessable("amount_out_of_range", detail, "/amount")


def _decided(status: PaymentStatus | RefundStatus) -> Refused:
    return conflict("already_decided", f"it is {status.value} already")


def _not_applicable(detail: str) -> Refused:
    return unprocessable("outcome_not_applicable", detail, "/outcome")
