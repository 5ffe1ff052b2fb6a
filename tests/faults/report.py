"""What a run came to, as text, and whether it is good enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from statistics import median

from domain.slices import partition_of
from tests.faults.history import Outcome
from tests.faults.kills import Fired
from tests.faults.laws import FINAL
from tests.faults.run import Result

SHOWN_OF_A_LAW_MAX = 10
EACH_KIND_MIN = 3
FINISHED_MIN = 1000
LONG_RUN_S = 600.0


def finished(result: Result) -> int:
    """How many orders have come to their end."""
    return sum(row["status"] in FINAL for row in result.evidence.orders.values())


def recoveries(result: Result) -> dict[str, list[float]]:
    """By kind of fault: the seconds from its begin to the first success that was asked for later, of an order that it hit."""
    done = sorted(
        (told.asked_s, told.told_s, told.order_id)
        for told in result.evidence.history.told
        if told.outcome is Outcome.DONE and not told.wish.is_reading and told.order_id
    )
    found: dict[str, list[float]] = {}
    for fired in result.faults.fired:
        after = [told_s for asked_s, told_s, order_id in done if asked_s >= fired.began_s and _hit(fired, order_id)]
        if after:
            found.setdefault(fired.kind, []).append(min(after) - fired.began_s)
    return found


def _hit(fired: Fired, order_id: str) -> bool:
    """Whether the fault concerns this order: that of a shard concerns its partitions."""
    return not fired.target.startswith("order-shard-") or partition_of(order_id) in fired.partitions


def shortfalls(result: Result) -> Iterator[str]:
    """What a long run has too little of to prove anything."""
    if result.load_s < LONG_RUN_S:
        return
    fired = Counter(fault.kind for fault in result.faults.fired)
    for kind in {planned.kind for planned in result.planned}:
        if fired[kind] < EACH_KIND_MIN:
            yield f"{kind} happened {fired[kind]} times, which is fewer than {EACH_KIND_MIN}"
    for kind, hits in result.partners.hits.items():
        if hits < EACH_KIND_MIN:
            yield f"{kind} happened {hits} times, which is fewer than {EACH_KIND_MIN}"
    if finished(result) < FINISHED_MIN:
        yield f"{finished(result)} orders finished, which is fewer than {FINISHED_MIN}"


def traced(result: Result) -> float:
    """The part of the commits of which both processes are known, the one that wrote and the one that owned."""
    known = [
        result.evidence.processes_of(change) is not None
        for changes in result.evidence.changes.values()
        for change in changes
    ]
    return sum(known) / max(1, len(known))


def lines(result: Result) -> Iterator[str]:
    """The report."""
    evidence = result.evidence
    told = evidence.history.told
    outcomes = Counter(each.outcome.value for each in told)
    statuses = Counter(row["status"] for row in evidence.orders.values())
    yield f"load {result.load_s:.0f} s, then at rest after {result.rest_s:.1f} s"
    yield f"orders {len(evidence.orders)}, finished {finished(result)}: {dict(statuses)}"
    yield f"answers {len(told)}: {dict(outcomes)}; by status {dict(Counter(each.status for each in told))}"
    resolved = unresolved = 0
    for _, tries in evidence.history.wishes():
        known = {each.outcome for each in tries}
        if Outcome.UNKNOWN in known:
            resolved += bool(known & {Outcome.DONE, Outcome.REFUSED})
            unresolved += not known & {Outcome.DONE, Outcome.REFUSED}
    retries = sum(len(tries) - 1 for _, tries in evidence.history.wishes())
    yield f"keys asked again {retries} times; unknown outcomes resolved {resolved}, given up {unresolved}"
    yield f"events heard {len(evidence.heard)}, of {sum(map(len, evidence.events.values()))} committed"
    yield f"commits {sum(map(len, evidence.changes.values()))}, the processes that wrote and owned known of {traced(result):.0%}"
    bounds = evidence.bounds
    yield f"at most {bounds.connections} connections, {bounds.resident_bytes >> 20} MiB a process, {bounds.inbox_messages} waiting"
    yield "partners misbehaved: " + ", ".join(f"{kind} {hits}" for kind, hits in sorted(result.partners.hits.items()))
    taken = recoveries(result)
    yield f"{'fault':<18}{'times':>6}{'p50 s':>8}{'max s':>8}"
    for kind, times in sorted(Counter(fault.kind for fault in result.faults.fired).items()):
        seconds = taken.get(kind, [])
        figures = f"{median(seconds):>8.2f}{max(seconds):>8.2f}" if seconds else ""
        yield f"{kind:<18}{times:>6}{figures}"
    for missed in result.faults.missed:
        yield f"could not happen: {missed}"
    shown: Counter[str] = Counter()
    for violation in result.violations:
        shown[violation.law] += 1
        if shown[violation.law] <= SHOWN_OF_A_LAW_MAX:
            yield f"BROKEN {violation}"
    if shown:
        yield f"broken by law: {dict(shown)}"
    for shortfall in shortfalls(result):
        yield f"TOO LITTLE {shortfall}"
    yield "every law held" if not result.violations else f"{len(result.violations)} violations"
