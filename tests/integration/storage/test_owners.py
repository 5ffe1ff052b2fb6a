"""Who may write what: leases and partitions, against PostgreSQL."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from domain.order import Status
from domain.slices import PARTITIONS, dedicated_partition
from storage.errors import StorageUnavailable
from storage.writes.flush_statement import flush_once
from storage.writes.order_store import OrderStore
from storage.writes.owners import FENCE, GIVE, RENEW, TAKE
from tests.integration.storage.orders import a_commit, an_order, next_of
from tests.integration.storage.owning import Lease, add_process, add_shard, owner_of_all, until_waiting

ALL = frozenset(map(str, range(PARTITIONS)))
TAKEN = frozenset({"3", "17", "63"})
END_PROCESS = "delete from processes where process = $1"
ADD_ROLE = "insert into shard_roles (cell, name, role) values ($1, $2, $3)"
TABLES = ("orders", "order_events", "inbox", "unpublished_events")


@pytest.fixture
async def other(store: OrderStore) -> Lease:
    """A shard that owns nothing."""
    return await add_shard(store, "order-shard-1")


async def stands(store: OrderStore, lease: Lease) -> bool:
    return (await store.flush(*lease, [])).owned


async def test_there_are_64_partitions_and_at_first_nobody_owns_them(store: OrderStore) -> None:
    assert await store.owners() == dict.fromkeys(map(str, range(64)))
    assert set((await store.owner_names()).values()) == {None}


# A partition is taken.


async def test_who_takes_replaces_the_token_of_the_former_owner_and_has_what_was_taken(
    store: OrderStore, lease: Lease, other: Lease
) -> None:
    order = an_order()
    assert await store.take(other.process, lease.process, TAKEN) == TAKEN
    assert not (await store.flush(*lease, [a_commit(order)])).owned
    assert await store.load([order.id]) == {}
    assert await store.owned(other.process) == TAKEN
    assert await store.owned(lease.process) == ALL - TAKEN
    assert (await store.flush(*other, [a_commit(order)])).committed == {order.id}
    # The former owner finds out what it still has, and goes on with that.
    renewed = Lease(lease.process, await store.renew(lease.process))
    assert (await store.flush(*renewed, [a_commit(next_of(order))])).committed == {order.id}
    assert await stands(store, other)
    assert await store.owner_names() == {name: "order-shard-1" if name in TAKEN else "order-shard-0" for name in ALL}


async def test_only_what_is_still_the_former_owners_is_taken(store: OrderStore, lease: Lease, other: Lease) -> None:
    third = await add_shard(store, "order-shard-2")
    assert await store.give(*lease, "3", third.process)
    assert await store.take(other.process, lease.process, TAKEN) == TAKEN - {"3"}
    assert await store.owned(third.process) == {"3"}
    assert await stands(store, third)
    assert await store.take(other.process, None, ["3", "4"]) == frozenset()
    assert await store.take(other.process, lease.process, ["none of this name"]) == frozenset()
    assert await store.owned(other.process) == TAKEN - {"3"}


async def test_taking_waits_for_a_flush_of_the_former_owner_that_is_under_way(
    store: OrderStore, lease: Lease, other: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    order = an_order()
    transaction = sql.transaction()
    await transaction.start()
    assert (await flush_once(sql, *lease, [a_commit(order)]))[:2] == (True, frozenset((order.id,)))
    taking = asyncio.create_task(store.take(other.process, lease.process, ALL))
    await until_waiting(sql)
    assert not taking.done()
    await transaction.commit()
    assert await taking == ALL
    assert (await store.load([order.id]))[order.id].order == order
    assert not (await store.flush(*lease, [a_commit(next_of(order))])).owned


@pytest.mark.parametrize("promotion_uses", [(), (("TEN", "c-1001"),)], ids=["plain", "claiming"])
async def test_a_flush_that_waited_for_who_takes_writes_nothing(
    store: OrderStore,
    lease: Lease,
    other: Lease,
    sql: asyncpg.Connection[asyncpg.Record],
    promotion_uses: tuple[tuple[str, str], ...],
) -> None:
    transaction = sql.transaction()
    await transaction.start()
    await sql.execute(FENCE, lease.process)
    await sql.execute(TAKE, other.process, lease.process, sorted(ALL))
    commit = a_commit(an_order(), promotion_uses=promotion_uses, message_id="m", reply=b"r")
    flushing = asyncio.create_task(store.flush(*lease, [commit]))
    await until_waiting(sql)
    await transaction.commit()
    result = await flushing
    assert not result.owned
    assert not result.committed
    for table in TABLES:
        assert await sql.fetchval(f"select count(*) from {table}") == 0, table  # noqa: S608 - the names are above


async def test_several_that_take_what_nobody_owns_get_each_partition_once(store: OrderStore) -> None:
    takers = [await add_process(store, f"order-shard-{k}") for k in range(3)]
    taken = await asyncio.gather(*(store.take(taker, None, ALL) for taker in takers))
    assert sorted(name for names in taken for name in names) == sorted(ALL)
    for taker, names in zip(takers, taken, strict=True):
        assert await store.owned(taker) == names


async def test_several_that_take_from_the_same_owner_get_each_partition_once(store: OrderStore, lease: Lease) -> None:
    takers = [await add_process(store, f"order-shard-{k}") for k in range(1, 4)]
    taken = await asyncio.gather(*(store.take(taker, lease.process, ALL) for taker in takers))
    assert sorted(name for names in taken for name in names) == sorted(ALL)
    assert await store.owned(lease.process) == frozenset()


# A lease is renewed.


async def test_no_token_is_given_twice(store: OrderStore, lease: Lease) -> None:
    tokens = [lease.token, *[await store.renew(lease.process) for _ in range(5)]]
    assert len(set(tokens)) == len(tokens)
    for token in tokens[:-1]:
        assert not await stands(store, Lease(lease.process, token))
    assert await stands(store, Lease(lease.process, tokens[-1]))
    assert await store.owned(lease.process) == ALL


async def test_a_renewal_that_is_overtaken_never_makes_an_older_token_valid(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    late = Lease(lease.process, str(uuid4()))
    transaction = sql.transaction()
    await transaction.start()
    await sql.execute(RENEW, *late)  # whose answer is given up on
    renewing = asyncio.create_task(store.renew(lease.process))
    await until_waiting(sql)
    await transaction.commit()
    renewed = Lease(lease.process, await renewing)
    assert await stands(store, renewed)
    assert not await stands(store, late)
    assert not await stands(store, lease)


async def test_a_renewal_that_arrives_late_ends_the_token_that_was_given_and_no_older_one_is_valid_again(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    renewed = Lease(lease.process, await store.renew(lease.process))
    await sql.execute(RENEW, lease.process, str(uuid4()))  # asked for first
    order = an_order()
    for each in (lease, renewed):
        assert not (await store.flush(*each, [a_commit(order)])).owned
    assert await store.load([order.id]) == {}
    again = Lease(lease.process, await store.renew(lease.process))
    assert (await store.flush(*again, [a_commit(order)])).committed == {order.id}


async def test_renewing_waits_for_a_flush_that_is_under_way(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    order = an_order()
    transaction = sql.transaction()
    await transaction.start()
    await flush_once(sql, *lease, [a_commit(order)])
    renewing = asyncio.create_task(store.renew(lease.process))
    await until_waiting(sql)
    assert not renewing.done()
    await transaction.commit()
    await renewing
    assert (await store.load([order.id]))[order.id].order == order


async def test_a_process_without_a_row_gets_no_lease(store: OrderStore) -> None:
    with pytest.raises(StorageUnavailable):
        await store.renew(str(uuid4()))


# A partition is given away.


async def test_who_gives_a_partition_away_goes_on_with_the_others(
    store: OrderStore, lease: Lease, other: Lease
) -> None:
    assert await store.give(*lease, "7", other.process)
    assert await store.owned(other.process) == {"7"}
    assert await store.owned(lease.process) == ALL - {"7"}
    assert await stands(store, lease)
    assert await stands(store, other)
    # It is not theirs to give again, nor anybody's who does not have it.
    third = await add_process(store, "order-shard-2")
    assert not await store.give(*lease, "7", third)
    assert not await store.give(*other, "8", third)
    assert not await store.give(*lease, "none of this name", third)
    assert await store.owned(third) == frozenset()


async def test_nothing_is_given_to_a_process_that_is_not_there(store: OrderStore, lease: Lease) -> None:
    with pytest.raises(StorageUnavailable):
        await store.give(*lease, "7", str(uuid4()))
    assert await store.owned(lease.process) == ALL


async def test_under_a_token_that_was_replaced_nothing_is_given_split_or_merged(
    store: OrderStore, lease: Lease, other: Lease
) -> None:
    apart, together = an_order(), an_order()
    await store.flush(*lease, [a_commit(apart), a_commit(together)])
    assert await store.split(*lease, apart.id)
    before = await store.owners()
    await store.renew(lease.process)
    assert not await store.give(*lease, "7", other.process)
    assert not await store.give(*lease, dedicated_partition(apart.id), other.process)
    assert not await store.split(*lease, together.id)
    assert not await store.merge(*lease, apart.id)
    assert await store.owners() == before
    loaded = await store.load([apart.id, together.id])
    assert loaded[apart.id].dedicated_group == dedicated_partition(apart.id)
    assert loaded[together.id].dedicated_group is None


async def test_giving_that_waited_for_who_takes_does_nothing(
    store: OrderStore, lease: Lease, other: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    third = await add_process(store, "order-shard-2")
    transaction = sql.transaction()
    await transaction.start()
    await sql.execute(FENCE, lease.process)
    giving = asyncio.create_task(store.give(*lease, "7", third))
    await until_waiting(sql)
    await sql.execute(TAKE, other.process, lease.process, ["8"])
    await transaction.commit()
    assert not await giving
    assert await store.owned(lease.process) == ALL - {"8"}


async def test_who_takes_gets_nothing_that_was_given_away_meanwhile(
    store: OrderStore, lease: Lease, other: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    third = await add_process(store, "order-shard-2")
    transaction = sql.transaction()
    await transaction.start()
    assert await sql.fetchval(GIVE, *lease, "7", third) == "7"
    taking = asyncio.create_task(store.take(other.process, lease.process, ["7", "8"]))
    await until_waiting(sql)
    await transaction.commit()
    assert await taking == {"8"}
    assert await store.owned(third) == {"7"}


# An order is a partition of one.


async def test_an_open_order_becomes_a_partition_of_one_and_goes_back_once_it_is_closed(
    store: OrderStore, lease: Lease, other: Lease
) -> None:
    order, neighbour = an_order(), an_order()
    await store.flush(*lease, [a_commit(order), a_commit(neighbour)])
    partition = dedicated_partition(order.id)
    assert await store.split(*lease, order.id)
    assert await store.owned(lease.process) == ALL | {partition}
    assert not await store.split(*lease, order.id)
    loaded = await store.load([order.id, neighbour.id])
    assert loaded[order.id].dedicated_group == partition
    assert loaded[neighbour.id].dedicated_group is None
    assert await store.give(*lease, partition, other.process)
    assert await store.closed([partition, *ALL]) == []
    await store.flush(*other, [a_commit(next_of(order, status=Status.CANCELLED, steps=()))])
    assert await store.closed([partition, *ALL]) == [partition]
    assert not await store.merge(*lease, order.id)
    assert (await store.load([order.id]))[order.id].dedicated_group == partition
    assert await store.merge(*other, order.id)
    assert await store.owners() == dict.fromkeys(ALL, lease.process)
    assert (await store.load([order.id]))[order.id].dedicated_group is None
    assert not await store.merge(*other, order.id)
    assert not await store.split(*lease, order.id)  # it is closed


async def test_what_is_no_order_is_not_split(store: OrderStore, lease: Lease) -> None:
    assert not await store.split(*lease, str(uuid4()))
    assert await store.owned(lease.process) == ALL


# A process ends.


async def test_the_end_of_a_process_ends_its_lease_and_nobody_owns_its_partitions(
    store: OrderStore, lease: Lease, other: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    assert await store.take(other.process, lease.process, TAKEN) == TAKEN
    await sql.execute(END_PROCESS, other.process)
    assert not (await store.flush(*other, [a_commit(an_order())])).owned
    assert await store.owners() == {name: None if name in TAKEN else lease.process for name in ALL}
    assert (await store.owner_names())["3"] is None
    assert await store.take(lease.process, None, TAKEN) == TAKEN


async def test_the_end_of_a_process_waits_for_its_flush_that_is_under_way(
    database_url: str, store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    order = an_order()
    beside = await asyncpg.connect(database_url)
    transaction = sql.transaction()
    await transaction.start()
    await flush_once(sql, *lease, [a_commit(order)])
    ending = asyncio.create_task(beside.execute(END_PROCESS, lease.process))
    await until_waiting(sql)
    await transaction.commit()
    await ending
    await beside.close()
    assert (await store.load([order.id]))[order.id].order == order
    assert set((await store.owners()).values()) == {None}


async def test_the_next_incarnation_of_a_shard_has_a_lease_of_its_own(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    next_one = await owner_of_all(store, "order-shard-0")
    assert not await stands(store, lease)
    await sql.execute(END_PROCESS, lease.process)
    assert await stands(store, next_one)
    assert await store.owned(next_one.process) == ALL


# What shards are to do.


async def test_shards_are_listed_with_what_they_are_to_do_once_they_have_started(
    store: OrderStore, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    drained = await add_process(store, "order-shard-0")
    starting = await add_process(store, "order-shard-0", state="starting")
    elsewhere = await add_process(store, "order-shard-0", cell="other")
    usual = await add_process(store, "order-shard-1", state="standby")
    dedicated = await add_process(store, dedicated_partition(str(uuid4())))
    await add_process(store, "bulkhead-payment")
    await sql.execute(ADD_ROLE, "main", "order-shard-0", "draining")
    await sql.execute("update processes set seen_at = seen_at - interval '100 s' where process = $1", drained)
    listed = {each.process: each for each in await store.listed()}
    assert {process: each.state for process, each in listed.items()} == {
        drained: "draining",
        starting: "starting",
        elsewhere: "serving",
        usual: "standby",
        dedicated: "serving",
    }
    assert listed[drained].name == "order-shard-0"
    assert listed[drained].started_at <= listed[starting].started_at
    assert listed[drained].seen_s > 100 > listed[usual].seen_s >= 0


async def test_roles_that_differ_from_the_settings_are_of_a_cell(
    store: OrderStore, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await sql.execute(ADD_ROLE, "main", "order-shard-0", "draining")
    await sql.execute(ADD_ROLE, "other", "order-shard-0", "standby")
    assert await store.shard_roles("main") == {"order-shard-0": "draining"}
    assert await store.shard_roles("none") == {}
    with pytest.raises(asyncpg.CheckViolationError):
        await sql.execute(ADD_ROLE, "main", "order-shard-1", "starting")
