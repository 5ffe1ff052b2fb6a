"""What staff may do about an order that needs attention: try again now, give up going forward, or call it settled."""

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
    """Try every step that is not under way again at once, and rejected refunds under new ids; told where there was any."""
    for step in draft.order.steps:
        if step.state is not StepState.RUNNING:
            try_now(draft, step)
    refunds.try_rejected_again(draft)
    if draft.calls:
        tell_update(draft, "needs_attention", note=command.note)
    return Answer(settled=not draft.calls)


def mark_settled(draft: Draft, command: MarkSettled) -> Answer:
    """Take staff's word that what needs attention was settled outside, and go on from there.

    Refunds count as given back, payments without an outcome as not made, mismatched ones as given back, stock as
    released or committed. Raises ``Refused`` ``nothing_to_settle`` where it is none of these: a validation can't be
    settled outside.
    """
    any_refund = refunds.settle_outside(draft)
    any_payment = paying.settle_outside(draft)
    any_stock = _settle_stock(draft)
    if not (any_refund or any_payment or any_stock):
        raise conflict("nothing_to_settle", "nothing that needs attention can be settled outside")
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
