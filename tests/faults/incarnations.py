"""Which process is behind a connection to the database: a shard's name outlives the process that had it, a connection does not.

The database's trigger (`audit_trigger.py`) can tell connections apart, and only the machine knows whose they are. It is sampled:
whose a connection is that came and went between two samples stays unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import asyncpg

from tests.acceptance.started import Started
from tests.faults.kills import PROCESSES
from tests.faults.sockets import ports_of

EVERY_S = 0.5
LIMIT_S = 2.0
CONNECTIONS = "select pid, client_port from pg_stat_activity where application_name like 'order-%' and client_port > 0"


async def sample(processes: dict[str, int], started: Started, database_url: str) -> None:
    """Enter each connection of a shard, as the trigger calls it, with its process's pid, for ever."""
    while True:
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            connection: Any = await asyncpg.connect(database_url, timeout=LIMIT_S, command_timeout=LIMIT_S)
            try:
                rows = await connection.fetch(CONNECTIONS)
            finally:
                connection.terminate()
            owners = await asyncio.to_thread(_owners_of_ports, started, database_url)
            for row in rows:
                if row["client_port"] in owners:
                    processes.setdefault(f"{row['pid']}:{row['client_port']}", owners[row["client_port"]])
        await asyncio.sleep(EVERY_S)


def _owners_of_ports(started: Started, database_url: str) -> dict[int, int]:
    return {port: pid for pid in started.find_all(PROCESSES["shard"]) for port in ports_of(pid, database_url)}
