"""What staff may do about an order that needs attention, besides giving it up and recording what became of its money."""

from __future__ import annotations

from domain.commands import MarkSettled, RetryNow
from domain.order import HoldState, Step, StepKind, StepState
from sagas import compensation, paying, preparing, refunds, steps
from sagas.decision import Answer
from sagas.draft import Draft
from sagas.events import has_attention, tell_update
from sagas.refusals import conflict
from sagas.waking import try_now


def retry_now(draft: Draft, command: RetryNow) -> Answer:
    """Try every step that is not under way again at once, and what refunds left over under new ids; told where there
    was any.

    Raises ``Refused`` ``too_many_refund_attempts``.
    """
    before = draft.order
    for step in before.steps:
        if step.state is not StepState.RUNNING:
            try_now(draft, step)
    refunds.try_again(draft)
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
    compensation.go_on(draft)
    tell_update(draft, "needs_attention", note=command.note)
    return Answer()


def _settle_stock(draft: Draft) -> bool:
    step = _noted(draft, StepKind.RELEASE_HOLD)
    if step is not None:
        compensation.released(draft, step)
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
