"""Figures over many orders: how many, what they earned, how long their stages took (docs/contract.md, "Statistics").

From one moment: what ``closed_order_counts.py`` has counted of whole days, and the orders that are not counted. What is
made of them is JSON. An order counts at the time it was created.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Any

import msgspec

from domain.representation import time_text
from storage.closed_order_counts import CLOSED_AT, COLUMNS, COUNTED_UNTIL, HOURS, SKUS, STAGES, TIMES
from storage.postgres import Database, certain

GROUPS_MAX = 1000
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


# What was counted of whole days, from $3 until before $4, and is not to be counted anew.
_COUNTED_HOURS = """
    select hour, currency, status, cancel_reason, orders, paying, attempts, rejected, revenue from figures_by_hour
    where hour >= $3 and hour < $4 and date_trunc('day', hour, 'UTC') not in (select day from figures_stale)"""
_COUNTED_DAYS = "day >= $3 and day < $4 and day not in (select day from figures_stale)"
# Orders of the days cut in two by the span; then, of whole days, those that are not counted: the open ones, those closed
# lately, and all of stale days. $4 lies behind $2 where the last day is whole but not over.
_CHOSEN = f"""
    select {COLUMNS} from orders where created_at >= $1 and created_at < $3{{of_customer}}
    union all
    select {COLUMNS} from orders where created_at >= $4 and created_at < $2{{of_customer}}
    union all
    select {COLUMNS} from orders where is_open and created_at >= $3 and created_at < least($2, $4)
    union all
    select {COLUMNS} from orders
    where not is_open and {CLOSED_AT} > $6 and created_at >= $3 and created_at < least($2, $4)
    union all
    select o.* from figures_stale s, lateral (
        select {COLUMNS} from orders
        where created_at >= s.day and created_at < s.day + interval '1 day'
            and not is_open and {CLOSED_AT} <= $6
    ) o where s.day >= $3 and s.day < $4"""  # noqa: S608
# What is counted was closed until then, and so created before: the day in which a span ends is whole where the span ends later, and
# its orders need not be read. Most spans end now, on a day that may have a million.
ALL_BEFORE = f"select until <= $1 from ({COUNTED_UNTIL}) counted"  # noqa: S608
# Only names of this file go into the text; values are arguments.
STATISTICS = f"""
with chosen as materialized ({_CHOSEN}
), figures as materialized ({_COUNTED_HOURS}
    union all {HOURS}
), times as (
    select stage, took_ms, sum(orders) as n from (
        select stage, took_ms, orders from figures_of_stages where {_COUNTED_DAYS}
        union all select stage, took_ms, 1 from ({TIMES}) t
    ) u group by 1, 2
), ranked as (
    select stage, took_ms, sum(n) over (partition by stage order by took_ms) as up_to, sum(n) over (partition by stage) as of
    from times
), stages as (
    select stage, max(of) as n, array[
        min(took_ms) filter (where up_to >= 0.5 * of), min(took_ms) filter (where up_to >= 0.95 * of),
        min(took_ms) filter (where up_to >= 0.99 * of)] as p
    from ranked group by stage
), buckets as (
    select date_trunc($5::text, hour, 'UTC') as start, currency, sum(orders) as n, sum(revenue) as revenue
    from figures where $5 is not null group by 1, 2
)
select clock_timestamp() as as_of,
    (select json_build_object(
        'n', coalesce(sum(orders), 0), 'attempts', coalesce(sum(attempts), 0), 'rejected', coalesce(sum(rejected), 0)
        ) from figures) as sums,
    (select json_agg(c) from (
        select currency, sum(revenue) as revenue, sum(paying) as paying
        from figures group by currency order by currency) c) as currencies,
    (select json_object_agg(status, n) from (select status, sum(orders) as n from figures group by status) s) as statuses,
    (select json_object_agg(cancel_reason, n) from (
        select cancel_reason, sum(orders) as n from figures where status = 'cancelled' and cancel_reason <> ''
        group by cancel_reason) r) as reasons,
    (select json_agg(stages) from stages) as stages,
    (select json_agg(json_build_object(
        'start', extract(epoch from start), 'currency', currency, 'n', n, 'revenue', revenue
        ) order by start, currency) from buckets) as buckets,
    (select json_agg(g) from ({{groups}}) g) as groups
"""  # noqa: S608
NO_GROUPS = "select 1 where false"
GROUPS = {
    GroupBy.STATUS: "select status as key, currency, orders, revenue from figures",
    GroupBy.CURRENCY: "select currency as key, currency, orders, revenue from figures",
    GroupBy.SKU: f"""
        select sku as key, currency, orders, revenue from figures_of_skus where {_COUNTED_DAYS}
        union all select sku, currency, 1, revenue from ({SKUS}) k""",  # noqa: S608
}


def _groups(group_by: GroupBy | None) -> str:
    """The largest groups by revenue (minor units, of any currency), and all others together under the key null."""
    if group_by is None:
        return NO_GROUPS
    return f"""
    with grouped as (
        select key, currency, sum(orders) as n, sum(revenue) as revenue from ({GROUPS[group_by]}) k group by 1, 2
    ), placed as (
        select key, row_number() over (order by sum(revenue) desc, sum(n) desc, key) as place from grouped group by key
    ), shown as (
        select case when place <= {GROUPS_MAX} then key end as key, currency, n, revenue from grouped join placed using (key)
    )
    select key, currency, sum(n) as n, sum(revenue) as revenue from shown group by 1, 2 order by 1 nulls last, 2"""  # noqa: S608


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
    payments, 0 where there were none. Percentiles are of values that occurred (nearest rank); those of orders that
    are counted already are rounded, off by at most 1.6 %. ``buckets`` and ``groups`` are empty where they were not
    asked for; the caller bounds the buckets, and all groups beyond ``GROUPS_MAX`` are one. Raises ``StorageUnavailable``.
    """
    of_customer, customer = "", list[str]()
    if customer_id is not None:
        of_customer, customer = " and customer_id = $7", [customer_id]
    statement = STATISTICS.format(groups=_groups(group_by), of_customer=of_customer)
    async with database.connection() as lent:
        with certain():
            async with lent.transaction(isolation="repeatable_read", readonly=True):
                # A value, so that the planner sees how few orders were closed since.
                counted_until = await lent.fetchval(COUNTED_UNTIL)
                is_all_before: bool = await lent.fetchval(ALL_BEFORE, until)
                days = (until, until)
                if customer_id is None:  # nothing is counted by customer
                    days = _whole_days(since, _end_of_day(until) if is_all_before else until)
                row = await lent.fetchrow(statement, since, until, *days, bucket, counted_until, *customer)
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


def _whole_days(since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """The days of UTC that lie wholly in a span, from the first until before the second; none: twice its end."""
    first, end = _day(since), _day(until)
    if first >= end:
        return until, until
    if first < since:
        first += timedelta(days=1)
    return (first, end) if first < end else (until, until)


def _end_of_day(at: datetime) -> datetime:
    """The first midnight of UTC that is not before it; the time itself on the last day that there is."""
    begin = _day(at)
    return at if begin == at or begin.date() == date.max else begin + timedelta(days=1)


def _day(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


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
