"""What an order does when its time has come: expire, be confirmed, or make the calls again that are due."""

from __future__ import annotations

from domain.calls import PARTNER_OF, Partner
from domain.order import CancelReason, Step, StepKind, StepState
from sagas import compensation, paying, preparing, steps
from sagas.deadlines import can_expire
from sagas.draft import Draft


def wake(draft: Draft) -> None:
    """Do what is due by now and nothing else: a wake that comes early, or twice, changes nothing."""
    due = [step for step in draft.order.steps if step.next_try_at <= draft.now]
    preparing.confirm(draft)
    if can_expire(draft.order) and draft.now >= draft.order.expires_at:
        compensation.cancel(draft, CancelReason.EXPIRED)
    for step in due:
        if draft.step(step.key) is step:
            try_now(draft, step)


def ask_again(draft: Draft, partner: Partner) -> None:
    """Make the calls to a partner now that were to be tried again later."""
    for step in draft.order.steps:
        is_waiting = step.state is StepState.RETRYING and draft.step(step.key) is step
        if is_waiting and PARTNER_OF[type(steps.call_of(draft.order, step).request)] is partner:
            try_now(draft, step)


def try_now(draft: Draft, step: Step) -> None:
    """Make a step's call again: its next try is due, its answer was lost, or staff want it now."""
    if step.kind is StepKind.CHARGE:
        paying.charge_due(draft, step)
    else:
        steps.again(draft, step.key, step)
