"""Asking ProductSvc to hold the order's stock, anew with a higher revision each time. What an answer means is not
known here.
"""

from __future__ import annotations

from msgspec.structs import replace

from domain.order import Order, Status, Step, StepKind, StepState
from sagas import steps
from sagas.decision_builder import Draft


def ask(draft: Draft, revision: int, *, rounds: int = 0) -> None:
    """Start to ask for the hold of ``revision``, which becomes the order's revision; ``rounds`` as in ``Step``."""
    step = _intent(draft, revision, rounds)
    draft.change(revision=revision, hold_revision=revision)
    steps.start(draft, step)


def ask_anew(draft: Draft, step: Step) -> None:
    """Give up a hold step for one of the next revision, at once: what it asked for was lost meanwhile."""
    steps.end(draft, step.key)
    ask(draft, draft.order.revision + 1, rounds=step.rounds)


def ask_anew_later(draft: Draft, step: Step, error: str) -> None:
    """Give up a hold step for one of the next revision, which is due after a back-off: this one was outdated."""
    revision = draft.order.revision + 1
    draft.change(revision=revision, hold_revision=revision)
    fresh = replace(_intent(draft, revision, step.rounds), attempts=step.attempts, state=StepState.RETRYING)
    steps.put(draft, step.key, fresh)
    steps.retry_later(draft, fresh.key, fresh, error)


def hold_step(order: Order) -> Step | None:
    """Give the step that asks for a hold, or None."""
    for step in order.steps:
        if step.kind is StepKind.HOLD:
            return step
    return None


def _intent(draft: Draft, revision: int, rounds: int) -> Step:
    """A validated order keeps its ``expires_at``; before and after that stage the hold gets a whole payment window."""
    order = draft.order
    until = order.expires_at if order.status is Status.VALIDATED else draft.after(draft.rules.payment_window_s)
    key = f"{StepKind.HOLD.value}:{revision}"
    return steps.intent(draft, StepKind.HOLD, key, revision=revision, until=until, rounds=rounds)
