"""Steps: intents that are in the order before their call goes out, and how they are tried again.

A step says what is wanted; its request follows from the order alone, so that a call made again is the same, byte for
byte. What an answer means for the order is not known here.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never
from zlib import crc32

from msgspec.structs import replace

from domain.attention import AttentionReason
from domain.calls import (
    PARTNER_OF,
    Call,
    Charge,
    CommitHold,
    Declined,
    FetchCustomer,
    FetchProducts,
    Hold,
    HoldLine,
    NotSent,
    Outcome,
    Partner,
    RefundPayment,
    ReleaseHold,
    Request,
    Unknown,
    Verify,
    VerifyRefund,
)
from domain.money import Money
from domain.order import Order, Status, Step, StepKind, StepState
from domain.payments import Payment
from sagas.decision_builder import DecisionBuilder
from sagas.event_data import attention_over, call_for_attention

VALIDATION_STEPS = (StepKind.FETCH_PRODUCTS, StepKind.FETCH_CUSTOMER, StepKind.HOLD)
MONEY_STEPS = (StepKind.CHARGE, StepKind.VERIFY, StepKind.REFUND, StepKind.VERIFY_REFUND)
NO_ANSWER = "no answer came"


def key_of(kind: StepKind, subject: str) -> str:
    """Give the key of a step about a payment or refund."""
    return f"{kind.value}:{subject}"


def intent(
    builder: DecisionBuilder,
    kind: StepKind,
    key: str,
    *,
    subject: str = "",
    revision: int = 0,
    until: datetime | None = None,
    undecided_at: datetime | None = None,
    rounds: int = 0,
) -> Step:
    """Give a new step whose first call is out."""
    return Step(
        key=key,
        kind=kind,
        state=StepState.RUNNING,
        since=builder.now,
        next_try_at=builder.after(builder.rules.call_lost_s),
        subject=subject,
        revision=revision,
        attempts=1,
        until=until,
        undecided_at=undecided_at,
        rounds=rounds,
    )


def start(builder: DecisionBuilder, *steps: Step) -> None:
    """Put running steps into the order and make their calls."""
    builder.change(steps=(*builder.order.steps, *steps))
    builder.calls.extend(call_of(builder.order, step) for step in steps)


def end(builder: DecisionBuilder, key: str) -> None:
    """Take a step out of the order, and with it the note that it needed attention."""
    builder.change(steps=tuple(step for step in builder.order.steps if step.key != key))
    attention_over(builder, key)


def put(builder: DecisionBuilder, key: str, step: Step) -> None:
    """Put ``step`` in the place of the one of that key; a note about it goes over to the new key in silence."""
    builder.change(steps=tuple(step if each.key == key else each for each in builder.order.steps))
    if step.key != key and builder.order.attention:
        moved = tuple(replace(each, key=step.key) if each.key == key else each for each in builder.order.attention)
        builder.change(attention=moved)


def again(builder: DecisionBuilder, key: str, step: Step) -> None:
    """Make the call of ``step`` (which takes the place of the one of that key) once more, now."""
    was_lost = step.state is StepState.RUNNING
    running = replace(
        step,
        state=StepState.RUNNING,
        attempts=step.attempts + 1,
        next_try_at=builder.after(builder.rules.call_lost_s),
        last_error=NO_ANSWER if was_lost else step.last_error,
        may_have_happened=step.may_have_happened or was_lost,
    )
    put(builder, key, running)
    builder.calls.append(call_of(builder.order, running))
    if was_lost:
        _note_exhaustion(builder, running, NO_ANSWER, step.attempts)


def no_answer(builder: DecisionBuilder, key: str, step: Step, outcome: NotSent | Unknown) -> None:
    """The partner said nothing, and may have done it all the same unless nothing was sent.

    While the partner is asked nothing at all, the step waits for it (``AskAgain``), a minute at most. Refused
    credentials need attention at once: no number of tries mends them.
    """
    match outcome:
        case NotSent(circuit_open=True):
            _failed(builder, key, step, outcome.detail, _less_some(builder, step, builder.rules.step_retry_max_s))
            if (builder.now - step.since).total_seconds() >= builder.rules.fast_tries_s:
                _call_for_attention(builder, step, outcome.detail)
        case NotSent():
            retry_later(builder, key, step, outcome.detail)
        case Unknown(credentials_refused=True):
            _failed(builder, key, replace(step, may_have_happened=True), outcome.detail, backoff_s(builder, step))
            detail = f"{step.kind.value}: {outcome.detail}"
            call_for_attention(builder, step.key, AttentionReason.CREDENTIALS_REFUSED, detail)
        case Unknown():
            retry_later(builder, key, replace(step, may_have_happened=True), outcome.detail)


def nothing_learnt(builder: DecisionBuilder, step: Step, outcome: Outcome) -> None:
    """The answer to a question about a payment or refund says nothing of it: ask again after a back-off."""
    match outcome:
        case NotSent() | Unknown():
            no_answer(builder, step.key, step, outcome)
        case Declined():
            retry_later(builder, step.key, step, f"declined: {outcome.code}")
        case _:
            retry_later(builder, step.key, step, f"unexpected answer: {type(outcome).__name__}")


def retry_later(builder: DecisionBuilder, key: str, step: Step, error: str) -> None:
    """Note a failed try; the next one is due after a back-off. Once the fast tries are used up, staff should look."""
    _failed(builder, key, step, error, backoff_s(builder, step))
    _note_exhaustion(builder, step, error, step.attempts)


def _failed(builder: DecisionBuilder, key: str, step: Step, error: str, wait_s: float) -> None:
    put(
        builder,
        key,
        replace(step, state=StepState.RETRYING, next_try_at=builder.after(wait_s), last_error=error),
    )


def wait(builder: DecisionBuilder, key: str, step: Step, seconds: float) -> None:
    """The partner answered, and its final word is still to come: ask again after so many seconds."""
    put(builder, key, replace(step, state=StepState.WAITING, next_try_at=builder.after(seconds), last_error=None))
    attention_over(builder, step.key)


def backoff_s(builder: DecisionBuilder, step: Step) -> float:
    """Give the wait after a failed try: doubling from the first to the longest, less up to a quarter.

    The part taken off follows from the order, the step and the try, so that orders which failed together don't come
    back together and the same decision made twice is the same.
    """
    rules = builder.rules
    longest = min(rules.step_retry_max_s, rules.step_retry_first_s * 2.0 ** min(step.attempts - 1, 30))
    return _less_some(builder, step, longest)


def _less_some(builder: DecisionBuilder, step: Step, longest_s: float) -> float:
    spread = crc32(f"{builder.order.id}/{step.key}/{step.attempts}".encode()) % 1000 / 1000
    return longest_s * (1 - spread / 4)


def verify_wait_s(builder: DecisionBuilder, step: Step) -> float:
    """Give the wait before a payment or refund without a final word is asked for again."""
    rules = builder.rules
    return min(rules.verify_max_s, rules.verify_first_s * 2.0 ** min(max(step.attempts - 1, 0), 30))


def about(order: Order, subject: str) -> Step | None:
    """Give the step about a payment or refund, or None."""
    for step in order.steps:
        if step.subject == subject:
            return step
    return None


def has_step(order: Order, *kinds: StepKind) -> bool:
    """Tell whether the order has a step of one of the kinds."""
    return any(step.kind in kinds for step in order.steps)


def is_charge_wanted(order: Order, now: datetime) -> bool:
    """Tell whether a charge may still be sent: the order waits for money and is not past its time."""
    return order.status is Status.VALIDATED and now < order.expires_at


def still_wanted(order: Order, call: Call, now: datetime) -> bool:
    """Tell whether ``order``, as it was last committed, still asks for ``call``; what it does not ask for is not sent.

    Its step must be there, under way, and at the same try. A charge is sent a first time while its order waits for money,
    and sent again only before the order's time is over: later, PaymentSvc is asked what became of it.
    """
    step = next((each for each in order.steps if each.key == call.key), None)
    if step is None or step.state is not StepState.RUNNING or step.attempts != call.attempt:
        return False
    if step.kind is not StepKind.CHARGE:
        return True
    if call.may_have_happened or step.may_have_happened:
        return is_charge_wanted(order, now)
    return order.status is Status.VALIDATED


def call_of(order: Order, step: Step) -> Call:
    """Give the call of a running step."""
    return Call(
        order_id=order.id,
        key=step.key,
        attempt=step.attempts,
        request=_request_of(order, step),
        may_have_happened=step.may_have_happened,
    )


def partner_of(step: Step) -> Partner:
    """Give the partner that a step's call goes to."""
    return PARTNER_OF[_REQUEST_OF[step.kind]]


_REQUEST_OF: dict[StepKind, type[Request]] = {
    StepKind.FETCH_PRODUCTS: FetchProducts,
    StepKind.FETCH_CUSTOMER: FetchCustomer,
    StepKind.HOLD: Hold,
    StepKind.COMMIT_HOLD: CommitHold,
    StepKind.RELEASE_HOLD: ReleaseHold,
    StepKind.CHARGE: Charge,
    StepKind.VERIFY: Verify,
    StepKind.REFUND: RefundPayment,
    StepKind.VERIFY_REFUND: VerifyRefund,
}


def _request_of(order: Order, step: Step) -> Request:
    match step.kind:
        case StepKind.FETCH_PRODUCTS:
            return FetchProducts(tuple(line.sku for line in order.lines), order.currency)
        case StepKind.FETCH_CUSTOMER:
            return FetchCustomer(order.customer_id)
        case StepKind.HOLD:
            lines = tuple(HoldLine(line.sku, line.quantity) for line in order.lines)
            return Hold(step.revision, step.until or order.expires_at, lines)
        case StepKind.COMMIT_HOLD:
            return CommitHold(step.revision)
        case StepKind.RELEASE_HOLD:
            return ReleaseHold()
        case StepKind.CHARGE:
            return _charge(order, step.subject)
        case StepKind.VERIFY:
            return Verify(step.subject)
        case StepKind.REFUND:
            return _refund_request(order, step.subject)
        case StepKind.VERIFY_REFUND:
            return VerifyRefund(step.subject)
        case _:
            assert_never(step.kind)


def _charge(order: Order, payment_id: str) -> Charge:
    payment = next(each for each in order.payments if each.payment_id == payment_id)
    return Charge(
        payment_id=payment_id,
        customer_id=order.customer_id,
        amount=Money(payment.amount, payment.currency),
        method=payment.method,
        token=payment.token,
    )


def _refund_request(order: Order, refund_id: str) -> RefundPayment:
    payment, amount, reason = _refund(order.payments, refund_id)
    return RefundPayment(
        refund_id=refund_id,
        payment_id=payment.payment_id,
        amount=Money(amount, payment.currency),
        reason=reason,
    )


def _refund(payments: tuple[Payment, ...], refund_id: str) -> tuple[Payment, int, str]:
    return next(
        (payment, refund.amount, refund.reason)
        for payment in payments
        for refund in payment.refunds
        if refund.refund_id == refund_id
    )


def _note_exhaustion(builder: DecisionBuilder, step: Step, error: str, failed: int) -> None:
    if failed >= builder.rules.step_attention_attempts:
        _call_for_attention(builder, step, error)


def _call_for_attention(builder: DecisionBuilder, step: Step, error: str) -> None:
    call_for_attention(builder, step.key, AttentionReason.STEP_EXHAUSTED, f"{step.kind.value}: {error}")
