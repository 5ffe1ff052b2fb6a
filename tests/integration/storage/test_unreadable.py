"""Rows that can't be read, as a hand or another release may have left them: they are set aside, and those beside them are read."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import pytest

from domain.slices import PARTITIONS
from storage.reads.order_filters import OrderFilters, Sort
from storage.reads.order_queries import OrderQueries
from storage.writes.order_store import OrderStore
from tests.integration.storage.orders import a_commit, an_order
from tests.integration.storage.owning import Lease

NO_TIMES = ("infinity", "-infinity", "20000-01-01", "4000-01-01 BC")


@pytest.mark.parametrize("time", NO_TIMES)
@pytest.mark.parametrize("sort", list(Sort))
async def test_an_order_at_a_time_that_is_none_does_not_break_the_list(
    store: OrderStore,
    queries: OrderQueries,
    lease: Lease,
    sql: asyncpg.Connection[asyncpg.Record],
    time: str,
    sort: Sort,
) -> None:
    odd, odd_too, *others = orders = [an_order() for _ in range(5)]
    await store.flush(*lease, [a_commit(order) for order in orders])
    await sql.execute(
        "update orders set created_at = $1::text::timestamptz where id = any($2)", time, [odd.id, odd_too.id]
    )
    found: list[str] = []
    after = None
    for _ in range(len(orders) + 1):
        page = await queries.orders(OrderFilters(), sort=sort, limit=1, after=after)
        found += [order.id for order in page.orders]
        after = page.next
        if after is None:
            break
        assert not isinstance(after.value, datetime) or after.value.tzinfo is UTC
    assert after is None
    # In the order of time they have no place; in that of totals they have.
    assert sorted(found) == sorted(order.id for order in (others if sort.column == "created_at" else orders))


@pytest.mark.parametrize("time", NO_TIMES)
async def test_a_deadline_that_is_no_time_does_not_break_the_polls(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record], time: str
) -> None:
    odd, other = an_order(), an_order()
    await store.flush(*lease, [a_commit(odd), a_commit(other)])
    await sql.execute(
        "update orders set deadline = $1::text::timestamptz, check_at = '-infinity' where id = $2", time, odd.id
    )
    every = frozenset(map(str, range(PARTITIONS)))
    for found in (await store.due(every, 5, 10), await store.running(every, None, 10)):
        assert other.id in dict(found)
        assert all(at.tzinfo is UTC for _, at in found)


async def test_a_timeline_and_a_ledger_with_a_time_that_is_none_are_read(
    store: OrderStore, queries: OrderQueries, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    order = an_order()
    await store.flush(*lease, [a_commit(order, events=2)])
    await sql.execute("update order_events set at = '-infinity' where seq = 1")
    assert [event.at.year for event in await queries.timeline(order.id)] == [1, 2026]
    assert len((await store.unpublished([order.id]))[order.id]) == 2
