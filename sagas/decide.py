"""The state machine: which message an order answers in which status, and how. Read it from the top.

``decide`` is the one entry. Each status has a function that answers every command; what partners say and the timer are
about steps and payments and not about a status, so they are answered in one place. What is done is in the module of
that name.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from domain.calls import Declined, NotFound, NotSent, Outcome, PaymentAnswered, RefundAnswered, Unknown
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
from sagas.decision import CommandResult, Decision, OrderRules
from sagas.decision_builder import DecisionBuilder
from sagas.due_now import ask_again, run_due
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


def decide(order: Order | None, message: Message, now: datetime, rules: OrderRules) -> Decision:
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
    builder = DecisionBuilder(order, order, message, now, rules)
    return builder.finish(_answer(builder, body))


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


def _answer(builder: DecisionBuilder, body: Body) -> CommandResult:
    """Answer any message about an order that exists."""
    match body:
        case CreateOrder():
            return CommandResult(settled=False)  # It was made before: a repeat.
        case CallAnswered():
            _call_answered(builder, body)
            return CommandResult()
        case PaymentConfirmed() | PaymentRejected():
            charging.event_received(builder, _payment(builder, body.payment_id), body)
            return CommandResult()
        case HoldLost():
            validating.hold_lost(builder)
            return CommandResult()
        case Wake():
            run_due(builder)
            return CommandResult()
        case AskAgain():
            ask_again(builder, body.partner)
            return CommandResult()
        case RetryNow():
            return staff.retry_now(builder, body)
        case MarkSettled():
            return staff.mark_settled(builder, body)
        case Record():
            return recording.record(builder, body)
        case _:
            return _command(builder, body)


def _command(builder: DecisionBuilder, command: Command) -> CommandResult:
    """Answer a command by the order's status."""
    match builder.order.status:
        case Status.CREATED:
            return _created(builder, command)
        case Status.VALIDATED:
            return _validated(builder, command)
        case Status.PAID | Status.CONFIRMED:
            return _on_its_way(builder, command)
        case Status.PREPARED:
            return _prepared(builder, command)
        case Status.SHIPPED | Status.DELIVERED:
            return _sent_off(builder, command)
        case Status.CANCELLING | Status.CANCELLED:
            return _given_up(builder, command)
        case _:
            assert_never(builder.order.status)


def _created(builder: DecisionBuilder, command: Command) -> CommandResult:
    """Stage 2 runs, or waits for an edit that mends the order."""
    match command:
        case AddItem() | ChangeQuantity() | RemoveItem() | ApplyDiscount() | RemoveDiscount():
            return editing.edit(builder, command)
        case Cancel() | SkipToCompensation():
            return _cancel(builder, command)
        case Pay() | Ship() | Deliver():
            raise _illegal(builder, command)
        case _:
            assert_never(command)


def _validated(builder: DecisionBuilder, command: Command) -> CommandResult:
    """Stage 3: the order waits for money."""
    match command:
        case AddItem() | ChangeQuantity() | RemoveItem() | ApplyDiscount() | RemoveDiscount():
            return editing.edit(builder, command)
        case Pay():
            return paying.pay(builder, command)
        case Cancel() | SkipToCompensation():
            return _cancel(builder, command)
        case Ship() | Deliver():
            raise _illegal(builder, command)
        case _:
            assert_never(command)


def _on_its_way(builder: DecisionBuilder, command: Command) -> CommandResult:
    """Stages 4 and 5 run by themselves."""
    match command:
        case Cancel() | SkipToCompensation():
            return _cancel(builder, command)
        case _:
            raise _illegal(builder, command)


def _prepared(builder: DecisionBuilder, command: Command) -> CommandResult:
    """Stage 6: the order waits to be shipped; some of its parcels may be on the way or have arrived."""
    match command:
        case Ship():
            return shipping.ship(builder, command)
        case Deliver():
            return shipping.deliver(builder, command)
        case Cancel() | SkipToCompensation():
            return _cancel(builder, command)
        case _:
            raise _illegal(builder, command)


def _sent_off(builder: DecisionBuilder, command: Command) -> CommandResult:
    """Stage 7: everything is shipped; a delivery noted again is a success."""
    match command:
        case Deliver():
            return shipping.deliver(builder, command)
        case _:
            raise _illegal(builder, command)


def _given_up(builder: DecisionBuilder, command: Command) -> CommandResult:
    """Compensation runs or is over; a cancellation asked for again is a success, and the first one's reason stays."""
    match command:
        case Cancel() | SkipToCompensation():
            return CommandResult(settled=builder.order.status is Status.CANCELLED)
        case _:
            raise _illegal(builder, command)


def _cancel(builder: DecisionBuilder, command: Cancel | SkipToCompensation) -> CommandResult:
    if not may_cancel(builder.order):
        raise _illegal(builder, command)
    reason = command.reason if isinstance(command, Cancel) else CancelReason.STAFF
    compensating.cancel(builder, reason, note=command.note)
    return CommandResult(settled=builder.order.status is Status.CANCELLED)


def _call_answered(builder: DecisionBuilder, answered: CallAnswered) -> None:
    """Take in what a call brought. Word on money counts whichever step asked; anything else belongs to its step.

    That there was no word, or that something is not known, counts only for the try that is under way: an older try has
    been given up for it.
    """
    outcome = answered.outcome
    if isinstance(outcome, PaymentAnswered):
        payment = builder.payment(outcome.payment_id)
        if payment is not None:
            charging.answered(builder, payment, outcome)
        return
    if isinstance(outcome, RefundAnswered):
        refunding.answered(builder, outcome)
        compensating.go_on(builder)
        return
    step = builder.step(answered.key)
    if step is None:
        return
    is_current = step.state is StepState.RUNNING and step.attempts == answered.attempt
    if is_current or not isinstance(outcome, NotFound | NotSent | Unknown | Declined):
        if answered.may_have_happened:
            step = replace(step, may_have_happened=True)
        _step_answered(builder, step, outcome)


def _step_answered(builder: DecisionBuilder, step: Step, outcome: Outcome) -> None:
    match step.kind:
        case StepKind.FETCH_PRODUCTS | StepKind.FETCH_CUSTOMER:
            validating.fetch_answered(builder, step, outcome)
        case StepKind.HOLD:
            validating.hold_answered(builder, step, outcome)
        case StepKind.COMMIT_HOLD:
            preparing.commit_answered(builder, step, outcome)
        case StepKind.RELEASE_HOLD:
            compensating.release_answered(builder, step, outcome)
        case StepKind.CHARGE:
            charging.charge_failed(builder, step, outcome)
        case StepKind.VERIFY:
            charging.verify_failed(builder, step, outcome)
        case StepKind.REFUND | StepKind.VERIFY_REFUND:
            refunding.failed(builder, step, outcome)
        case _:
            assert_never(step.kind)


def _payment(builder: DecisionBuilder, payment_id: str) -> Payment:
    """Give the payment an event is about. One that is not known *yet* may be when the event is delivered again."""
    payment = builder.payment(payment_id)
    if payment is None:
        raise not_found("payment_not_found", "the order has no such payment")
    return payment


def _illegal(builder: DecisionBuilder, command: Command) -> Refused:
    return illegal(builder, COMMAND_NAMES[type(command)])
