"""Asking ProductSvc to hold the order's stock, anew with a higher revision each time. What an answer means is not
known here.
"""

from __future__ import annotations

from msgspec.structs import replace

from domain.order import Order, Status, Step, StepKind, StepState
from sagas import steps
from sagas.decision_builder import DecisionBuilder


def ask(builder: DecisionBuilder, revision: int, *, rounds: int = 0) -> None:
    """Start to ask for the hold of ``revision``, which becomes the order's revision; ``rounds`` as in ``Step``."""
    step = _intent(builder, revision, rounds)
    builder.change(revision=revision, hold_revision=revision)
    steps.start(builder, step)


def ask_anew(builder: DecisionBuilder, step: Step) -> None:
    """Give up a hold step for one of the next revision, at once: what it asked for was lost meanwhile."""
    steps.end(builder, step.key)
    ask(builder, builder.order.revision + 1, rounds=step.rounds)


def ask_anew_later(builder: DecisionBuilder, step: Step, error: str) -> None:
    """Give up a hold step for one of the next revision, which is due after a back-off: this one was outdated."""
    revision = builder.order.revision + 1
    builder.change(revision=revision, hold_revision=revision)
    fresh = replace(_intent(builder, revision, step.rounds), attempts=step.attempts, state=StepState.RETRYING)
    steps.put(builder, step.key, fresh)
    steps.retry_later(builder, fresh.key, fresh, error)


def hold_step(order: Order) -> Step | None:
    """Give the step that asks for a hold, or None."""
    for step in order.steps:
        if step.kind is StepKind.HOLD:
            return step
    return None


def _intent(builder: DecisionBuilder, revision: int, rounds: int) -> Step:
    """A validated order keeps its ``expires_at``; before and after that stage the hold gets a whole payment window."""
    order = builder.order
    until = order.expires_at if order.status is Status.VALIDATED else builder.after(builder.rules.payment_window_s)
    key = f"{StepKind.HOLD.value}:{revision}"
    return steps.intent(builder, StepKind.HOLD, key, revision=revision, until=until, rounds=rounds)
