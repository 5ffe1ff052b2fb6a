"""The laws that hold for every single decision, whatever was decided: L5 and L6 of docs/faults.md, and that parts add up."""

from __future__ import annotations

from domain.order import Order, Status
from domain.totals_and_statuses import totals
from sagas.decide import deadline
from sagas.decision import Decision

LEGAL = {
    (None, "created"),
    ("created", "validated"),
    ("created", "cancelling"),
    ("created", "cancelled"),
    ("validated", "created"),
    ("validated", "paid"),
    ("validated", "cancelling"),
    ("validated", "cancelled"),
    ("paid", "confirmed"),
    ("paid", "cancelling"),
    ("confirmed", "prepared"),
    ("confirmed", "cancelling"),
    ("prepared", "shipped"),
    ("prepared", "cancelling"),
    ("shipped", "delivered"),
    ("cancelling", "cancelled"),
}


def check_decision(before: Order | None, decision: Decision, last_published_status: str | None) -> str | None:
    """Check a decision; ``last_published_status`` is the status in the last event so far. Gives the one in the last event now."""
    after = decision.order
    if after is None:
        assert decision == Decision(order=None, result=decision.result), "what changes nothing lets nothing out"
        return last_published_status
    assert after.version == (before.version if before else 0) + 1
    assert after.ledger == (before.ledger if before else ()) + decision.ledger
    last_published_status = _check_events(before, after, decision, last_published_status)
    assert last_published_status == after.status.value, "no change of status goes untold"
    keys = [step.key for step in after.steps]
    assert len(keys) == len(set(keys))
    assert {call.key for call in decision.calls} <= set(keys), "an intent is in the order before its call is made"
    sums = totals(after)
    assert sums.total == sums.items - sums.discount + sums.shipping + sums.tax
    assert after.discounts or sums.discount == 0
    _check_liveness(after)
    return last_published_status


def _check_events(
    before: Order | None, after: Order, decision: Decision, last_published_status: str | None
) -> str | None:
    """Sequences without a gap, and only legal ways from one status to the next."""
    sequence = before.event_seq if before else 0
    notices = before.notice_seq if before else 0
    for event in decision.events:
        sequence += 1
        assert (event.sequence, event.version) == (sequence, after.version)
        status, previous = str(event.data["status"]), event.data["previous_status"]
        assert previous == last_published_status
        assert previous == status or (previous, status) in LEGAL
        last_published_status = status
        if event.notice is not None:
            notices += 1
            assert event.notice.sequence == notices
    assert (after.event_seq, after.notice_seq) == (sequence, notices)
    return last_published_status


def _check_liveness(order: Order) -> None:
    """What is not closed has a deadline, or waits for somebody and says so."""
    if order.is_closed or deadline(order) is not None:
        return
    assert order.status in (Status.PREPARED, Status.SHIPPED) or order.attention
