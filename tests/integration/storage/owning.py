"""Processes that own partitions, for tests of the store."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from storage.writes.order_store import OrderStore

ADD_PROCESS = """
insert into processes (process, name, kind, cell, node, release, host, port, pid, state)
values (gen_random_uuid(), $1, 'shard', $2, '127.0.0.1', '1', '127.0.0.1', 1, 7, $3)
returning process::text
"""
WAITING = """
select count(*) from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and wait_event_type = 'Lock'
"""


class Lease(NamedTuple):
    """A process with the token of its lease, as a flush is given them."""

    process: str
    token: str


async def add_process(store: OrderStore, name: str, *, cell: str = "main", state: str = "serving") -> str:
    """Write the row of a process, which has no lease yet: its id."""
    process: str = await store.database.fetchval(ADD_PROCESS, name, cell, state)
    return process


async def add_shard(store: OrderStore, name: str) -> Lease:
    """Write the row of a process that owns nothing: its lease."""
    process = await add_process(store, name)
    return Lease(process, await store.renew(process))


async def take_all(store: OrderStore, process: str) -> None:
    """Let a process take every partition from whoever owns it."""
    owners = await store.owners()
    for former in set(owners.values()) - {process}:
        await store.take(process, former, [name for name, owner in owners.items() if owner == former])


async def owner_of_all(store: OrderStore, name: str) -> Lease:
    """Let a new process own every partition: its lease."""
    lease = await add_shard(store, name)
    await take_all(store, lease.process)
    return lease


async def until_waiting(sql: asyncpg.Connection[asyncpg.Record], statements: int = 1) -> None:
    """Return once that many statements of this database wait for a lock."""
    while await sql.fetchval(WAITING) < statements:
        await sql.execute("select pg_stat_clear_snapshot()")
