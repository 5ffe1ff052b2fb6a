"""Figures over many orders: how many, what they earned, how long their stages took (spec.md, "Statistics").

One statement reads the orders once; what is made of them is JSON. An order counts at the time it was created.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Any

import msgspec

from domain.document import time_text
from storage.postgres import Database

BUCKETS_MAX = 10_000
GROUPS_MAX = 10_000
RATE_DIGITS = 4


class Bucket(StrEnum):
    """How long a bucket is; it begins at a full hour, day or month of UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class GroupBy(StrEnum):
    """What orders are grouped by. An order counts in the group of each sku it has, with all it earned."""

    STATUS = "status"
    CURRENCY = "currency"
    SKU = "sku"


# Each stage lasts from the time before it to its own; an order that has not reached it does not count in it.
STAGES = {
    "validate": ("created_at", "validated_at"),
    "pay": ("validated_at", "paid_at"),
    "confirm": ("paid_at", "confirmed_at"),
    "prepare": ("confirmed_at", "prepared_at"),
    "ship": ("prepared_at", "shipped_at"),
    "deliver": ("shipped_at", "delivered_at"),
}
GROUP_KEYS = {GroupBy.STATUS: "status", GroupBy.CURRENCY: "currency", GroupBy.SKU: "unnest(skus)"}

_durations = ", ".join(
    f"('{stage}', (extract(epoch from {end} - {start}) * 1000)::bigint)" for stage, (start, end) in STAGES.items()
)
# Only names of this file go into the text; values are arguments.
STATISTICS = f"""
with chosen as materialized (
    select created_at, status, currency, skus, cancel_reason, attempts, rejected, paid, paid - refunded as revenue,
        validated_at, paid_at, confirmed_at, prepared_at, shipped_at, delivered_at
    from orders
    where created_at >= $1 and created_at < $2 and ($3::text is null or customer_id = $3)
), stages as (
    select stage, count(*) as n,
        percentile_disc(array[0.5, 0.95, 0.99]) within group (order by greatest(took_ms, 0)) as p
    from chosen, lateral (values {_durations}) as d (stage, took_ms) where took_ms is not null group by stage
), buckets as (
    select date_trunc($4::text, created_at, 'UTC') as start, currency, count(*) as n, sum(revenue) as revenue
    from chosen where $4 is not null group by 1, 2 order by 1, 2 limit {BUCKETS_MAX}
)
select clock_timestamp() as as_of,
    (select json_build_object(
        'n', count(*), 'attempts', coalesce(sum(attempts), 0), 'rejected', coalesce(sum(rejected), 0)
        ) from chosen) as sums,
    (select json_agg(c) from (
        select currency, sum(revenue) as revenue, count(*) filter (where paid > 0) as paying
        from chosen group by currency order by currency) c) as currencies,
    (select json_object_agg(status, n) from (select status, count(*) as n from chosen group by status) s) as statuses,
    (select json_object_agg(cancel_reason, n) from (
        select cancel_reason, count(*) as n from chosen where status = 'cancelled' and cancel_reason is not null
        group by cancel_reason) r) as reasons,
    (select json_agg(stages) from stages) as stages,
    (select json_agg(json_build_object(
        'start', extract(epoch from start), 'currency', currency, 'n', n, 'revenue', revenue
        ) order by start, currency) from buckets) as buckets,
    (select json_agg(g) from ({{groups}}) g) as groups
"""  # noqa: S608
GROUPS = """
select key, currency, count(*) as n, sum(revenue) as revenue
from (select {key} as key, currency, revenue from chosen) k group by 1, 2 order by 1, 2 limit {limit}
"""


async def read_statistics(
    database: Database,
    *,
    since: datetime,
    until: datetime,
    bucket: Bucket | None,
    group_by: GroupBy | None,
    customer_id: str | None,
) -> dict[str, Any]:
    """The figures of the orders created from ``since`` until before ``until``, of one customer or all.

    Revenue is what was paid less what was refunded, by currency, in minor units. ``average_value`` is the revenue
    over the orders that were paid for at all, rounded half-even. ``failure_rate`` is rejected over attempted
    payments, 0 where there were none. Percentiles are of values that occurred (nearest rank). ``buckets`` and
    ``groups`` are empty where they were not asked for. Raises ``StorageUnavailable``.
    """
    groups = "select 1 where false"
    if group_by is not None:
        groups = GROUPS.format(key=GROUP_KEYS[group_by], limit=GROUPS_MAX)
    row = await database.fetchrow(STATISTICS.format(groups=groups), since, until, customer_id, bucket)
    if row is None:
        raise AssertionError("a select without from gives one row")
    sums, currencies, stages = _read(row["sums"], {}), _read(row["currencies"], []), _read(row["stages"], [])
    return {
        "as_of": time_text(row["as_of"]),
        "from": time_text(since),
        "to": time_text(until),
        "orders": sums["n"],
        "revenue": {each["currency"]: each["revenue"] for each in currencies},
        "average_value": {each["currency"]: _mean(each["revenue"], each["paying"]) for each in currencies},
        "by_status": _read(row["statuses"], {}),
        "cancelled": _read(row["reasons"], {}),
        "payments": {
            "attempts": sums["attempts"],
            "rejected": sums["rejected"],
            "failure_rate": round(sums["rejected"] / sums["attempts"], RATE_DIGITS) if sums["attempts"] else 0,
        },
        "stages": {
            each["stage"]: {"n": each["n"], "p50_ms": each["p"][0], "p95_ms": each["p"][1], "p99_ms": each["p"][2]}
            for each in sorted(stages, key=lambda each: list(STAGES).index(each["stage"]))
        },
        "buckets": _gather(_read(row["buckets"], []), "start"),
        "groups": _gather(_read(row["groups"], []), "key"),
    }


def _read(text: str | None, otherwise: Any) -> Any:
    return otherwise if text is None else msgspec.json.decode(text)


def _mean(revenue: int, orders: int) -> int:
    return int((Decimal(revenue) / orders).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)) if orders else 0


def _gather(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """From a row for each key and currency to an entry for each key."""
    gathered: dict[Any, dict[str, Any]] = {}
    for row in rows:
        key = row[name]
        shown = _start(key) if name == "start" else key
        entry = gathered.setdefault(key, {name: shown, "orders": 0, "revenue": {}})
        entry["orders"] += row["n"]
        entry["revenue"][row["currency"]] = row["revenue"]
    return list(gathered.values())


def _start(seconds: float) -> str:
    return time_text(datetime.fromtimestamp(seconds, tz=UTC))
