"""The steps about a payment: what is sent to PaymentSvc and asked of it until there is a final word.

A charge without an answer is in doubt: PaymentSvc is asked with the same id until it says. A charge that it neither knows
nor takes goes round between sending and asking; each round waits longer, and needs attention after the fast tries. What a
final word does to the order is in ``paying``.
"""

from __future__ import annotations

from msgspec.structs import replace

from domain.attention import payment_key
from domain.calls import Declined, NotKnown, NotSent, Outcome, PaymentAnswered, Unknown
from domain.commands import PaymentConfirmed, PaymentRejected
from domain.money import Money
from domain.order import Step, StepKind, StepState
from domain.payments import Payment, PaymentStatus
from domain.totals_and_statuses import IN_FLIGHT, TOOK_MONEY, is_watch
from sagas import compensating, paying, steps
from sagas.decision_builder import Draft
from sagas.event_data import has_attention, tell_update

CODE_NEVER_MADE = "never_made"
WATCH_PACE_PARTS = 8  # the watch for late money asks at least so many times over its whole length


def event_told(draft: Draft, payment: Payment, event: PaymentConfirmed | PaymentRejected) -> None:
    """Take in an event about a payment: as PaymentSvc's word, or as a reason to ask for it (``payment_events_confirmed``)."""
    said = event.amount if isinstance(event, PaymentConfirmed) else None
    if draft.rules.payment_events_confirmed and payment.status not in TOOK_MONEY:
        if said is not None or payment.status in IN_FLIGHT:
            _ask_about(draft, payment, said)
    elif isinstance(event, PaymentConfirmed):
        paying.confirmed(draft, payment, event.amount, event.gateway_ref)
    else:
        paying.rejected(draft, payment, event.code)


def answered(draft: Draft, payment: Payment, said: PaymentAnswered) -> None:
    """Take in PaymentSvc's word on a payment, whichever call it answers.

    Where an event told of another amount before, which of the two is so has to be found out: nothing counts until then.
    """
    step = steps.about(draft.order, payment.payment_id)
    match said.status:
        case "confirmed" if step is not None and step.told not in (None, said.amount):
            paying.contradicted(
                draft, payment, f"is confirmed with {_text(said.amount)}, an event said {_text(step.told)}"
            )
            _ask_later(draft, payment, step)
        case "confirmed":
            paying.confirmed(draft, payment, said.amount, said.gateway_ref)
        case "rejected":
            paying.rejected(draft, payment, said.code or "rejected")
        case _:
            _still_processing(draft, payment, step)


def charge_failed(draft: Draft, step: Step, outcome: Outcome) -> None:
    """Take in that a charge brought no word on the payment.

    A refusal counts only where nothing can have been done before: of a first try, not because the id is known, and not
    where an event told that money was taken.
    """
    payment = draft.payment(step.subject)
    if payment is None:
        return
    match outcome:
        case NotSent():
            _not_sent(draft, step, payment, outcome)
        case Unknown():
            _in_doubt(draft, payment)
            steps.no_word(draft, step.key, _as_verify(step), outcome)
        case Declined() if outcome.code == "conflict" or step.may_have_happened or step.told is not None:
            _in_doubt(draft, payment)
            steps.retry_later(draft, step.key, _in_question(step), f"declined: {outcome.code}")
        case Declined():
            paying.rejected(draft, payment, outcome.code)
        case _:
            _in_doubt(draft, payment)
            steps.retry_later(draft, step.key, _in_question(step), f"unexpected answer: {type(outcome).__name__}")


def charge_due(draft: Draft, step: Step) -> None:
    """A charge's next try is due, or its call was lost: send it again while it is wanted, ask about it otherwise."""
    payment = draft.payment(step.subject)
    if payment is not None and step.state is StepState.RUNNING:
        _in_doubt(draft, payment)
        compensating.ask_instead(draft, step)
    elif steps.is_charge_wanted(draft.order, draft.now):
        steps.again(draft, step.key, step)
    else:
        compensating.ask_instead(draft, step)


def verify_failed(draft: Draft, step: Step, outcome: Outcome) -> None:
    """Take in that asking about a payment brought no word on it."""
    payment = draft.payment(step.subject)
    if payment is None:
        return
    watching = payment.status not in IN_FLIGHT
    match outcome:
        case NotKnown() | Declined() if watching:
            _watch_on(draft, step)
        case NotKnown():
            _not_known(draft, step, payment)
        case NotSent() | Unknown() if watching:
            steps.wait(draft, step.key, step, _watch_wait_s(draft, step))
        case _:
            steps.nothing_learnt(draft, step, outcome)


def give_up(draft: Draft, payment: Payment, code: str) -> None:
    """Count a payment in flight as not made, and go on watching for money that comes of it after all."""
    step = steps.about(draft.order, payment.payment_id)
    if step is not None:
        watch = replace(_as_verify(step), since=draft.now, attempts=0, not_found_at=None, undecided_at=None, told=None)
        steps.end(draft, step.key)
        draft.change(steps=(*draft.order.steps, watch))
        steps.wait(draft, watch.key, watch, draft.rules.payment_settle_s)
    paying.reject(draft, payment, code)


def _ask_about(draft: Draft, payment: Payment, said: Money | None) -> None:
    """Ask PaymentSvc now, unless a call is out whose answer will tell. What an event said was taken is kept until another
    says otherwise; one that tells of a rejection takes it back no more than it rejects.
    """
    step = steps.about(draft.order, payment.payment_id)
    told = said if said is not None or step is None else step.told
    if step is None:
        key = steps.key_of(StepKind.VERIFY, payment.payment_id)
        asking = steps.intent(draft, StepKind.VERIFY, key, subject=payment.payment_id)
        steps.start(draft, replace(asking, told=told))
    elif step.state is not StepState.RUNNING:
        compensating.ask_instead(draft, replace(step, told=told))
    elif step.told != told:
        steps.put(draft, step.key, replace(step, told=told))


def _still_processing(draft: Draft, payment: Payment, step: Step | None) -> None:
    """PaymentSvc knows the payment but has no final word yet: an event will follow, and it is asked meanwhile."""
    if step is None or step.state is StepState.WAITING:
        return
    if payment.code == paying.CODE_SETTLED_OUTSIDE:
        _watch_on(draft, replace(step, undecided_at=None))
        return
    _ask_later(draft, payment, step)
    if payment.status is PaymentStatus.IN_DOUBT:
        draft.change_payment(replace(payment, status=PaymentStatus.PROCESSING, updated_at=draft.now))
        tell_update(draft, "payments")


def _ask_later(draft: Draft, payment: Payment, step: Step) -> None:
    asking = replace(_as_verify(step), not_found_at=None)
    if is_watch(draft.order, step):
        # It is there after all: it may take money at any time, or stay so for ever.
        asking = replace(asking, since=draft.now)
        if step.undecided_at is None and not has_attention(draft, payment_key(payment)):
            asking = replace(asking, undecided_at=draft.after(draft.rules.payment_attention_s))
    steps.wait(draft, step.key, asking, steps.verify_wait_s(draft, step))


def _not_sent(draft: Draft, step: Step, payment: Payment, outcome: NotSent) -> None:
    """This try certainly had no effect; where an earlier one may have had, it is asked about."""
    if not steps.is_charge_wanted(draft.order, draft.now):
        compensating.ask_instead(draft, replace(step, state=StepState.RETRYING, last_error=outcome.detail))
    elif step.may_have_happened:
        _in_doubt(draft, payment)
        steps.no_word(draft, step.key, _as_verify(step), outcome)
    else:
        steps.no_word(draft, step.key, step, outcome)


def _in_doubt(draft: Draft, payment: Payment) -> None:
    if payment.status is PaymentStatus.PROCESSING:
        draft.change_payment(replace(payment, status=PaymentStatus.IN_DOUBT, updated_at=draft.now))
        tell_update(draft, "payments")


def _not_known(draft: Draft, step: Step, payment: Payment) -> None:
    """404: while wanted it is sent again; else it may still be on its way, and only later counts as never made."""
    settle_s = draft.rules.payment_settle_s
    if steps.is_charge_wanted(draft.order, draft.now):
        charge = replace(
            step,
            key=steps.key_of(StepKind.CHARGE, step.subject),
            kind=StepKind.CHARGE,
            state=StepState.RETRYING,
            may_have_happened=True,
            not_found_at=None,
        )
        steps.again(draft, step.key, charge)
    elif step.not_found_at is None:
        steps.wait(draft, step.key, replace(step, not_found_at=draft.now), settle_s)
    elif (draft.now - step.not_found_at).total_seconds() >= settle_s:
        give_up(draft, payment, CODE_NEVER_MADE)
    else:
        rest_s = settle_s - (draft.now - step.not_found_at).total_seconds()
        steps.wait(draft, step.key, step, rest_s)


def _watch_on(draft: Draft, step: Step) -> None:
    if (draft.now - step.since).total_seconds() >= draft.rules.payment_watch_s:
        steps.end(draft, step.key)
    else:
        steps.wait(draft, step.key, step, _watch_wait_s(draft, step))


def _watch_wait_s(draft: Draft, step: Step) -> float:
    """Give the wait between two looks for late money: doubling, up to a part of the whole watch."""
    rules = draft.rules
    return min(rules.payment_watch_s / WATCH_PACE_PARTS, rules.payment_settle_s * 2.0 ** min(step.attempts, 30))


def _as_verify(step: Step) -> Step:
    return replace(step, key=steps.key_of(StepKind.VERIFY, step.subject), kind=StepKind.VERIFY)


def _in_question(step: Step) -> Step:
    return replace(_as_verify(step), may_have_happened=True)


def _text(money: Money | None) -> str:
    return f"{money.amount} {money.currency}" if money is not None else "nothing"
