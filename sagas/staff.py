"""What staff may do about an order that needs attention, besides giving it up and recording what became of its money."""

from __future__ import annotations

from domain.commands import MarkSettled, RetryNow
from domain.order import HoldState, Step, StepKind, StepState
from sagas import compensating, paying, preparing, refunding, steps
from sagas.decision import Answer
from sagas.decision_builder import Draft
from sagas.due_now import try_now
from sagas.event_data import has_attention, tell_update
from sagas.refusals import conflict


def retry_now(draft: Draft, command: RetryNow) -> Answer:
    """Try every step that is not under way again at once, and what refunds left over under new ids; told where there
    was any.

    Raises ``Refused`` ``too_many_refund_attempts``.
    """
    before = draft.order
    for step in before.steps:
        if step.state is not StepState.RUNNING:
            try_now(draft, step)
    refunding.try_again(draft)
    paying.go_on_with_money(draft)
    if draft.order is not before:
        tell_update(draft, "needs_attention", note=command.note)
    return Answer(settled=not draft.calls)


def mark_settled(draft: Draft, command: MarkSettled) -> Answer:
    """Take staff's word that the stock was settled outside: it counts as released or committed, and the order goes on.

    Raises ``Refused`` ``nothing_to_settle`` where no step about the stock needs attention; money is recorded instead.
    """
    if not _settle_stock(draft):
        raise conflict("nothing_to_settle", "no stock that needs attention can be settled outside")
    compensating.go_on(draft)
    tell_update(draft, "needs_attention", note=command.note)
    return Answer()


def _settle_stock(draft: Draft) -> bool:
    step = _noted(draft, StepKind.RELEASE_HOLD)
    if step is not None:
        compensating.released(draft, step)
        return True
    step = _noted(draft, StepKind.COMMIT_HOLD)
    if step is not None:
        draft.change(hold=HoldState.COMMITTED)
        steps.end(draft, step.key)
        preparing.prepared(draft)
        return True
    return False


def _noted(draft: Draft, kind: StepKind) -> Step | None:
    for step in draft.order.steps:
        if step.kind is kind and has_attention(draft, step.key):
            return step
    return None
