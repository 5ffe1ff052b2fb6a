"""The metrics that processes report to the supervisor: what each of them is, and how its figures are named on the way.

A process reports figures by name. Where a metric has a label of its own, a figure's name is the metric's, a colon, and the label's
value: ``call_outcomes_total:declined``. A histogram reports how many values lie in each bucket (``call_attempt_seconds:0.25``, which
are those above the bound before) and their sum (``call_attempt_seconds:sum``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

BUCKET_LABEL = "le"
SUM = "sum"
UNKNOWN = "A figure that a process of another release reports"


@dataclass(frozen=True, slots=True)
class ProcessMetric:
    """What a metric is. ``label`` is the one that it has besides the process, if any; a histogram has ``le``."""

    help: str
    label: str = ""


PROCESS_METRICS: Mapping[str, ProcessMetric] = {
    # Every process.
    "tasks_failed_total": ProcessMetric("Failures that nothing foresaw in work that runs by itself"),
    # Shards.
    "partitions": ProcessMetric("Partitions that the shard owns"),
    "resident_orders": ProcessMetric("Orders whose actors are in memory"),
    "queued_messages": ProcessMetric("Messages that wait for their order"),
    "commits_total": ProcessMetric("Orders committed"),
    "flushes_total": ProcessMetric("Transactions that commits took"),
    "commit_retries_total": ProcessMetric("Transactions that were tried again"),
    "commits_resolved_total": ProcessMetric("Commits whose outcome was unknown and was found out"),
    "outdated_total": ProcessMetric("Validations that began anew as an event told of a newer product or customer"),
    "poisoned_total": ProcessMetric("Commits that no transaction would take"),
    "set_aside_total": ProcessMetric("How often an order was set aside as it can't be worked on"),
    "clock_behind_max_seconds": ProcessMetric("How far the estimate of the database's clock may be behind it"),
    "calls_unanswered": ProcessMetric("Calls to partners that the shard waits for"),
    "orders_held_back": ProcessMetric("Orders that wait for a partner's breaker to close"),
    "published_total": ProcessMetric("Events that RabbitMQ has confirmed"),
    "returned_total": ProcessMetric("Messages that no queue was bound for"),
    "republished_total": ProcessMetric("Events that were sent again"),
    "publisher_waiting_events": ProcessMetric("Events that wait for RabbitMQ or for its confirmation"),
    "publisher_lagging_orders": ProcessMetric("Orders whose events did not fit and come again from the database"),
    "unreadable_orders_total": ProcessMetric("Orders that were met in the database and could not be read"),
    "unreadable_promotions_total": ProcessMetric("Promotions that were met and could not be read"),
    # Bulkheads.
    "call_outcomes_total": ProcessMetric("Calls to the partner by what came of them", "outcome"),
    "call_attempt_seconds": ProcessMetric("How long each attempt of a call to the partner took", BUCKET_LABEL),
    "retries_total": ProcessMetric("Attempts that repeated an earlier one of the same call"),
    "in_flight_calls": ProcessMetric("Calls that are being made"),
    "queued_calls": ProcessMetric("Calls that wait for their turn"),
    "breaker_open": ProcessMetric("1 while the partner's breaker is not closed"),
    "credentials_refused_total": ProcessMetric("Attempts that were answered 401 or 403"),
    "undelivered_total": ProcessMetric("Answers of the partner that did not reach their order at once"),
    "reference_lookups_total": ProcessMetric(
        "Products and customers looked up in Redis, by whether they were there", "outcome"
    ),
    "redis_failures_total": ProcessMetric("Questions to Redis that it did not answer in time"),
    # The event bridge.
    "consumed_messages_total": ProcessMetric("Messages of partners by what came of them", "outcome"),
    "given_back_total": ProcessMetric("Messages given back to the inbox as there was no room for their bodies"),
    "event_times_out_of_range_total": ProcessMetric("Events that had their effect though their time is out of range"),
    "at_work_messages": ProcessMetric("Messages that are at work"),
    "at_work_bytes": ProcessMetric("The size of the bodies that are at work"),
    "messages_unanswered": ProcessMetric("Messages that have gone without an answer for too long"),
    "connected": ProcessMetric("1 while there is a connection to RabbitMQ"),
}
SUPERVISOR_METRICS: Mapping[str, ProcessMetric] = {
    "tasks_failed_total": ProcessMetric("Failures that nothing foresaw in the supervisor's work that runs by itself"),
    "lost_total": ProcessMetric("Processes that were lost"),
    "replaced_total": ProcessMetric("Processes that were replaced because they hung"),
    "storms_total": ProcessMetric("Losses of a process in such number that its next start waits"),
    "held_back_total": ProcessMetric("Processes that died so often that they were ended, to be started after a wait"),
    "closed_orders_counted_total": ProcessMetric("Closed orders that statistics need not read any more"),
    "inbox_messages_forgotten_total": ProcessMetric("Handled messages that were old enough to be deleted"),
    "processes_pruned_total": ProcessMetric("Rows of processes that were not renewed and were deleted"),
    "chores_failed_total": ProcessMetric("Steps of chores that failed and are tried again"),
}


def labelled(metric: str, figures: Mapping[str, float]) -> dict[str, float]:
    """Name the figures of a metric that has a label; they are given by its values."""
    return {f"{metric}:{value}": float(figure) for value, figure in figures.items()}


def histogram(metric: str, bounds: Sequence[float], counts: Iterable[int], total: float) -> dict[str, float]:
    """Name the figures of a histogram: a count for each of ``bounds`` and one for what is above them, and the sum of all values."""
    names = [*map(str, bounds), "+Inf"]
    return labelled(metric, {**dict(zip(names, counts, strict=True)), SUM: total})
