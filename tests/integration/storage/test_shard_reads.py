from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from domain.order import Status
from domain.slices import PARTITIONS, dedicated_partition, slice_of
from storage.errors import StorageUnavailable
from storage.writes.order_store import OrderStore
from storage.writes.shard_reads import CORRECT, DUE
from tests.integration.storage.orders import a_commit, an_order, next_of
from tests.integration.storage.owning import Lease

ALL = frozenset(map(str, range(PARTITIONS)))


async def test_orders_are_due_once_their_deadline_has_come_and_the_most_overdue_come_first(
    store: OrderStore, lease: Lease
) -> None:
    now = await store.now()
    late, later, soon, far, waits = (an_order() for _ in range(5))
    deadlines = {late.id: -10, later.id: -60, soon.id: 3, far.id: 500}
    await store.flush(
        *lease,
        [a_commit(o, deadline=now + timedelta(seconds=deadlines[o.id])) for o in (late, later, soon, far)]
        + [a_commit(waits, deadline=None)],
    )
    assert [order_id for order_id, _ in await store.due(ALL, 5, 10)] == [later.id, late.id, soon.id]
    assert [order_id for order_id, _ in await store.due(ALL, 0, 1)] == [later.id]
    halves = [frozenset(map(str, range(k, PARTITIONS, 2))) for k in (0, 1)]
    shares = [await store.due(half, 5, 10) for half in halves]
    for k, share in enumerate(shares):
        assert all(slice_of(order_id) % 2 == k for order_id, _ in share)
    assert sum(map(len, shares)) == 3


async def test_a_commit_that_enters_all_indexes_anew_puts_the_check_right_with_it(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    now = await store.now()
    order = an_order()
    await store.flush(*lease, [a_commit(order, deadline=now)])
    order = replace(next_of(order), number="SO-1")
    later = now + timedelta(seconds=100)
    await store.flush(*lease, [a_commit(order, deadline=later)])
    assert await sql.fetchval("select check_at from orders") == later


@pytest.mark.parametrize("statement", [CORRECT, DUE])
async def test_polls_read_what_has_come_and_not_all_that_will(store: OrderStore, statement: str) -> None:
    async with store.database.connection() as lent, lent.transaction():
        await lent.execute("set local enable_seqscan = off")
        await lent.execute(f"prepare poll as {statement}")
        told = [row[0] for row in await lent.fetch("explain execute poll('{0,1,2}', '{}', 5, 10)")]
        await lent.execute("deallocate poll")
    conditions = [line for line in told if "Index Cond" in line]
    assert any("check_at <" in condition for condition in conditions), told


async def test_a_deadline_that_moved_on_is_met_when_it_comes_and_not_before(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    now = await store.now()
    order = an_order()
    await store.flush(*lease, [a_commit(order, deadline=now)])
    order = next_of(order)
    await store.flush(*lease, [a_commit(order, deadline=now + timedelta(seconds=100))])
    checked = "select check_at from orders"
    assert await sql.fetchval(checked) == now  # it trails
    assert await store.due(ALL, 5, 10) == []
    assert await sql.fetchval(checked) == now + timedelta(seconds=100)  # until it has come
    order = next_of(order)
    await store.flush(*lease, [a_commit(order, deadline=now + timedelta(seconds=1))])
    assert await store.due(ALL, 5, 10) == [(order.id, now + timedelta(seconds=1))]
    order = next_of(order)
    await store.flush(*lease, [a_commit(order, deadline=None)])
    assert await store.due(ALL, 5, 10) == []
    assert await sql.fetchval(checked) is None


async def test_closed_orders_and_orders_set_aside_are_never_due_and_dedicated_ones_in_their_own_partition_alone(
    store: OrderStore, lease: Lease
) -> None:
    now = await store.now()
    closed, aside, own = (an_order() for _ in range(3))
    await store.flush(*lease, [a_commit(o, deadline=now) for o in (closed, aside, own)])
    await store.flush(*lease, [a_commit(next_of(closed, status=Status.CANCELLED, steps=()), deadline=None)])
    await store.set_aside(aside.id, "can't be read")
    assert await store.split(*lease, own.id)
    assert await store.due(ALL, 5, 10) == []
    partition = dedicated_partition(own.id)
    assert [order_id for order_id, _ in await store.due(frozenset((partition,)), 5, 10)] == [own.id]
    await store.take_up_again(aside.id)
    assert [order_id for order_id, _ in await store.due(ALL, 5, 10)] == [aside.id]


async def test_running_orders_are_paged_without_a_gap_or_a_repeat(store: OrderStore, lease: Lease) -> None:
    now = await store.now()
    running = [an_order() for _ in range(25)]
    resting = [an_order(steps=()) for _ in range(5)]
    await store.flush(
        *lease, [a_commit(o, deadline=now + timedelta(seconds=i % 4)) for i, o in enumerate(running + resting)]
    )
    seen: list[str] = []
    after = None
    while page := await store.running(ALL, after, 10):
        seen += [order_id for order_id, _ in page]
        after = (page[-1][1], page[-1][0])
    assert sorted(seen) == sorted(o.id for o in running)


async def test_events_stay_unpublished_until_they_are_marked(store: OrderStore, lease: Lease) -> None:
    order, other = an_order(), an_order()
    await store.flush(*lease, [a_commit(order, events=3), a_commit(other)])
    assert set(await store.unpublished_orders(ALL, 5, 10)) == {order.id, other.id}
    await store.mark_published([(order.id, 1), (other.id, 1), (order.id, 99)])
    await store.mark_published([(order.id, 1)])
    await store.mark_published([])
    left = await store.unpublished([order.id, other.id])
    assert [event.sequence for event in left[order.id]] == [2, 3]
    assert other.id not in left
    assert (await store.load([order.id]))[order.id].unpublished == left[order.id]
    assert await store.unpublished_orders(ALL, 5, 10) == [order.id]
    assert await store.unpublished_orders(ALL, 10**9, 10) == []


async def test_a_snapshot_that_can_not_be_read_leaves_the_others_readable(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    good, bad, newer = an_order(), an_order(), an_order()
    await store.flush(*lease, [a_commit(o) for o in (good, bad, newer)])
    await sql.execute("update orders set snapshot = 'rubbish' where id = $1", bad.id)
    await sql.execute("update orders set schema_number = 9999 where id = $1", newer.id)
    loaded = await store.load([good.id, bad.id, newer.id])
    assert loaded[good.id].order == good
    for order in (bad, newer):
        assert loaded[order.id].order is None
        assert loaded[order.id].undecodable


async def test_what_an_order_has_at_its_default_is_read_back_as_that(store: OrderStore, lease: Lease) -> None:
    order = replace(an_order(), customer=None, shipping_address=None, steps=(), metadata={})
    await store.flush(*lease, [a_commit(order)])
    assert (await store.load([order.id]))[order.id].order == order


async def test_a_store_can_be_opened_while_the_server_only_reads(
    database_url: str, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    name = await sql.fetchval("select current_database()")
    await sql.execute(f'alter database "{name}" set default_transaction_read_only = on')
    reading = await OrderStore.open(database_url, application_name="reading")
    assert await reading.load([str(uuid4())]) == {}
    with pytest.raises(StorageUnavailable):
        await reading.renew(lease.process)
    await reading.close()
