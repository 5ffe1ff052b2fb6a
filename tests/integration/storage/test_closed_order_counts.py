"""Counting closed orders in the background changes how fast statistics are, and nothing else (docs/decisions/0004)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from benchmarks.varied import fill_varied
from domain.order import Order, Status
from storage.closed_order_counts import ClosedOrderCounts
from storage.reads.order_queries import Bucket, GroupBy, OrderQueries
from storage.writes.commits import Commit
from storage.writes.flush_statement import flush_once
from storage.writes.order_store import OrderStore
from tests.integration.storage.orders import a_commit, an_order, next_of
from tests.integration.storage.owning import Lease

ORDERS = 3000
SECONDS_BETWEEN = 600
ROUNDED_BY = 1 / 64
NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = NOW - timedelta(days=3, hours=5)


@pytest.fixture
def figures(queries: OrderQueries) -> ClosedOrderCounts:
    return ClosedOrderCounts(queries.database)


async def documents(queries: OrderQueries) -> list[dict[str, Any]]:
    """Statistics over spans that cut days and hours, in every bucket and group."""
    spans = (
        (NOW - timedelta(days=40), NOW + timedelta(hours=1)),
        (NOW - timedelta(days=17, hours=3, minutes=7), NOW - timedelta(days=2)),
    )
    asked: tuple[tuple[Bucket | None, GroupBy | None], ...] = (
        (None, None), (Bucket.HOUR, GroupBy.STATUS), (Bucket.DAY, GroupBy.SKU), (Bucket.MONTH, GroupBy.CURRENCY),
    )  # fmt: skip
    found = [
        await queries.statistics(since=since, until=until, bucket=bucket, group_by=group_by)
        for since, until in spans
        for bucket, group_by in asked
    ]
    for each in found:
        each.pop("as_of")
    return found


def without_percentiles(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**each, "stages": {stage: told["n"] for stage, told in each["stages"].items()}} for each in found]


async def count_all(figures: ClosedOrderCounts) -> int:
    rounds = 0
    while await figures.count_closed(400):
        rounds += 1
    return rounds


async def test_counted_orders_give_the_figures_that_reading_them_gave(
    database_url: str, queries: OrderQueries, figures: ClosedOrderCounts, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await fill_varied(database_url, ORDERS, seconds_between=SECONDS_BETWEEN)
    read = await documents(queries)
    assert read[0]["orders"] == ORDERS
    assert await figures.count_closed(400) == 400  # some are counted, some are not
    assert without_percentiles(await documents(queries)) == without_percentiles(read)
    assert await count_all(figures) > 3
    counted = await documents(queries)
    assert without_percentiles(counted) == without_percentiles(read)
    for before, after in zip(read, counted, strict=True):
        for stage, told in before["stages"].items():
            for name, exact in told.items():
                assert after["stages"][stage][name] == pytest.approx(exact, rel=ROUNDED_BY), (stage, name)
    # And it is the counts that were read, not the orders.
    await sql.execute("update figures_by_hour set orders = orders + 1")
    assert (await documents(queries))[0]["orders"] > ORDERS


def closed(order: Order, at: datetime, paid: int) -> Commit:
    done = next_of(order, status=Status.DELIVERED, steps=(), delivered_at=at)
    return a_commit(done, deadline=None, paid=paid)


async def revenue(queries: OrderQueries) -> object:
    told = await queries.statistics(since=NOW - timedelta(days=10), until=NOW)
    return told["orders"], told["revenue"].get("EUR"), told["payments"]["attempts"]


async def stale(sql: asyncpg.Connection[asyncpg.Record]) -> int:
    days: int = await sql.fetchval("select count(*) from figures_stale")
    return days


async def test_an_order_closed_now_is_counted_once_it_is_certain_that_all_are_there(
    store: OrderStore,
    lease: Lease,
    queries: OrderQueries,
    figures: ClosedOrderCounts,
    sql: asyncpg.Connection[asyncpg.Record],
) -> None:
    order = an_order(created_at=LONG_AGO)
    await store.flush(*lease, [a_commit(order)])
    await store.flush(*lease, [closed(order, await store.now(), paid=500)])
    assert await figures.count_closed(10) == 0
    assert await revenue(queries) == (1, 500, 0)
    assert await figures.count_closed(10, counted_after_s=0) == 1
    assert await revenue(queries) == (1, 500, 0)
    assert await stale(sql) == 0


async def test_the_day_that_is_not_over_is_read_from_the_counts_where_the_span_ends_after_them(
    store: OrderStore,
    lease: Lease,
    queries: OrderQueries,
    figures: ClosedOrderCounts,
    sql: asyncpg.Connection[asyncpg.Record],
) -> None:
    """Reading all orders of today took longer than a statement may, once there were fifty thousand."""
    begun = await store.now()
    orders = [an_order(created_at=begun) for _ in range(3)]
    await store.flush(*lease, [a_commit(order) for order in orders])
    await store.flush(*lease, [closed(order, await store.now(), paid=500) for order in orders[:2]])
    counted_at = await store.now()
    assert await figures.count_closed(10, counted_after_s=0) == 2
    since = begun.replace(hour=0, minute=0, second=0, microsecond=0)

    async def count(until: datetime) -> object:
        return (await queries.statistics(since=since, until=until))["orders"]

    later = await store.now() + timedelta(seconds=1)
    assert await count(later) == 3
    await sql.execute("update figures_by_hour set orders = orders + 10")
    assert await count(later) == 13, "the orders were read, not the counts"
    assert await count(counted_at) == 3, "a span that ends before the counts do is read from the orders"


async def test_money_that_comes_after_an_order_was_counted_shows_at_once_and_is_counted_later(
    store: OrderStore,
    lease: Lease,
    queries: OrderQueries,
    figures: ClosedOrderCounts,
    sql: asyncpg.Connection[asyncpg.Record],
) -> None:
    order, other = an_order(created_at=LONG_AGO), an_order(created_at=LONG_AGO)
    await store.flush(*lease, [a_commit(order), a_commit(other)])
    first, second = closed(order, NOW - timedelta(hours=1), paid=0), closed(other, NOW - timedelta(hours=1), paid=70)
    await store.flush(*lease, [first, second])
    await count_all(figures)
    assert await figures.count_stale_day(10)  # they were closed an hour before their commit
    assert await revenue(queries) == (2, 70, 0)
    await store.flush(*lease, [a_commit(next_of(first.order), deadline=None, paid=900)])
    assert await revenue(queries) == (2, 970, 0)
    assert await stale(sql) == 1
    assert await figures.count_stale_day(10)
    assert not await figures.count_stale_day(10)
    assert await revenue(queries) == (2, 970, 0)
    assert await sql.fetchval("select sum(revenue) from figures_by_hour") == 970


async def test_a_day_is_not_counted_anew_before_a_change_under_way_is_committed(
    store: OrderStore,
    lease: Lease,
    queries: OrderQueries,
    figures: ClosedOrderCounts,
    sql: asyncpg.Connection[asyncpg.Record],
) -> None:
    order = an_order(created_at=LONG_AGO)
    await store.flush(*lease, [a_commit(order)])
    first = closed(order, NOW - timedelta(hours=1), paid=100)
    await store.flush(*lease, [first])  # its day is marked
    await count_all(figures)
    changing = sql.transaction()
    await changing.start()
    second = a_commit(next_of(first.order), deadline=None, paid=300)
    assert (await flush_once(sql, *lease, [second]))[1] == {order.id}
    counting = asyncio.create_task(figures.count_stale_day(10))
    waiting = (
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%for update of s%')"
    )
    async with asyncio.timeout(10):
        while not await queries.database.fetchval(waiting):
            await asyncio.sleep(0)
    assert not counting.done()
    await changing.commit()
    assert await counting
    assert await revenue(queries) == (1, 300, 0)
    assert await sql.fetchval("select sum(revenue) from figures_by_hour") == 300


async def counted_in_pieces(figures: ClosedOrderCounts, sql: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[int]:
    """Count stale days three orders at a time; after each piece, how many orders the figures hold."""
    while await figures.count_stale_day(3):
        yield await sql.fetchval("select coalesce(sum(orders), 0)::bigint from figures_by_hour")


async def test_a_stale_day_is_counted_in_pieces(
    store: OrderStore,
    lease: Lease,
    queries: OrderQueries,
    figures: ClosedOrderCounts,
    sql: asyncpg.Connection[asyncpg.Record],
) -> None:
    """A day of 350,000 orders took 30 s in one statement, which may take 4: it was begun anew for ever, and whoever brought late
    money for the day waited meanwhile.
    """
    day = [an_order(created_at=LONG_AGO + timedelta(seconds=n // 2)) for n in range(11)]
    await store.flush(*lease, [a_commit(order) for order in day])
    await store.flush(*lease, [closed(order, NOW - timedelta(hours=1), paid=10) for order in day[:10]])
    await count_all(figures)
    held = []
    async for orders in counted_in_pieces(figures, sql):
        held.append(orders)
        assert await revenue(queries) == (11, 100, 0)
        assert await stale(sql) or orders == 10
    assert not await stale(sql)
    assert len(held) > 3
    assert held == sorted(held)
    assert held[-1] == 10
    assert await sql.fetchval("select count(*) from figures_recounts") == 0


async def test_a_day_that_changes_while_it_is_counted_in_pieces_is_begun_anew(
    store: OrderStore,
    lease: Lease,
    queries: OrderQueries,
    figures: ClosedOrderCounts,
    sql: asyncpg.Connection[asyncpg.Record],
) -> None:
    day = [an_order(created_at=LONG_AGO + timedelta(seconds=n)) for n in range(8)]
    await store.flush(*lease, [a_commit(order) for order in day])
    done = [closed(order, NOW - timedelta(hours=1), paid=10) for order in day[:7]]
    await store.flush(*lease, done)
    await count_all(figures)
    assert await figures.count_stale_day(3)
    await store.flush(*lease, [a_commit(next_of(done[0].order), deadline=None, paid=900)])  # in the first piece
    # Another that closes meanwhile is added by the count of those, and by no piece.
    await store.flush(*lease, [closed(day[7], await store.now(), paid=5)])
    assert await figures.count_stale_day(3)
    assert await figures.count_closed(10, counted_after_s=0) == 1
    assert await revenue(queries) == (8, 965, 0)
    assert [orders async for orders in counted_in_pieces(figures, sql)] == [7, 8]
    assert await revenue(queries) == (8, 965, 0)
    assert await sql.fetchval("select sum(revenue) from figures_by_hour") == 965


async def test_a_day_that_changes_again_and_again_keeps_no_other_from_being_counted(
    store: OrderStore, lease: Lease, figures: ClosedOrderCounts, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    days = [LONG_AGO, LONG_AGO + timedelta(days=1)]
    orders = [an_order(created_at=at + timedelta(seconds=n)) for at in days for n in range(5)]
    await store.flush(*lease, [a_commit(order) for order in orders])
    done = [closed(order, NOW - timedelta(hours=1), paid=10) for order in orders]
    await store.flush(*lease, done)
    last = done[0].order
    for paid in range(4):
        assert await figures.count_stale_day(3)
        last = next_of(last)
        await store.flush(*lease, [a_commit(last, deadline=None, paid=paid)])
    assert await sql.fetchval("select array_agg(day) from figures_stale") == [
        LONG_AGO.replace(hour=0, minute=0, second=0)
    ]
