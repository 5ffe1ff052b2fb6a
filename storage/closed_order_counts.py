"""Counting closed orders in the background, so that statistics read sums instead of orders (docs/decisions/0004).

What is counted when, and what keeps it exact, is said in ``migrations/0007_figures.sql``. A flush marks the day of an
order that it changes later than ``MARKED_AFTER_S`` after its closing; what closed less than ``COUNTED_AFTER_S`` ago is
not counted yet. Between the two lies more time than a flush can take, so each order is either counted as it is or
read from its row.
"""

from __future__ import annotations

from datetime import timedelta

from storage.postgres import Connection, Database, certain

MARKED_AFTER_S = 120
COUNTED_AFTER_S = 300
ORDERS_AT_ONCE = 5000

# Each stage lasts from the time before it to its own; an order that has not reached it does not count in it.
STAGES = {
    "validate": ("created_at", "validated_at"),
    "pay": ("validated_at", "paid_at"),
    "confirm": ("paid_at", "confirmed_at"),
    "prepare": ("confirmed_at", "prepared_at"),
    "ship": ("prepared_at", "shipped_at"),
    "deliver": ("shipped_at", "delivered_at"),
}
CLOSED_AT = "coalesce(delivered_at, cancelled_at, 'infinity'::timestamptz)"
COLUMNS = """created_at, status, currency, skus, cancel_reason, attempts, rejected, paid, paid - refunded as revenue,
        validated_at, paid_at, confirmed_at, prepared_at, shipped_at, delivered_at"""

_durations = ", ".join(
    f"('{stage}', (extract(epoch from {end} - {start}) * 1000)::bigint)" for stage, (start, end) in STAGES.items()
)
# What is made of chosen orders, as ``COLUMNS`` has them. Only names of this file go into the texts; values are arguments.
HOURS = """
    select date_trunc('hour', created_at, 'UTC') as hour, currency, status, coalesce(cancel_reason, '') as cancel_reason,
        count(*) as orders, count(*) filter (where paid > 0) as paying, sum(attempts) as attempts,
        sum(rejected) as rejected, sum(revenue)::bigint as revenue
    from chosen group by 1, 2, 3, 4"""
TIMES = f"""
    select created_at, stage, greatest(took_ms, 0) as took_ms
    from chosen, lateral (values {_durations}) as d (stage, took_ms) where took_ms is not null"""  # noqa: S608
# Durations rounded to 32 values an octave: 63 stays 63, above it one is off by at most 1.6 %.
_LOW_BITS = "greatest(0, floor(ln(greatest(took_ms, 1)::float8) / ln(2::float8))::integer - 5)"
_ROUNDED_TIMES = f"""
    select created_at, stage, ((took_ms >> low_bits) << low_bits) + ((1::bigint << low_bits) >> 1) as took_ms
    from (select created_at, stage, took_ms, {_LOW_BITS} as low_bits from ({TIMES}) exact) halved"""  # noqa: S608
SKUS = "select created_at, sku, currency, revenue from chosen, unnest(skus) sku"

_KEEP = f"""
kept_hours as (
    insert into figures_by_hour as f (hour, currency, status, cancel_reason, orders, paying, attempts, rejected, revenue) {HOURS}
    on conflict (hour, currency, status, cancel_reason) do update set orders = f.orders + excluded.orders,
        paying = f.paying + excluded.paying, attempts = f.attempts + excluded.attempts,
        rejected = f.rejected + excluded.rejected, revenue = f.revenue + excluded.revenue
), kept_stages as (
    insert into figures_of_stages as f (day, stage, took_ms, orders)
    select date_trunc('day', created_at, 'UTC'), stage, took_ms, count(*) from ({_ROUNDED_TIMES}) t group by 1, 2, 3
    on conflict (day, stage, took_ms) do update set orders = f.orders + excluded.orders
), kept_skus as (
    insert into figures_of_skus as f (day, sku, currency, orders, revenue)
    select date_trunc('day', created_at, 'UTC'), sku, currency, count(*), sum(revenue) from ({SKUS}) s group by 1, 2, 3
    on conflict (day, sku, currency) do update set orders = f.orders + excluded.orders, revenue = f.revenue + excluded.revenue
)
select count(*) from chosen"""  # noqa: S608
COUNTED_UNTIL = "select until from figures_counted"
LOCKED_UNTIL = f"{COUNTED_UNTIL} for update"
# As many as may be taken at once, and those that closed at the same moment as the last of them.
NEXT_UNTIL = f"""
select coalesce(
    (select {CLOSED_AT} from orders where not is_open and {CLOSED_AT} > $1
        and {CLOSED_AT} <= statement_timestamp() - make_interval(secs => $2) order by 1 offset $3 limit 1),
    statement_timestamp() - make_interval(secs => $2))"""  # noqa: S608
COUNT = f"""
with chosen as materialized (
    select {COLUMNS} from orders where not is_open and {CLOSED_AT} > $1 and {CLOSED_AT} <= $2
), {_KEEP}"""  # noqa: S608
MOVE_ON = "update figures_counted set until = greatest(until, $1)"
# The day that is under way, else one that was never begun, else the one begun longest ago: a day that changes again and again
# keeps no other from being counted.
STALE = """
select day from figures_stale s left join figures_recounts r using (day)
order by r.mark is not distinct from s.xmin::text desc, r.begun_at nulls first, day limit 1 for update of s"""
UNDER_WAY = """
select until, counted_to from figures_recounts r join figures_stale s using (day) where day = $1 and mark = s.xmin::text"""
FORGET = (
    "delete from figures_by_hour where hour >= $1 and hour < $1 + interval '1 day'",
    "delete from figures_of_stages where day = $1",
    "delete from figures_of_skus where day = $1",
    "delete from figures_recounts where day = $1",
)
BEGIN = """
insert into figures_recounts (day, until, counted_to, mark) select day, $2, day, xmin::text from figures_stale where day = $1"""
# As many as may be taken at once, and those that were created at the same moment as the last of them; null: all that are left.
NEXT_OF_DAY = """
select created_at + interval '1 microsecond' from orders
where created_at >= $1 and created_at < $2::timestamptz + interval '1 day' order by created_at offset $3 limit 1"""
COUNT_DAY = f"""
with chosen as materialized (
    select {COLUMNS} from orders where created_at >= $1 and created_at < $2 and not is_open and {CLOSED_AT} <= $3
), {_KEEP}"""  # noqa: S608
GO_ON = "update figures_recounts set counted_to = $2 where day = $1"
DONE = ("delete from figures_recounts where day = $1", "delete from figures_stale where day = $1")


class ClosedOrderCounts:
    """The counted figures of closed orders. Every method raises ``StorageUnavailable``; what failed may simply be done
    again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def step(self) -> tuple[int, bool]:
        """Count a piece of what is to be counted: how many orders, and whether there is more."""
        counted = await self.count_closed(ORDERS_AT_ONCE)
        is_more = await self.count_stale_day(ORDERS_AT_ONCE)
        return counted, is_more or counted >= ORDERS_AT_ONCE

    async def count_closed(self, limit_orders: int, *, counted_after_s: float = COUNTED_AFTER_S) -> int:
        """Count about ``limit_orders`` orders more of those closed ``counted_after_s`` ago or earlier: how many were."""
        async with self._database.connection() as lent:
            with certain():
                async with lent.transaction():
                    after = await lent.fetchval(LOCKED_UNTIL)
                    until = await lent.fetchval(NEXT_UNTIL, after, counted_after_s, limit_orders - 1)
                    counted: int = await lent.fetchval(COUNT, after, until)
                    await lent.execute(MOVE_ON, until)
        return counted

    async def count_stale_day(self, limit_orders: int) -> bool:
        """Count a piece of a day anew whose orders have changed since they were counted; False where there is no such day."""
        async with self._database.connection() as lent:
            with certain():
                async with lent.transaction():
                    return await _count_stale_day(lent, limit_orders)


async def _count_stale_day(lent: Connection, limit_orders: int) -> bool:
    counted_until = await lent.fetchval(LOCKED_UNTIL)
    day = await lent.fetchval(STALE)
    if day is None:
        return False
    # A statement of its own, so that it sees what the row's former holder committed.
    under_way = await lent.fetchrow(UNDER_WAY, day)
    if under_way is None:
        for statement in FORGET:
            await lent.execute(statement, day)
        await lent.execute(BEGIN, day, counted_until)
    until, since = under_way or (counted_until, day)
    piece_end = await lent.fetchval(NEXT_OF_DAY, since, day, limit_orders - 1)
    await lent.fetchval(COUNT_DAY, since, piece_end or day + timedelta(days=1), until)
    if piece_end is not None:
        await lent.execute(GO_ON, day, piece_end)
        return True
    for statement in DONE:
        await lent.execute(statement, day)
    return True
