"""The checker: a function a law, each of which gives the violations that it finds in the evidence, in words.

L1 to L8 and L11, L12 are here and in `laws_money.py`; L9, L10 and L13, which are about what clients were told, are in
`laws_told.py`. It reads only the evidence: see `evidence.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.faults.evidence import Change, Evidence, StoredEvent
from tests.faults.history import NO_ANSWER, Outcome, Told

LATE_MAX_S = 12.0
HANG_S = 24.0
NOT_NOW_MAX_S = 15.0
SETTLED_S = 15.0
FINAL = frozenset(("delivered", "cancelled"))
WAIT_FOR_SOMEBODY = frozenset(("prepared", "shipped"))
# What one commit may make of an order of each status (docs/contract.md, "The seven stages"; what runs by itself may run through).
NEXT: dict[str | None, frozenset[str]] = {
    None: frozenset(("created",)),
    "created": frozenset(("created", "validated", "paid", "confirmed", "cancelling", "cancelled")),
    "validated": frozenset(("validated", "created", "paid", "confirmed", "cancelling", "cancelled")),
    "paid": frozenset(("paid", "confirmed", "cancelling", "cancelled")),
    "confirmed": frozenset(("confirmed", "prepared", "cancelling", "cancelled")),
    "prepared": frozenset(("prepared", "shipped", "delivered", "cancelling", "cancelled")),
    "shipped": frozenset(("shipped", "delivered")),
    "delivered": frozenset(("delivered",)),
    "cancelling": frozenset(("cancelling", "cancelled")),
    "cancelled": frozenset(("cancelled",)),
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A law that was broken, for which order (where it is about one), and how."""

    law: str
    order_id: str | None
    what: str

    def __str__(self) -> str:
        return f"{self.law}: {f'order {self.order_id}: ' if self.order_id else ''}{self.what}"


Law = Callable[[Evidence], Iterator[Violation]]


def exists_once(evidence: Evidence) -> Iterator[Violation]:
    """L1: an order that a client was told of exists exactly once, and has got to a final or a waiting state."""
    told_of = {order_id for told in evidence.history.told for order_id in told.versions}
    for order_id in sorted(told_of - evidence.orders.keys()):
        yield Violation("L1", order_id, "a client was told of it, and it is not there")
    made: dict[str, str] = {}
    for order_id, document in evidence.documents.items():
        reference = document["metadata"].get("ref")
        if reference is not None and (other := made.setdefault(reference, order_id)) != order_id:
            yield Violation("L1", order_id, f"one creation made it and {other}")
    numbers: dict[str, str] = {}
    for order_id, row in evidence.orders.items():
        if row["number"] is not None and (other := numbers.setdefault(row["number"], order_id)) != order_id:
            yield Violation("L1", order_id, f"it has the number of {other}")
        if row["status"] not in FINAL | WAIT_FOR_SOMEBODY and order_id not in evidence.restless:
            yield Violation(
                "L1", order_id, f"it rests as {row['status']}, which is neither final nor waits for somebody"
            )


def comes_to_rest(evidence: Evidence) -> Iterator[Violation]:
    """L5: after the faults, nothing stands still but what waits for somebody."""
    for order_id, why in evidence.restless.items():
        yield Violation("L5", order_id, f"it was not at rest at the limit: {why}")
    for order_id, row in evidence.orders.items():
        if row["set_aside"] is not None:
            yield Violation("L5", order_id, f"it was set aside: {row['set_aside']}")
        elif row["needs_attention"] and order_id not in evidence.restless:
            yield Violation("L5", order_id, "it still needs attention after staff attended to it")
        elif row["is_open"] and row["status"] not in WAIT_FOR_SOMEBODY and not (row["deadline"] or row["is_running"]):
            yield Violation("L5", order_id, f"it is {row['status']} and has neither a deadline nor a running step")


def steps_are_legal(evidence: Evidence) -> Iterator[Violation]:
    """L6: only legal transitions; versions without a gap; events numbered without gap or repeat."""
    for order_id, changes in evidence.changes.items():
        version, status = 0, None
        for change in changes:
            if (change.before, change.version) != (version, version + 1):
                yield Violation("L6", order_id, f"version {version} became {change.version} (over {change.before})")
            if change.was != status or change.status not in NEXT[change.was]:
                yield Violation(
                    "L6", order_id, f"{status} became {change.status} (over {change.was}) at version {change.version}"
                )
            version, status = change.version, change.status
        row = evidence.orders.get(order_id)
        if row is not None and (row["version"], row["status"]) != (version, status):
            yield Violation(
                "L6", order_id, f"it is {row['status']} at {row['version']}, its changes end with {status} at {version}"
            )
    for what, noted in (("commit", evidence.changes.keys()), ("event", evidence.events.keys())):
        for order_id in evidence.orders.keys() - noted:
            yield Violation("L6", order_id, f"it is there, and no {what} says how it came about")
    for order_id, events in evidence.events.items():
        yield from _numbering(order_id, events)
        yield from _tell_of_commits(events, evidence.changes.get(order_id, []))
        row = evidence.orders.get(order_id)
        if row is None:
            yield Violation("L6", order_id, "it has events and no row")
        elif row["event_seq"] != events[-1].sequence:
            yield Violation("L6", order_id, f"it counts {row['event_seq']} events, the last is {events[-1].sequence}")


def _numbering(order_id: str, events: list[StoredEvent]) -> Iterator[Violation]:
    if [event.sequence for event in events] != list(range(1, len(events) + 1)):
        yield Violation("L6", order_id, f"its events are numbered {[event.sequence for event in events]}")
    versions = [event.version for event in events]
    if versions != sorted(versions):
        yield Violation("L6", order_id, f"the versions of its events are {versions}")
    notices = [event.notice_sequence for event in events if event.notice_sequence is not None]
    if notices != list(range(1, len(notices) + 1)):
        yield Violation("L6", order_id, f"its notices are numbered {notices}")


def _tell_of_commits(events: list[StoredEvent], changes: list[Change]) -> Iterator[Violation]:
    """Each event tells of a commit, and each change of the status is told of."""
    told = {event.version for event in events}
    for version in told - {change.version for change in changes}:
        yield Violation("L6", events[0].order_id, f"an event tells of version {version}, which no commit made")
    for change in changes:
        if change.was != change.status and change.version not in told:
            yield Violation(
                "L6", change.order_id, f"it became {change.status} at version {change.version}, and no event says so"
            )


def says_what_is_committed(evidence: Evidence) -> Iterator[Violation]:
    """L7: each committed event is published, first deliveries in order, and nothing is said that was not committed."""
    stored: dict[str, tuple[str, bytes | None]] = {}
    for order_id, events in evidence.events.items():
        for event in events:
            stored[event.id] = (order_id, event.body)
            if event.notice_id is not None:
                stored[event.notice_id] = (order_id, event.notice_body)
    last: dict[str, int] = {}
    seen: set[str] = set()
    for heard in evidence.heard:
        known = stored.get(heard.id)
        if known is None:
            yield Violation("L7", heard.order_id, f"{heard.type} {heard.sequence} was heard and is not stored")
        elif known[1] is not None and known[1] != heard.body:
            yield Violation(
                "L7", heard.order_id, f"{heard.type} {heard.sequence} was heard with other content than is stored"
            )
        if heard.was_committed is False:
            yield Violation("L7", heard.order_id, f"{heard.type} {heard.sequence} was heard before it was committed")
        if heard.id not in seen:
            seen.add(heard.id)
            if heard.sequence != last.get(heard.source, 0) + 1:
                yield Violation(
                    "L7",
                    heard.order_id,
                    f"{heard.source}: {heard.sequence} came first after {last.get(heard.source, 0)}",
                )
            last[heard.source] = max(heard.sequence, last.get(heard.source, 0))
    for event_id, (order_id, _) in stored.items():
        if event_id not in seen:
            yield Violation("L7", order_id, f"the committed event or notice {event_id} was never heard")
    for order_id, sequence in evidence.unpublished:
        yield Violation("L7", order_id, f"event {sequence} is still unpublished at rest")
    if evidence.heard and all(heard.was_committed is None for heard in evidence.heard):
        yield Violation("L7", None, "of nothing that was heard is it known whether it was committed then")
    for body in evidence.unreadable:
        yield Violation("L7", None, f"a message was heard that is no event: {body[:80]!r}")


def one_writer(evidence: Evidence) -> Iterator[Violation]:
    """L8: who was replaced changes nothing and refuses nothing; its calls repeat known ids."""
    for order_id, changes in evidence.changes.items():
        for change in changes:
            if change.writer != change.owner:
                yield Violation(
                    "L8", order_id, f"{change.writer} wrote version {change.version}, its owner was {change.owner}"
                )
            known = evidence.processes_of(change)
            if known is not None and known[0] != known[1]:
                yield Violation(
                    "L8",
                    order_id,
                    f"process {known[0]} wrote version {change.version}, its owner was process {known[1]} "
                    f"on {change.owner_node} ({change.owner_process})",
                )
    for name in evidence.ledger.conflicts:
        yield Violation("L8", None, f"a partner got the id {name} again with other content")
    for order_id, all_told in evidence.history.of_orders().items():
        yield from _refusals(order_id, all_told)


def _refusals(order_id: str, all_told: list[Told]) -> Iterator[Violation]:
    """Refusals which what was told before, of the same order, proves wrong."""
    done = [
        told for told in all_told if told.outcome is Outcome.DONE and (told.wish.is_reading or not told.is_replayed)
    ]
    for refused in (told for told in all_told if told.outcome is Outcome.REFUSED):
        before = [told for told in done if told.told_s < refused.asked_s]
        known = max((told.versions.get(order_id, 0) for told in before), default=0)
        if refused.code == "order_not_found" and before:
            yield Violation("L8", order_id, f"told before, and then refused as unknown: {refused}")
        elif refused.current_version is not None and refused.current_version < known:
            yield Violation(
                "L8", order_id, f"refused at version {refused.current_version} after {known} was told: {refused}"
            )


def deadlines_hold(evidence: Evidence) -> Iterator[Violation]:
    """L11: an order that is not paid expires: not early by the database's clock, and when all is well not late."""
    for order_id, document in evidence.documents.items():
        if document["cancel_reason"] != "expired":
            continue
        expires_at = datetime.fromisoformat(document["expires_at"])
        gave_up = next((c for c in evidence.changes.get(order_id, []) if c.status in ("cancelling", "cancelled")), None)
        if gave_up is None:
            yield Violation("L11", order_id, "it has expired and no commit says when")
            continue
        late_s = (gave_up.at - expires_at).total_seconds()
        if late_s < 0:
            yield Violation("L11", order_id, f"it expired {-late_s:.3f} s early")
        is_quiet = evidence.quiet_from is not None and expires_at > evidence.quiet_from + timedelta(seconds=SETTLED_S)
        if is_quiet and late_s > LATE_MAX_S and not document["payments"]:
            yield Violation("L11", order_id, f"it expired {late_s:.1f} s late, though all was well")


def stays_bounded(evidence: Evidence) -> Iterator[Violation]:
    """L12: connections, memory and queues stay within their bounds, and no request goes without an answer."""
    bounds = evidence.bounds
    for what, seen, most in (
        ("connections to the database", bounds.connections, bounds.connections_max),
        ("bytes of one process", bounds.resident_bytes, bounds.resident_max_bytes),
        ("messages in the inbox", bounds.inbox_messages, bounds.inbox_max_messages),
    ):
        if seen > most:
            yield Violation("L12", None, f"{seen} {what}, which is more than {most}")
    for told in evidence.history.told:
        took_s = told.told_s - told.asked_s
        if took_s > HANG_S:
            what = "it went without an answer for" if told.status == NO_ANSWER else "its answer took"
            yield Violation("L12", told.order_id, f"{what} {took_s:.1f} s: {told}")
        elif told.outcome is Outcome.NOT_NOW and took_s > NOT_NOW_MAX_S:
            yield Violation("L12", told.order_id, f"it took {took_s:.1f} s to be told not now: {told}")
