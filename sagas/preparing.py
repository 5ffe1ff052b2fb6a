"""Stages 4 and 5: the number is given, and the hold is committed. Both run by themselves once an order is paid.

A hold that is lost on the way is asked for again once; if that is refused, the order is cancelled and its money goes
back.
"""

from __future__ import annotations

from domain.calls import Declined, HoldAnswered, NotFound, NotSent, Outcome, Unknown
from domain.events import EventType
from domain.order import CancelReason, HoldState, Status, Step, StepKind
from domain.totals_and_statuses import totals
from sagas import compensating, holds, steps
from sagas.decision_builder import DecisionBuilder
from sagas.event_data import emit, emit_update, items_data

NUMBER_DIGITS = 9
LOST_CODES = ("hold_expired", "hold_released", "stale_revision")  # what was committed before is answered "committed"


def confirm(builder: DecisionBuilder) -> None:
    """Give a paid order its number and start to prepare it; without a number at hand it stays ``paid`` until the next
    wake.
    """
    if builder.order.status is not Status.PAID or not builder.message.lookups.number:
        return
    number = f"ORD-{builder.message.lookups.number:0{NUMBER_DIGITS}d}"
    builder.change(status=Status.CONFIRMED, number=number, confirmed_at=builder.now)
    emit(
        builder,
        EventType.CONFIRMED,
        more=items_data(builder),
        params={"total": totals(builder.order).total, "currency": builder.order.currency},
        by_itself=True,
    )
    prepare(builder)


def prepare(builder: DecisionBuilder) -> None:
    """Go on with a confirmed order: commit what is held. A hold that is being asked for is awaited first."""
    order = builder.order
    if order.status is not Status.CONFIRMED or steps.has_step(order, StepKind.HOLD, StepKind.COMMIT_HOLD):
        return
    if order.hold is HoldState.COMMITTED:
        prepared(builder)
    elif order.hold is HoldState.HELD:
        key = f"{StepKind.COMMIT_HOLD.value}:{order.hold_revision}"
        steps.start(builder, steps.intent(builder, StepKind.COMMIT_HOLD, key, revision=order.hold_revision))
    else:
        holds.ask(builder, order.revision + 1)


def prepared(builder: DecisionBuilder) -> None:
    """The stock is the order's for good: it waits to be shipped."""
    builder.change(status=Status.PREPARED, hold=HoldState.COMMITTED, prepared_at=builder.now)
    emit_update(builder, "status", "hold")


def commit_answered(builder: DecisionBuilder, step: Step, outcome: Outcome) -> None:
    """Take in the answer to committing the hold: firm, lost, or none yet.

    A refusal that does not show that an unanswered try before did nothing says nothing of the stock: it is tried on.
    """
    match outcome:
        case HoldAnswered(state="committed"):
            steps.end(builder, step.key)
            prepared(builder)
        case Declined() if step.may_have_happened and outcome.code not in LOST_CODES:
            steps.retry_later(builder, step.key, step, f"declined: {outcome.code}")
        case HoldAnswered(state="released" | "expired") | Declined() | NotFound():
            steps.end(builder, step.key)
            _lost(builder)
        case NotSent() | Unknown():
            steps.no_answer(builder, step.key, step, outcome)
        case _:
            steps.retry_later(builder, step.key, step, f"unexpected answer: {type(outcome).__name__}")


def _lost(builder: DecisionBuilder) -> None:
    if builder.order.rehold_tried:
        compensating.cancel(builder, CancelReason.OUT_OF_STOCK, by_itself=True)
        return
    builder.change(hold=HoldState.LOST, rehold_tried=True)
    emit_update(builder, "hold")
    prepare(builder)
