"""Stages 4 and 5: the number is given, and the hold is committed. Both run by themselves once an order is paid.

A hold that is lost on the way is asked for again once; if that is refused, the order is cancelled and its money goes
back.
"""

from __future__ import annotations

from domain.calls import Declined, HoldAnswered, NotKnown, NotSent, Outcome, Unknown
from domain.events import EventType
from domain.order import CancelReason, HoldState, Status, Step, StepKind
from domain.totals_and_statuses import totals
from sagas import compensating, holds, steps
from sagas.decision_builder import Draft
from sagas.event_data import items_data, tell, tell_update

NUMBER_DIGITS = 9
LOST_CODES = ("hold_expired", "hold_released", "stale_revision")  # what was committed before is answered "committed"


def confirm(draft: Draft) -> None:
    """Give a paid order its number and start to prepare it; without a number at hand it stays ``paid`` until the next
    wake.
    """
    if draft.order.status is not Status.PAID or not draft.message.known.number:
        return
    number = f"ORD-{draft.message.known.number:0{NUMBER_DIGITS}d}"
    draft.change(status=Status.CONFIRMED, number=number, confirmed_at=draft.now)
    tell(
        draft,
        EventType.CONFIRMED,
        more=items_data(draft),
        params={"total": totals(draft.order).total, "currency": draft.order.currency},
        by_itself=True,
    )
    prepare(draft)


def prepare(draft: Draft) -> None:
    """Go on with a confirmed order: commit what is held. A hold that is being asked for is awaited first."""
    order = draft.order
    if order.status is not Status.CONFIRMED or steps.has_step(order, StepKind.HOLD, StepKind.COMMIT_HOLD):
        return
    if order.hold is HoldState.COMMITTED:
        prepared(draft)
    elif order.hold is HoldState.HELD:
        key = f"{StepKind.COMMIT_HOLD.value}:{order.hold_revision}"
        steps.start(draft, steps.intent(draft, StepKind.COMMIT_HOLD, key, revision=order.hold_revision))
    else:
        holds.ask(draft, order.revision + 1)


def prepared(draft: Draft) -> None:
    """The stock is the order's for good: it waits to be shipped."""
    draft.change(status=Status.PREPARED, hold=HoldState.COMMITTED, prepared_at=draft.now)
    tell_update(draft, "status", "hold")


def commit_answered(draft: Draft, step: Step, outcome: Outcome) -> None:
    """Take in the answer to committing the hold: firm, lost, or none yet.

    A refusal that does not show that an unanswered try before did nothing says nothing of the stock: it is tried on.
    """
    match outcome:
        case HoldAnswered(state="committed"):
            steps.end(draft, step.key)
            prepared(draft)
        case Declined() if step.may_have_happened and outcome.code not in LOST_CODES:
            steps.retry_later(draft, step.key, step, f"declined: {outcome.code}")
        case HoldAnswered(state="released" | "expired") | Declined() | NotKnown():
            steps.end(draft, step.key)
            _lost(draft)
        case NotSent() | Unknown():
            steps.no_word(draft, step.key, step, outcome)
        case _:
            steps.retry_later(draft, step.key, step, f"unexpected answer: {type(outcome).__name__}")


def _lost(draft: Draft) -> None:
    if draft.order.rehold_tried:
        compensating.cancel(draft, CancelReason.OUT_OF_STOCK, by_itself=True)
        return
    draft.change(hold=HoldState.LOST, rehold_tried=True)
    tell_update(draft, "hold")
    prepare(draft)
