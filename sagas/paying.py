"""Stage 3: money is collected, and nothing is believed but PaymentSvc's own word.

A charge without an answer is in doubt: PaymentSvc is asked with the same id until it says. What it says may come as an
answer or as an event, twice, late or in any order; the first final word counts. Giving back is in ``refunds``.
"""

from __future__ import annotations

from domain.amending import amended
from domain.calls import Declined, NotKnown, NotSent, Outcome, Unknown
from domain.commands import Pay
from domain.derived import IN_FLIGHT, TOOK_MONEY, has_mismatch, in_flight, is_watch, money_kept, totals
from domain.events import EventType, Template
from domain.ids import charge_transaction_id, payment_id
from domain.money import Money
from domain.order import CancelReason, Status, Step, StepKind, StepState
from domain.payments import Payment, PaymentStatus, Transaction, TransactionType
from sagas import compensation, preparing, refunds, steps
from sagas.deadlines import can_expire
from sagas.decision import Answer
from sagas.draft import Draft
from sagas.events import call_for_attention, tell, tell_update
from sagas.refusals import conflict, illegal, unprocessable

CODE_NEVER_MADE = "never_made"
CODE_SETTLED_OUTSIDE = "settled_outside"
WATCH_PACE_PARTS = 8  # the watch for late money asks at least so many times over its whole length


def pay(draft: Draft, command: Pay) -> Answer:
    """Start to collect the balance or a part of it. Raises ``Refused`` where the order can't be paid now."""
    order = draft.order
    if in_flight(order) is not None:
        raise conflict("payment_in_progress", "another payment's outcome is awaited")
    if has_mismatch(order):
        raise conflict("payment_mismatched", "a payment took another amount or currency than was asked for")
    if draft.now >= order.expires_at:
        raise illegal(order, "pay")
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
    key = _key(StepKind.CHARGE, payment.payment_id)
    steps.start(draft, steps.intent(draft, StepKind.CHARGE, key, subject=payment.payment_id))
    tell_update(draft, "payments")
    return Answer(resource="payment", resource_id=payment.payment_id, settled=False)


def confirmed(draft: Draft, payment: Payment, taken: Money, gateway_ref: str | None) -> None:
    """PaymentSvc took money for the payment: once a payment, however often and late it is said."""
    if payment.status in TOOK_MONEY:
        return
    _end_step(draft, payment)
    as_asked = taken == Money(payment.amount, payment.currency)
    settled = amended(
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
    draft.record(
        Transaction(
            transaction_id=charge_transaction_id(draft.order.id, payment.payment_id),
            type=TransactionType.CHARGE,
            payment_id=payment.payment_id,
            refund_id=None,
            amount=taken.amount,
            currency=taken.currency,
            at=draft.now,
        )
    )
    if as_asked:
        _received(draft, settled)
    else:
        _mismatched(draft, settled, payment)
    refunds.give_back_surplus(draft)
    compensation.late_money(draft)
    compensation.go_on(draft)


def rejected(draft: Draft, payment: Payment, code: str) -> None:
    """PaymentSvc closed the attempt: the order waits for another, or goes on to expire or to be cancelled."""
    if payment.status in TOOK_MONEY:
        return
    _end_step(draft, payment)
    if payment.status in IN_FLIGHT:
        _reject(draft, payment, code)
        _go_on(draft)


def advance(draft: Draft) -> None:
    """A validated order whose money is all there, or that costs nothing, is paid without another payment."""
    if _is_covered(draft):
        draft.change(status=Status.PAID, paid_at=draft.now)
        tell_update(draft, "status", by_itself=True)
        preparing.confirm(draft)
        refunds.give_back_surplus(draft)


def still_processing(draft: Draft, payment: Payment) -> None:
    """PaymentSvc knows the payment but has no final word yet: an event will follow, and it is asked meanwhile."""
    step = steps.about(draft.order, payment.payment_id)
    if step is None or step.state is StepState.WAITING:
        return
    asking = _as_verify(step)
    if is_watch(draft.order, step):
        asking = amended(asking, since=draft.now)
    steps.wait(draft, step.key, amended(asking, not_found_at=None), steps.verify_wait_s(draft, step))
    if payment.status is PaymentStatus.IN_DOUBT:
        draft.change_payment(amended(payment, status=PaymentStatus.PROCESSING, updated_at=draft.now))
        tell_update(draft, "payments")


def charge_failed(draft: Draft, step: Step, outcome: Outcome) -> None:
    """Take in that a charge brought no word on the payment."""
    payment = draft.payment(step.subject)
    if payment is None:
        return
    match outcome:
        case NotSent():
            _not_sent(draft, step, outcome)
        case Unknown():
            _in_doubt(draft, step, payment)
            asking = amended(_as_verify(step), may_have_happened=True)
            steps.retry_later(draft, step.key, asking, outcome.detail)
        case Declined() if outcome.code == "conflict" or step.may_have_happened:
            _in_doubt(draft, step, payment)
            compensation.ask_instead(draft, amended(step, state=StepState.RETRYING, last_error=outcome.code))
        case Declined():
            rejected(draft, payment, outcome.code)
        case NotKnown():
            rejected(draft, payment, "not_known")
        case _:
            steps.retry_later(draft, step.key, step, f"unexpected answer: {type(outcome).__name__}")


def charge_due(draft: Draft, step: Step) -> None:
    """A charge's next try is due, or its call was lost: send it again while it is wanted, ask about it otherwise."""
    payment = draft.payment(step.subject)
    if payment is not None and step.state is StepState.RUNNING:
        _in_doubt(draft, step, payment)
        compensation.ask_instead(draft, amended(step, may_have_happened=True))
    elif _is_wanted(draft):
        steps.again(draft, step.key, step)
    else:
        compensation.ask_instead(draft, step)


def verify_failed(draft: Draft, step: Step, outcome: Outcome) -> None:
    """Take in that asking about a payment brought no word on it."""
    payment = draft.payment(step.subject)
    if payment is None:
        return
    watching = payment.status not in IN_FLIGHT
    match outcome:
        case NotKnown() if watching:
            _watch_on(draft, step)
        case NotKnown():
            _not_known(draft, step, payment)
        case NotSent() | Unknown() if watching:
            steps.wait(draft, step.key, step, _watch_wait_s(draft, step))
        case NotSent() | Unknown():
            steps.no_word(draft, step.key, step, outcome)
        case Declined():
            steps.retry_later(draft, step.key, step, f"declined: {outcome.code}")
        case _:
            steps.retry_later(draft, step.key, step, f"unexpected answer: {type(outcome).__name__}")


def settle_outside(draft: Draft) -> bool:
    """Close the attempts that need attention, as staff say; money that comes of them after all is still noticed.

    True when there was any.
    """
    noted = {each.key for each in draft.order.attention}
    found = False
    for step in draft.order.steps:
        payment = draft.payment(step.subject)
        if step.key in noted and payment is not None and payment.status in IN_FLIGHT:
            _give_up(draft, step, payment, CODE_SETTLED_OUTSIDE)
            found = True
    return found


def _received(draft: Draft, payment: Payment) -> None:
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


def _mismatched(draft: Draft, payment: Payment, asked: Payment) -> None:
    tell_update(draft, "payments", "totals")
    if draft.order.status in (Status.CREATED, Status.VALIDATED):
        detail = f"asked for {asked.amount} {asked.currency}, taken {payment.amount} {payment.currency}"
        call_for_attention(draft, refunds.mismatch_key(payment), "payment_mismatched", detail)


def _is_covered(draft: Draft) -> bool:
    order = draft.order
    if order.status is not Status.VALIDATED or has_mismatch(order):
        return False
    return money_kept(order) >= totals(order).total


def _is_wanted(draft: Draft) -> bool:
    """Tell whether a charge may still be sent: the order waits for money and is not past its time."""
    return draft.order.status is Status.VALIDATED and draft.now < draft.order.expires_at


def _not_sent(draft: Draft, step: Step, outcome: NotSent) -> None:
    """This try certainly had no effect. An earlier one may have: a call made again after a restart has the same
    number.
    """
    if _is_wanted(draft):
        steps.no_word(draft, step.key, step, outcome)
    else:
        compensation.ask_instead(draft, amended(step, state=StepState.RETRYING, last_error=outcome.detail))


def _in_doubt(draft: Draft, step: Step, payment: Payment) -> None:
    if payment.status is PaymentStatus.PROCESSING and step.kind is StepKind.CHARGE:
        draft.change_payment(amended(payment, status=PaymentStatus.IN_DOUBT, updated_at=draft.now))
        tell_update(draft, "payments")


def _not_known(draft: Draft, step: Step, payment: Payment) -> None:
    """404: while wanted it is sent again; else it may still be on its way, and only later counts as never made."""
    settle_s = draft.rules.payment_settle_s
    if _is_wanted(draft):
        charge = amended(
            step,
            key=_key(StepKind.CHARGE, step.subject),
            kind=StepKind.CHARGE,
            state=StepState.RETRYING,
            may_have_happened=True,
            not_found_at=None,
        )
        steps.again(draft, step.key, charge)
    elif step.not_found_at is None:
        steps.wait(draft, step.key, amended(step, not_found_at=draft.now), settle_s)
    elif (draft.now - step.not_found_at).total_seconds() >= settle_s:
        _give_up(draft, step, payment, CODE_NEVER_MADE)
    else:
        rest_s = settle_s - (draft.now - step.not_found_at).total_seconds()
        steps.wait(draft, step.key, step, rest_s)


def _give_up(draft: Draft, step: Step, payment: Payment, code: str) -> None:
    """Count a payment as not made, and go on watching for money that comes of it after all."""
    watch = amended(
        _as_verify(step), key=_key(StepKind.VERIFY, step.subject), since=draft.now, attempts=0, not_found_at=None
    )
    steps.end(draft, step.key)
    draft.change(steps=(*draft.order.steps, watch))
    steps.wait(draft, watch.key, watch, draft.rules.payment_settle_s)
    _reject(draft, payment, code)
    _go_on(draft)


def _watch_on(draft: Draft, step: Step) -> None:
    if (draft.now - step.since).total_seconds() >= draft.rules.payment_watch_s:
        steps.end(draft, step.key)
    else:
        steps.wait(draft, step.key, step, _watch_wait_s(draft, step))


def _watch_wait_s(draft: Draft, step: Step) -> float:
    """Give the wait between two looks for late money: doubling, up to a part of the whole watch."""
    rules = draft.rules
    return min(rules.payment_watch_s / WATCH_PACE_PARTS, rules.payment_settle_s * 2.0 ** min(step.attempts, 30))


def _reject(draft: Draft, payment: Payment, code: str) -> None:
    draft.change_payment(amended(payment, status=PaymentStatus.REJECTED, code=code, token=None, updated_at=draft.now))
    params = {"amount": payment.amount, "currency": payment.currency, "code": code}
    tell_update(draft, "payments", template=Template.PAYMENT_REJECTED, params=params)


def _go_on(draft: Draft) -> None:
    """After a rejection: an order past its time expires at once, one that is being cancelled goes on with that."""
    if can_expire(draft.order) and draft.now >= draft.order.expires_at:
        compensation.cancel(draft, CancelReason.EXPIRED, by_itself=True)
    else:
        compensation.go_on(draft)


def _end_step(draft: Draft, payment: Payment) -> None:
    step = steps.about(draft.order, payment.payment_id)
    if step is not None:
        steps.end(draft, step.key)


def _as_verify(step: Step) -> Step:
    return amended(step, key=_key(StepKind.VERIFY, step.subject), kind=StepKind.VERIFY)


def _key(kind: StepKind, subject: str) -> str:
    return f"{kind.value}:{subject}"
