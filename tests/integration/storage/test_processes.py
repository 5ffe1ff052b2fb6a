"""The table of processes: a row for each, found by its name, gone when it ends or was not seen for long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from storage import processes as module
from storage.errors import StorageUnavailable
from storage.postgres import PoolLimits, open_database
from storage.processes import Processes, ProcessRow, ProcessState

AGE = "update processes set seen_at = seen_at - make_interval(secs => $1) where process = $2::uuid"


@pytest.fixture
async def processes(database_url: str) -> AsyncIterator[Processes]:
    database = await open_database(
        database_url, application_name="test-processes", limits=PoolLimits(max_connections=1)
    )
    yield Processes(database)
    await database.close()


def a_row(name: str = "order-shard-0", *, cell: str = "main", port: int | None = 4711) -> ProcessRow:
    return ProcessRow(
        process=str(uuid4()),
        name=name,
        kind="shard",
        cell=cell,
        node="10.0.0.1",
        release="1",
        host=None if port is None else "10.0.0.1",
        port=port,
        pid=7,
        state=ProcessState.STARTING if port is None else ProcessState.SERVING,
    )


async def test_the_latest_incarnation_that_listens_is_found(processes: Processes) -> None:
    first, second, third, other = a_row(), a_row(port=4712), a_row(port=None), a_row("event-bridge")
    for row in (first, second, third, other, a_row(cell="green")):
        await processes.write(row)
    await processes.write(first)  # it lives, and is the older one all the same
    assert await processes.find("main", ["order-shard-0", "event-bridge", "supervisor"]) == {
        "order-shard-0": second,
        "event-bridge": other,
    }
    await processes.write(replace(third, state=ProcessState.SERVING, host="10.0.0.2", port=4713))
    assert (await processes.find("main", ["order-shard-0"]))["order-shard-0"].process == third.process


async def test_a_row_that_is_written_again_is_seen_later_and_keeps_its_start(
    processes: Processes, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    row = a_row()
    await processes.write(row)
    before = await sql.fetchrow("select seen_at, started_at from processes")
    await processes.write(replace(row, state=ProcessState.DRAINING))
    after = await sql.fetchrow("select seen_at, started_at, state from processes")
    assert before is not None
    assert after is not None
    assert after["seen_at"] > before["seen_at"]
    assert (after["started_at"], after["state"]) == (before["started_at"], "draining")


async def test_a_process_that_ended_well_is_gone_and_may_be_removed_twice(processes: Processes) -> None:
    row = a_row()
    await processes.write(row)
    await processes.remove(row.process)
    await processes.remove(row.process)
    assert await processes.find("main", [row.name]) == {}


async def test_what_was_not_seen_for_long_is_pruned_in_bounded_steps(
    processes: Processes, sql: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRUNED_AT_ONCE_ROWS", 2)
    alive, *dead = [a_row(f"order-{index}") for index in range(4)]
    for row in (alive, *dead):
        await processes.write(row)
    for row in dead:
        await sql.execute(AGE, module.UNSEEN_KEPT_S + 1, row.process)
    await sql.execute(AGE, module.UNSEEN_KEPT_S - 60, alive.process)
    assert await processes.prune() == (2, True)
    assert await processes.prune() == (1, False)
    assert await processes.prune() == (0, False)
    assert list(await processes.find("main", [row.name for row in (alive, *dead)])) == [alive.name]


async def test_a_process_that_serves_says_where(sql: asyncpg.Connection[asyncpg.Record], processes: Processes) -> None:
    with pytest.raises(StorageUnavailable):
        await processes.write(replace(a_row(port=None), state=ProcessState.SERVING))
    assert await sql.fetchval("select count(*) from processes") == 0


async def test_saying_that_it_lives_waits_for_no_disk_and_leaves_the_session_as_it_was(
    processes: Processes, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await processes.write(a_row())
    assert await processes._database.fetchval("show synchronous_commit") == "on"
