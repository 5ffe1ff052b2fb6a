"""The plot: which message an order answers in which status, and how. Read it from the top.

``decide`` is the one door. Each status has a function that answers every command; what partners say and the timer are
about steps and payments and not about a status, so they are answered in one place. What is done is in the module of
that name.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from domain.calls import Declined, NotKnown, NotSent, Outcome, PaymentAnswered, RefundAnswered, Unknown
from domain.commands import (
    AddItem,
    ApplyDiscount,
    AskAgain,
    Body,
    CallAnswered,
    Cancel,
    ChangeQuantity,
    CreateOrder,
    Deliver,
    HoldLost,
    MarkSettled,
    Message,
    Pay,
    PaymentConfirmed,
    PaymentRejected,
    Record,
    RemoveDiscount,
    RemoveItem,
    RetryNow,
    Ship,
    SkipToCompensation,
    Wake,
)
from domain.errors import RefusalKind, Refused
from domain.order import CancelReason, Order, Status, Step, StepKind, StepState
from domain.payments import Payment
from domain.totals_and_statuses import may_cancel
from sagas import charging, compensating, editing, paying, preparing, recording, refunding, shipping, staff, validating
from sagas.deadline import deadline, resume
from sagas.decision import Answer, Decision, Rules
from sagas.decision_builder import Draft
from sagas.due_now import ask_again, wake
from sagas.refusals import illegal, not_found, require_visible

__all__ = ["deadline", "decide", "resume"]

Command = (
    AddItem
    | ChangeQuantity
    | RemoveItem
    | ApplyDiscount
    | RemoveDiscount
    | Pay
    | Cancel
    | SkipToCompensation
    | Ship
    | Deliver
)

COMMAND_NAMES: dict[type, str] = {
    AddItem: "add_item",
    ChangeQuantity: "change_quantity",
    RemoveItem: "remove_item",
    ApplyDiscount: "apply_discount",
    RemoveDiscount: "remove_discount",
    Pay: "pay",
    Cancel: "cancel",
    SkipToCompensation: "cancel",
    Ship: "ship",
    Deliver: "deliver",
}


def decide(order: Order | None, message: Message, now: datetime, rules: Rules) -> Decision:
    """Say what becomes of an order (None: there is none yet) by a message: pure, and the same each time it is asked.

    Raises ``Refused`` where the rules say no; then nothing changes. A decision whose ``order`` is None changes nothing.
    """
    body = message.body
    if order is None:
        if not isinstance(body, CreateOrder):
            raise not_found("order_not_found", "there is no such order")
        return editing.create(body, message, now, rules)
    _let_in(order, message)
    order = refunding.with_notes_of_their_own(order)
    draft = Draft(order, order, message, now, rules)
    return draft.finish(_answer(draft, body))


def _let_in(order: Order, message: Message) -> None:
    """Raise ``Refused`` for an order that does not exist for the sender, or that is not as the sender saw it."""
    require_visible(order, message)
    if message.expected_version is not None and message.expected_version != order.version:
        raise Refused(
            RefusalKind.STALE,
            "version_conflict",
            f"the order is at version {order.version}",
            current_version=order.version,
        )


def _answer(draft: Draft, body: Body) -> Answer:
    """Answer any message about an order that exists."""
    match body:
        case CreateOrder():
            return Answer(settled=False)  # It was made before: a repeat.
        case CallAnswered():
            _call_answered(draft, body)
            return Answer()
        case PaymentConfirmed() | PaymentRejected():
            charging.event_told(draft, _payment(draft, body.payment_id), body)
            return Answer()
        case HoldLost():
            validating.hold_lost(draft)
            return Answer()
        case Wake():
            wake(draft)
            return Answer()
        case AskAgain():
            ask_again(draft, body.partner)
            return Answer()
        case RetryNow():
            return staff.retry_now(draft, body)
        case MarkSettled():
            return staff.mark_settled(draft, body)
        case Record():
            return recording.record(draft, body)
        case _:
            return _command(draft, body)


def _command(draft: Draft, command: Command) -> Answer:
    """Answer a command by the order's status."""
    match draft.order.status:
        case Status.CREATED:
            return _created(draft, command)
        case Status.VALIDATED:
            return _validated(draft, command)
        case Status.PAID | Status.CONFIRMED:
            return _on_its_way(draft, command)
        case Status.PREPARED:
            return _prepared(draft, command)
        case Status.SHIPPED | Status.DELIVERED:
            return _sent_off(draft, command)
        case Status.CANCELLING | Status.CANCELLED:
            return _given_up(draft, command)
        case _:
            assert_never(draft.order.status)


def _created(draft: Draft, command: Command) -> Answer:
    """Stage 2 runs, or waits for an edit that mends the order."""
    match command:
        case AddItem() | ChangeQuantity() | RemoveItem() | ApplyDiscount() | RemoveDiscount():
            return editing.edit(draft, command)
        case Cancel() | SkipToCompensation():
            return _cancel(draft, command)
        case Pay() | Ship() | Deliver():
            raise _illegal(draft, command)
        case _:
            assert_never(command)


def _validated(draft: Draft, command: Command) -> Answer:
    """Stage 3: the order waits for money."""
    match command:
        case AddItem() | ChangeQuantity() | RemoveItem() | ApplyDiscount() | RemoveDiscount():
            return editing.edit(draft, command)
        case Pay():
            return paying.pay(draft, command)
        case Cancel() | SkipToCompensation():
            return _cancel(draft, command)
        case Ship() | Deliver():
            raise _illegal(draft, command)
        case _:
            assert_never(command)


def _on_its_way(draft: Draft, command: Command) -> Answer:
    """Stages 4 and 5 run by themselves."""
    match command:
        case Cancel() | SkipToCompensation():
            return _cancel(draft, command)
        case _:
            raise _illegal(draft, command)


def _prepared(draft: Draft, command: Command) -> Answer:
    """Stage 6: the order waits to be shipped; some of its parcels may be on the way or have arrived."""
    match command:
        case Ship():
            return shipping.ship(draft, command)
        case Deliver():
            return shipping.deliver(draft, command)
        case Cancel() | SkipToCompensation():
            return _cancel(draft, command)
        case _:
            raise _illegal(draft, command)


def _sent_off(draft: Draft, command: Command) -> Answer:
    """Stage 7: everything is shipped; a delivery noted again is a success."""
    match command:
        case Deliver():
            return shipping.deliver(draft, command)
        case _:
            raise _illegal(draft, command)


def _given_up(draft: Draft, command: Command) -> Answer:
    """Compensation runs or is over; a cancellation asked for again is a success, and the first one's reason stays."""
    match command:
        case Cancel() | SkipToCompensation():
            return Answer(settled=draft.order.status is Status.CANCELLED)
        case _:
            raise _illegal(draft, command)


def _cancel(draft: Draft, command: Cancel | SkipToCompensation) -> Answer:
    if not may_cancel(draft.order):
        raise _illegal(draft, command)
    reason = command.reason if isinstance(command, Cancel) else CancelReason.STAFF
    compensating.cancel(draft, reason, note=command.note)
    return Answer(settled=draft.order.status is Status.CANCELLED)


def _call_answered(draft: Draft, answered: CallAnswered) -> None:
    """Take in what a call brought. Word on money counts whichever step asked; anything else belongs to its step.

    That there was no word, or that something is not known, counts only for the try that is under way: an older try has
    been given up for it.
    """
    outcome = answered.outcome
    if isinstance(outcome, PaymentAnswered):
        payment = draft.payment(outcome.payment_id)
        if payment is not None:
            charging.answered(draft, payment, outcome)
        return
    if isinstance(outcome, RefundAnswered):
        refunding.answered(draft, outcome)
        compensating.go_on(draft)
        return
    step = draft.step(answered.key)
    if step is None:
        return
    is_current = step.state is StepState.RUNNING and step.attempts == answered.attempt
    if is_current or not isinstance(outcome, NotKnown | NotSent | Unknown | Declined):
        if answered.may_have_happened:
            step = replace(step, may_have_happened=True)
        _step_answered(draft, step, outcome)


def _step_answered(draft: Draft, step: Step, outcome: Outcome) -> None:
    match step.kind:
        case StepKind.FETCH_PRODUCTS | StepKind.FETCH_CUSTOMER:
            validating.fetch_answered(draft, step, outcome)
        case StepKind.HOLD:
            validating.hold_answered(draft, step, outcome)
        case StepKind.COMMIT_HOLD:
            preparing.commit_answered(draft, step, outcome)
        case StepKind.RELEASE_HOLD:
            compensating.release_answered(draft, step, outcome)
        case StepKind.CHARGE:
            charging.charge_failed(draft, step, outcome)
        case StepKind.VERIFY:
            charging.verify_failed(draft, step, outcome)
        case StepKind.REFUND | StepKind.VERIFY_REFUND:
            refunding.failed(draft, step, outcome)
        case _:
            assert_never(step.kind)


def _payment(draft: Draft, payment_id: str) -> Payment:
    """Give the payment an event is about. Not known *yet*, perhaps: whoever brought the event may bring it again
    later.
    """
    payment = draft.payment(payment_id)
    if payment is None:
        raise not_found("payment_not_found", "the order has no such payment")
    return payment


def _illegal(draft: Draft, command: Command) -> Refused:
    return illegal(draft, COMMAND_NAMES[type(command)])
