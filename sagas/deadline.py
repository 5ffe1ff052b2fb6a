"""When an order has to be woken, and whether its time can run out. It says when, never what to do then."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from domain.calls import Call
from domain.order import Order, Status, StepState
from domain.totals_and_statuses import has_mismatch, in_flight
from sagas import steps
from sagas.decision import OrderRules


def can_expire(order: Order) -> bool:
    """Tell whether the order expires at ``expires_at``: while it waits to be paid and no money is on its way or in
    question.
    """
    if order.status not in (Status.CREATED, Status.VALIDATED):
        return False
    return in_flight(order) is None and not has_mismatch(order)


def deadline(order: Order) -> datetime | None:
    """Give the earliest time at which the order must get a ``Wake``, or None when only a message of others moves it."""
    times = [step.next_try_at for step in order.steps]
    times += [step.undecided_at for step in order.steps if step.undecided_at is not None]
    earliest = min(times, default=None)
    if can_expire(order) and (earliest is None or order.expires_at < earliest):
        earliest = order.expires_at
    if order.status is Status.PAID and (earliest is None or order.updated_at < earliest):
        earliest = order.updated_at
    return earliest


def resume(order: Order, now: datetime, rules: OrderRules) -> tuple[Call, ...]:
    """Give the calls of running steps, to be made again after a restart; repeats of known ids, so harmless.

    Whether one of them was sent before is not known. A call whose answer is overdue is left to the ``Wake`` that is due
    as well, and so is a charge that is not wanted any more. ``rules`` are those of every decision.
    """
    del rules
    calls = (
        replace(steps.call_of(order, step), may_have_happened=True)
        for step in order.steps
        if step.state is StepState.RUNNING and step.next_try_at > now
    )
    return tuple(call for call in calls if steps.still_wanted(order, call, now))
