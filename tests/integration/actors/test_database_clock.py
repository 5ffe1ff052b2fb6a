"""The estimate of PostgreSQL's clock, against PostgreSQL: never ahead, idle and with every connection and the event loop busy."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from actors.shard.database_clock import DatabaseClock
from storage.postgres import PoolLimits
from storage.writes.order_store import OrderStore
from supervised import every

LOOKS = 300
BUSY = "select count(*) from generate_series(1, 200000)"


@pytest.mark.parametrize("readers", [0, 8], ids=["idle", "busy"])
async def test_it_is_never_ahead_of_postgresql_and_behind_by_no_more_than_it_says(
    database_url: str, readers: int
) -> None:
    store = await OrderStore.open(database_url, application_name="clock", limits=PoolLimits(max_connections=2))
    connection = await asyncpg.connect(database_url)
    clock = DatabaseClock(store.now, time.monotonic)
    await clock.synchronise()
    ended = asyncio.Event()

    async def read() -> None:
        while not ended.is_set():
            await store.now()
            sum(range(20_000))  # the loop is held up as well

    async def load() -> None:
        other = await asyncpg.connect(database_url)
        while not ended.is_set():
            await other.fetchval(BUSY)
        await other.close()

    async with asyncio.TaskGroup() as work:
        for _ in range(readers):
            work.create_task(read())
            work.create_task(load())
        keeping = every("clock", 0.05, clock.synchronise)
        for _ in range(LOOKS):
            # The estimate is taken before PostgreSQL is asked, so what that says is later; then after it was.
            before, said_max_s = clock.now(), clock.behind_max_s
            theirs = await connection.fetchval("select clock_timestamp()")
            after = clock.now()
            assert before <= theirs
            assert (theirs - after).total_seconds() <= said_max_s + clock.behind_max_s
            await asyncio.sleep(0)
        ended.set()
        keeping.cancel()
    await connection.close()
    await store.close()
