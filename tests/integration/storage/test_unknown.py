from __future__ import annotations

import asyncio

import asyncpg
import pytest

from storage.errors import CommitUnknown, StorageUnavailable
from storage.postgres import PoolLimits
from storage.writes.order_store import OrderStore
from tests.integration.storage.orders import a_commit, an_order
from tests.integration.storage.owning import Lease
from tests.integration.wire import wire_to

LOCK_LEASE = "select from leases where process = $1 for update"
STORES_BACKENDS = "select pid from pg_stat_activity where application_name = $1 and datname = current_database()"
ENDS_WITHIN_S = 10.0


async def test_a_commit_whose_answer_is_lost_is_unknown_and_reading_back_shows_that_it_was_done(
    database_url: str, store: OrderStore, lease: Lease
) -> None:
    order = an_order()
    async with wire_to(database_url, hangs_up=True) as (url, wire):
        far = await OrderStore.open(url, application_name="far", limits=PoolLimits(max_connections=1))
        wire.deaf = True
        with pytest.raises(CommitUnknown):
            await far.flush(*lease, [a_commit(order)])
        await far.close()
    await store.renew(lease.process)
    assert (await store.load([order.id]))[order.id].order == order


async def test_a_commit_that_is_defeated_by_renewing_is_never_done(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    order = an_order()
    transaction = sql.transaction()
    await transaction.start()
    await sql.fetch(LOCK_LEASE, lease.process)
    flushing = asyncio.create_task(store.flush(*lease, [a_commit(order)]))
    async with asyncio.timeout(ENDS_WITHIN_S):
        while not await sql.fetchval("select exists (select from pg_locks where not granted)"):
            pass
    for row in await sql.fetch(f"{STORES_BACKENDS} and wait_event_type = 'Lock'", "test-store"):
        await sql.execute("select pg_terminate_backend($1)", row["pid"])
    with pytest.raises(CommitUnknown):
        await flushing
    await transaction.commit()
    renewed = await store.renew(lease.process)
    assert await store.load([order.id]) == {}
    assert not (await store.flush(*lease, [a_commit(order)])).owned
    assert (await store.flush(lease.process, renewed, [a_commit(order)])).committed == {order.id}


async def test_a_statement_that_the_server_gave_up_on_was_certainly_not_committed(
    database_url: str, store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    order = an_order()
    brisk = await OrderStore.open(
        database_url, application_name="brisk", limits=PoolLimits(statement_timeout_s=0.3, client_grace_s=5)
    )
    async with sql.transaction():
        await sql.fetch(LOCK_LEASE, lease.process)
        with pytest.raises(StorageUnavailable):
            await brisk.flush(*lease, [a_commit(order)])
    await brisk.close()
    assert await store.load([order.id]) == {}


async def test_connections_that_were_ended_are_replaced(
    database_url: str, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A flush that was sent while its connection's end was being read met an error of the driver that belonged to none
    of its trees, and the commits of the shard stood still for ever.
    """
    brief = await OrderStore.open(database_url, application_name="brief", limits=PoolLimits(max_connections=1))
    for round_number in range(60):
        for row in await sql.fetch(STORES_BACKENDS, "brief"):
            await sql.execute("select pg_terminate_backend($1)", row["pid"])
        for _ in range(round_number % 6):
            await asyncio.sleep(0)  # each time the end is read a little further before the flush is sent
        order = an_order()
        async with asyncio.timeout(ENDS_WITHIN_S):
            while True:
                try:
                    result = await brief.flush(*lease, [a_commit(order)])
                except (CommitUnknown, StorageUnavailable):
                    continue
                break
        assert result.committed == {order.id}, result
    await brief.close()


async def test_a_pool_without_a_free_connection_says_so_in_time(
    database_url: str, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    limits = PoolLimits(max_connections=1, acquire_timeout_s=0.2)
    narrow = await OrderStore.open(database_url, application_name="narrow", limits=limits)
    async with sql.transaction():
        await sql.fetch(LOCK_LEASE, lease.process)
        held = asyncio.create_task(narrow.flush(*lease, [a_commit(an_order())]))
        async with asyncio.timeout(ENDS_WITHIN_S):
            while not await sql.fetchval("select exists (select from pg_locks where not granted)"):
                pass
        with pytest.raises(StorageUnavailable, match="no connection"):
            await narrow.now()
    assert (await held).owned
    await narrow.close()


async def test_a_server_that_is_not_there_is_told_as_unavailable() -> None:
    with pytest.raises(StorageUnavailable):
        await OrderStore.open("postgresql://nobody@127.0.0.1:1/none", application_name="nowhere")
