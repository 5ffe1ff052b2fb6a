"""The steps about a payment: what is sent to PaymentSvc and asked of it until there is a final word.

A charge without an answer is in doubt: PaymentSvc is asked with the same id until it says. A charge that it neither knows
nor takes goes round between sending and asking; each round waits longer, and needs attention after the fast tries. What a
final word does to the order is in ``paying``.
"""

from __future__ import annotations

from msgspec.structs import replace

from domain.attention import payment_key
from domain.calls import Declined, NotFound, NotSent, Outcome, PaymentAnswered, Unknown
from domain.commands import PaymentConfirmed, PaymentRejected
from domain.money import Money
from domain.order import Step, StepKind, StepState
from domain.payments import Payment, PaymentStatus
from domain.totals_and_statuses import IN_FLIGHT, TOOK_MONEY, is_watch
from sagas import compensating, paying, steps
from sagas.decision_builder import DecisionBuilder
from sagas.event_data import emit_update, has_attention

CODE_NEVER_MADE = "never_made"
WATCH_PACE_PARTS = 8  # the watch for late money asks at least so many times over its whole length


def event_received(builder: DecisionBuilder, payment: Payment, event: PaymentConfirmed | PaymentRejected) -> None:
    """Take in an event about a payment: as PaymentSvc's word, or as a reason to ask for it (``payment_events_confirmed``)."""
    said = event.amount if isinstance(event, PaymentConfirmed) else None
    if builder.rules.payment_events_confirmed and payment.status not in TOOK_MONEY:
        if said is not None or payment.status in IN_FLIGHT:
            _ask_about(builder, payment, said)
    elif isinstance(event, PaymentConfirmed):
        paying.confirmed(builder, payment, event.amount, event.gateway_ref)
    else:
        paying.rejected(builder, payment, event.code)


def answered(builder: DecisionBuilder, payment: Payment, said: PaymentAnswered) -> None:
    """Take in PaymentSvc's word on a payment, whichever call it answers.

    Where an event named another amount before, PaymentSvc is asked which is right: nothing counts until then.
    """
    step = steps.about(builder.order, payment.payment_id)
    match said.status:
        case "confirmed" if step is not None and step.told not in (None, said.amount):
            paying.contradicted(
                builder, payment, f"is confirmed with {_text(said.amount)}, an event said {_text(step.told)}"
            )
            _ask_later(builder, payment, step)
        case "confirmed":
            paying.confirmed(builder, payment, said.amount, said.gateway_ref)
        case "rejected":
            paying.rejected(builder, payment, said.code or "rejected")
        case _:
            _still_processing(builder, payment, step)


def charge_failed(builder: DecisionBuilder, step: Step, outcome: Outcome) -> None:
    """Take in that a charge brought no word on the payment.

    A refusal counts only where nothing can have been done before: of a first try, not because the id is known, and not
    where an event said that money was taken.
    """
    payment = builder.payment(step.subject)
    if payment is None:
        return
    match outcome:
        case NotSent():
            _not_sent(builder, step, payment, outcome)
        case Unknown():
            _in_doubt(builder, payment)
            steps.no_answer(builder, step.key, _as_verify(step), outcome)
        case Declined() if outcome.code == "conflict" or step.may_have_happened or step.told is not None:
            _in_doubt(builder, payment)
            steps.retry_later(builder, step.key, _in_question(step), f"declined: {outcome.code}")
        case Declined():
            paying.rejected(builder, payment, outcome.code)
        case _:
            _in_doubt(builder, payment)
            steps.retry_later(builder, step.key, _in_question(step), f"unexpected answer: {type(outcome).__name__}")


def charge_due(builder: DecisionBuilder, step: Step) -> None:
    """A charge's next try is due, or its call was lost: send it again while it is wanted, ask about it otherwise."""
    payment = builder.payment(step.subject)
    if payment is not None and step.state is StepState.RUNNING:
        _in_doubt(builder, payment)
        compensating.ask_instead(builder, step)
    elif steps.is_charge_wanted(builder.order, builder.now):
        steps.again(builder, step.key, step)
    else:
        compensating.ask_instead(builder, step)


def verify_failed(builder: DecisionBuilder, step: Step, outcome: Outcome) -> None:
    """Take in that asking about a payment brought no word on it."""
    payment = builder.payment(step.subject)
    if payment is None:
        return
    watching = payment.status not in IN_FLIGHT
    match outcome:
        case NotFound() | Declined() if watching:
            _watch_on(builder, step)
        case NotFound():
            _not_found(builder, step, payment)
        case NotSent() | Unknown() if watching:
            steps.wait(builder, step.key, step, _watch_wait_s(builder, step))
        case _:
            steps.nothing_learnt(builder, step, outcome)


def give_up(builder: DecisionBuilder, payment: Payment, code: str) -> None:
    """Count a payment in flight as not made, and go on watching for money that comes of it after all."""
    step = steps.about(builder.order, payment.payment_id)
    if step is not None:
        watch = replace(
            _as_verify(step), since=builder.now, attempts=0, not_found_at=None, undecided_at=None, told=None
        )
        steps.end(builder, step.key)
        builder.change(steps=(*builder.order.steps, watch))
        steps.wait(builder, watch.key, watch, builder.rules.payment_settle_s)
    paying.reject(builder, payment, code)


def _ask_about(builder: DecisionBuilder, payment: Payment, said: Money | None) -> None:
    """Ask PaymentSvc now, unless a call is out whose answer will say. What an event said was taken is kept until another
    says otherwise; one that reports a rejection takes it back no more than it rejects.
    """
    step = steps.about(builder.order, payment.payment_id)
    told = said if said is not None or step is None else step.told
    if step is None:
        key = steps.key_of(StepKind.VERIFY, payment.payment_id)
        asking = steps.intent(builder, StepKind.VERIFY, key, subject=payment.payment_id)
        steps.start(builder, replace(asking, told=told))
    elif step.state is not StepState.RUNNING:
        compensating.ask_instead(builder, replace(step, told=told))
    elif step.told != told:
        steps.put(builder, step.key, replace(step, told=told))


def _still_processing(builder: DecisionBuilder, payment: Payment, step: Step | None) -> None:
    """PaymentSvc knows the payment but has no final word yet: an event will follow, and it is asked meanwhile."""
    if step is None or step.state is StepState.WAITING:
        return
    if payment.code == paying.CODE_SETTLED_OUTSIDE:
        _watch_on(builder, replace(step, undecided_at=None))
        return
    _ask_later(builder, payment, step)
    if payment.status is PaymentStatus.IN_DOUBT:
        builder.change_payment(replace(payment, status=PaymentStatus.PROCESSING, updated_at=builder.now))
        emit_update(builder, "payments")


def _ask_later(builder: DecisionBuilder, payment: Payment, step: Step) -> None:
    asking = replace(_as_verify(step), not_found_at=None)
    if is_watch(builder.order, step):
        # It is there after all: it may take money at any time, or stay so for ever.
        asking = replace(asking, since=builder.now)
        if step.undecided_at is None and not has_attention(builder, payment_key(payment)):
            asking = replace(asking, undecided_at=builder.after(builder.rules.payment_attention_s))
    steps.wait(builder, step.key, asking, steps.verify_wait_s(builder, step))


def _not_sent(builder: DecisionBuilder, step: Step, payment: Payment, outcome: NotSent) -> None:
    """This try certainly had no effect; where an earlier one may have had, it is asked about."""
    if not steps.is_charge_wanted(builder.order, builder.now):
        compensating.ask_instead(builder, replace(step, state=StepState.RETRYING, last_error=outcome.detail))
    elif step.may_have_happened:
        _in_doubt(builder, payment)
        steps.no_answer(builder, step.key, _as_verify(step), outcome)
    else:
        steps.no_answer(builder, step.key, step, outcome)


def _in_doubt(builder: DecisionBuilder, payment: Payment) -> None:
    if payment.status is PaymentStatus.PROCESSING:
        builder.change_payment(replace(payment, status=PaymentStatus.IN_DOUBT, updated_at=builder.now))
        emit_update(builder, "payments")


def _not_found(builder: DecisionBuilder, step: Step, payment: Payment) -> None:
    """404: while wanted it is sent again; else it may still be on its way, and only later counts as never made."""
    settle_s = builder.rules.payment_settle_s
    if steps.is_charge_wanted(builder.order, builder.now):
        charge = replace(
            step,
            key=steps.key_of(StepKind.CHARGE, step.subject),
            kind=StepKind.CHARGE,
            state=StepState.RETRYING,
            may_have_happened=True,
            not_found_at=None,
        )
        steps.again(builder, step.key, charge)
    elif step.not_found_at is None:
        steps.wait(builder, step.key, replace(step, not_found_at=builder.now), settle_s)
    elif (builder.now - step.not_found_at).total_seconds() >= settle_s:
        give_up(builder, payment, CODE_NEVER_MADE)
    else:
        rest_s = settle_s - (builder.now - step.not_found_at).total_seconds()
        steps.wait(builder, step.key, step, rest_s)


def _watch_on(builder: DecisionBuilder, step: Step) -> None:
    if (builder.now - step.since).total_seconds() >= builder.rules.payment_watch_s:
        steps.end(builder, step.key)
    else:
        steps.wait(builder, step.key, step, _watch_wait_s(builder, step))


def _watch_wait_s(builder: DecisionBuilder, step: Step) -> float:
    """Give the wait between two looks for late money: doubling, up to a part of the whole watch."""
    rules = builder.rules
    return min(rules.payment_watch_s / WATCH_PACE_PARTS, rules.payment_settle_s * 2.0 ** min(step.attempts, 30))


def _as_verify(step: Step) -> Step:
    return replace(step, key=steps.key_of(StepKind.VERIFY, step.subject), kind=StepKind.VERIFY)


def _in_question(step: Step) -> Step:
    return replace(_as_verify(step), may_have_happened=True)


def _text(money: Money | None) -> str:
    return f"{money.amount} {money.currency}" if money is not None else "nothing"
