"""What staff may do about an order that needs attention, besides giving it up and recording what became of its money."""

from __future__ import annotations

from domain.commands import MarkSettled, RetryNow
from domain.order import HoldState, Step, StepKind, StepState
from sagas import compensating, paying, preparing, refunding, steps
from sagas.decision import CommandResult
from sagas.decision_builder import DecisionBuilder
from sagas.due_now import try_now
from sagas.event_data import emit_update, has_attention
from sagas.refusals import conflict


def retry_now(builder: DecisionBuilder, command: RetryNow) -> CommandResult:
    """Try every step that is not under way again at once, and what refunds left over under new ids; emit an event
    where the order changed.

    Raises ``Refused`` ``too_many_refund_attempts``.
    """
    before = builder.order
    for step in before.steps:
        if step.state is not StepState.RUNNING:
            try_now(builder, step)
    refunding.try_again(builder)
    paying.go_on_with_money(builder)
    if builder.order is not before:
        emit_update(builder, "needs_attention", note=command.note)
    return CommandResult(settled=not builder.calls)


def mark_settled(builder: DecisionBuilder, command: MarkSettled) -> CommandResult:
    """Take staff's word that the stock was settled outside: it counts as released or committed, and the order goes on.

    Raises ``Refused`` ``nothing_to_settle`` where no step about the stock needs attention; money is recorded instead.
    """
    if not _settle_stock(builder):
        raise conflict("nothing_to_settle", "no stock that needs attention can be settled outside")
    compensating.go_on(builder)
    emit_update(builder, "needs_attention", note=command.note)
    return CommandResult()


def _settle_stock(builder: DecisionBuilder) -> bool:
    step = _noted(builder, StepKind.RELEASE_HOLD)
    if step is not None:
        compensating.released(builder, step)
        return True
    step = _noted(builder, StepKind.COMMIT_HOLD)
    if step is not None:
        builder.change(hold=HoldState.COMMITTED)
        steps.end(builder, step.key)
        preparing.prepared(builder)
        return True
    return False


def _noted(builder: DecisionBuilder, kind: StepKind) -> Step | None:
    for step in builder.order.steps:
        if step.kind is kind and has_attention(builder, step.key):
            return step
    return None
