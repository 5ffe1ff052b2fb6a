from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from domain.order import Order, Status
from domain.reference_data import ReferenceKind, ReferenceVersion
from storage.writes.order_store import Commit, OrderStore
from tests.integration.storage.orders import a_commit, an_order, next_of, paid_with
from tests.integration.storage.owning import Lease, add_shard, owner_of_all


async def stored(store: OrderStore, order_id: str) -> Order | None:
    loaded = (await store.load([order_id])).get(order_id)
    return None if loaded is None else loaded.order


async def test_what_was_flushed_is_read_back_equal(store: OrderStore, lease: Lease) -> None:
    order = an_order()
    payment, entry = paid_with(order, 7813)
    order = replace(order, payments=(payment,), ledger=(entry,), metadata={"k": "ñ"})
    result = await store.flush(*lease, [a_commit(order, ledger=(entry,), message_id="m", fingerprint="f", reply=b"r")])
    assert result.owned
    assert result.committed == {order.id}
    loaded = (await store.load([order.id]))[order.id]
    assert loaded.order == order
    assert loaded.keys == {"m": "f"}
    assert [event.sequence for event in loaded.unpublished] == [1]
    assert await store.reply(order.id, "m") == b"r"
    assert await store.reply(order.id, "other") is None
    assert not await store.load([str(uuid4())])


async def test_a_replaced_owner_changes_nothing(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    first = an_order()
    await store.flush(*lease, [a_commit(first)])
    await owner_of_all(store, "order-shard-1")
    result = await store.flush(
        *lease,
        [a_commit(next_of(first), message_id="m", reply=b""), a_commit(an_order(), message_id="n", reply=b"")],
    )
    assert not result.owned
    assert not result.committed
    assert await stored(store, first.id) == first
    for table, rows in (("orders", 1), ("order_events", 1), ("inbox", 0), ("unpublished_events", 1)):
        counted = await sql.fetchval(f"select count(*) from {table}")  # noqa: S608 - the names are above
        assert counted == rows, table


async def test_an_empty_flush_tells_whether_the_lease_stands(store: OrderStore, lease: Lease) -> None:
    assert (await store.flush(*lease, [])).owned
    other = await owner_of_all(store, "order-shard-1")
    assert not (await store.flush(*lease, [])).owned
    assert (await store.flush(*other, [])).owned
    assert set((await store.owners()).values()) == {other.process}


async def test_only_the_version_that_was_decided_on_is_replaced(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    first = an_order()
    other = an_order()
    await store.flush(*lease, [a_commit(first), a_commit(other)])
    second = next_of(first, status=Status.VALIDATED)
    await store.flush(*lease, [a_commit(second)])
    twin = next_of(first, status=Status.CANCELLED)
    _, entry = paid_with(first, 10)
    result = await store.flush(
        *lease, [a_commit(twin, ledger=(entry,), message_id="m", reply=b""), a_commit(next_of(other))]
    )
    assert result.owned
    assert result.committed == {other.id}
    assert not result.poisoned
    assert await stored(store, first.id) == second
    assert await sql.fetchval("select count(*) from order_events where order_id = $1", first.id) == 2
    assert await sql.fetchval("select count(*) from inbox") == 0
    assert await sql.fetchval("select count(*) from transactions") == 0


async def test_an_order_is_created_once(store: OrderStore, lease: Lease) -> None:
    order = an_order()
    await store.flush(*lease, [a_commit(order)])
    again = await store.flush(*lease, [a_commit(replace(order, currency="USD"))])
    assert again.owned
    assert not again.committed
    assert await stored(store, order.id) == order


async def test_a_message_that_is_remembered_voids_that_orders_commit_alone(store: OrderStore, lease: Lease) -> None:
    orders = [an_order() for _ in range(9)]
    await store.flush(*lease, [a_commit(o, message_id="once", reply=b"1") for o in orders[:5]])
    await store.flush(*lease, [a_commit(o) for o in orders[5:]])
    second = [next_of(order) for order in orders]
    repeat = second[3]
    batch = [a_commit(o, message_id="once" if o is repeat else "new", reply=b"2") for o in second]
    result = await store.flush(*lease, batch)
    assert result.owned
    assert result.committed == {o.id for o in second if o is not repeat}
    assert not result.poisoned
    assert await stored(store, repeat.id) == orders[3]
    assert await store.reply(repeat.id, "once") == b"1"


async def test_one_poisoned_order_is_found_and_the_others_are_committed(store: OrderStore, lease: Lease) -> None:
    orders = [an_order() for _ in range(20)]
    batch = [a_commit(o) for o in orders]
    # What can't be encoded by the driver, what the server can't store, and what breaks a constraint.
    broken: dict[int, Commit] = {
        4: a_commit(orders[4], total=2**63),
        11: a_commit(replace(orders[11], customer_id="nul\0")),
        17: a_commit(orders[17], refunded=-5),
    }
    result = await store.flush(*lease, [broken.get(i, commit) for i, commit in enumerate(batch)])
    assert result.owned
    assert set(result.poisoned) == {orders[i].id for i in broken}
    assert "amounts_are_not_negative" in result.poisoned[orders[17].id]
    assert result.committed == {o.id for i, o in enumerate(orders) if i not in broken}


async def test_an_order_is_written_though_more_was_given_back_than_was_taken(store: OrderStore, lease: Lease) -> None:
    """The books say what PaymentSvc says. A refund of more than was taken set the order aside, and nobody could settle it."""
    order = an_order()
    result = await store.flush(*lease, [a_commit(order, paid=5, refunded=55)])
    assert result.committed == {order.id}
    assert not result.poisoned


async def test_an_order_that_is_a_partition_of_one_is_written_under_its_owners_lease(
    store: OrderStore, lease: Lease
) -> None:
    order, other = an_order(), an_order()
    await store.flush(*lease, [a_commit(order), a_commit(other)])
    assert await store.split(*lease, order.id)
    partition = f"order-{order.id}"
    assert (await store.load([order.id]))[order.id].dedicated_group == partition
    own = await add_shard(store, partition)
    assert await store.give(*lease, partition, own.process)
    second = next_of(order)
    assert (await store.flush(*own, [a_commit(second)])).committed == {order.id}
    assert (await store.load([order.id]))[order.id].dedicated_group == partition
    # Who takes it ends its owner's right to write, and nobody else's.
    taker = await add_shard(store, "order-shard-1")
    assert await store.take(taker.process, own.process, [partition]) == {partition}
    third = next_of(second)
    assert not (await store.flush(*own, [a_commit(third)])).owned
    assert (await store.flush(*lease, [a_commit(next_of(other))])).committed == {other.id}
    assert (await store.flush(*taker, [a_commit(third)])).committed == {order.id}
    assert await store.merge(*taker, order.id)
    assert (await store.load([order.id]))[order.id].dedicated_group is None
    assert (await store.flush(*lease, [a_commit(next_of(third))])).committed == {order.id}


async def test_two_batches_of_the_same_orders_do_not_wait_in_a_ring(store: OrderStore, lease: Lease) -> None:
    orders = [an_order() for _ in range(60)]
    await store.flush(*lease, [a_commit(o) for o in orders])
    forwards = [a_commit(next_of(o, status=Status.VALIDATED)) for o in orders]
    backwards = [a_commit(next_of(o, status=Status.CANCELLING)) for o in reversed(orders)]
    results = await asyncio.gather(*(store.flush(*lease, batch) for batch in (forwards, backwards)))
    assert all(result.owned and not result.poisoned for result in results)
    assert results[0].committed | results[1].committed == {o.id for o in orders}
    assert not results[0].committed & results[1].committed


async def test_numbers_are_taken_in_blocks_that_never_overlap(store: OrderStore) -> None:
    firsts = await asyncio.gather(*(store.take_numbers(100) for _ in range(5)))
    assert sorted(firsts) == [1, 101, 201, 301, 401]


async def test_the_databases_clock_is_read_with_its_zone(store: OrderStore) -> None:
    now = await store.now()
    assert now.utcoffset() == timedelta(0)
    assert await store.now() >= now


@pytest.mark.parametrize("promotion_uses", [(), (("NONE", "c-1"),)])
async def test_an_order_that_is_judged_by_what_is_outdated_is_left_out_as_a_whole(
    store: OrderStore,
    lease: Lease,
    sql: asyncpg.Connection[asyncpg.Record],
    promotion_uses: tuple[tuple[str, str], ...],
) -> None:
    """Beside one that claims a promotion as well: that is flushed in another way."""
    await sql.execute("insert into reference_versions values ('product', 'pen', 7), ('customer', 'pen', 9)")
    pen, ana = ReferenceVersion(ReferenceKind.PRODUCT, "pen", 7), ReferenceVersion(ReferenceKind.CUSTOMER, "ana", 1)
    old, new, unknown = an_order(), an_order(), an_order()
    judged_by = {old.id: (replace(pen, version=6), ana), new.id: (pen, ana), unknown.id: (ana,)}
    commits = [
        a_commit(order, message_id=f"m-{order.id}", reply=b"", reference_versions=judged_by[order.id])
        for order in (old, new, unknown)
    ]
    result = await store.flush(
        *lease, [*commits, a_commit(an_order(), promotion_uses=promotion_uses)] if promotion_uses else commits
    )
    assert result.owned
    assert result.outdated == {old.id}
    assert result.committed == {new.id, unknown.id}
    assert await stored(store, old.id) is None
    counted = await sql.fetchval("select count(*) from inbox where order_id = $1", old.id)
    assert counted == 0
    result = await store.flush(*lease, [a_commit(old, reference_versions=(pen,))])
    assert result.committed == {old.id}
    assert not result.outdated


async def test_a_version_counts_from_its_commit_on(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    order = an_order()
    judged_by = (ReferenceVersion(ReferenceKind.PRODUCT, "pen", 6),)
    async with sql.transaction():
        await sql.execute("insert into reference_versions values ('product', 'pen', 7)")
        before = await store.flush(*lease, [a_commit(order, reference_versions=judged_by)])
    assert before.committed == {order.id}
    after = await store.flush(*lease, [a_commit(next_of(order), reference_versions=judged_by)])
    assert not after.committed
    assert after.outdated == {order.id}
