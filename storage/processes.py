"""The table of the service's processes: who lives, what it does, and where it listens.

Each process writes its own row, again and again. ``seen_at`` and ``started_at`` are by the database's clock, so that processes on
several machines can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from storage.postgres import Database

UNSEEN_KEPT_S = 600.0
PRUNED_AT_ONCE_ROWS = 100

# A row that a crash of the server loses is written again within seconds: its commit need not reach the disk.
WRITE = """
with quick as (select set_config('synchronous_commit', 'off', true))
insert into processes (process, name, kind, cell, node, release, host, port, pid, state)
select $1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10 from quick
on conflict (process) do update
set host = excluded.host, port = excluded.port, state = excluded.state, seen_at = clock_timestamp()
"""
REMOVE = "delete from processes where process = $1::uuid"
FIND = """
select distinct on (name) process::text, name, kind, cell, node, release, host, port, pid, state from processes
where cell = $1 and name = any($2) and port is not null order by name, started_at desc
"""
PRUNE = """
with gone as (
    delete from processes where process = any(array(
        select process from processes where seen_at < clock_timestamp() - make_interval(secs => $1) limit $2))
    returning 1
)
select count(*) from gone
"""


class ProcessState(StrEnum):
    """What a process does: it starts; it serves; it is warm and owns nothing; it gives away what it has, to end."""

    STARTING = "starting"
    SERVING = "serving"
    STANDBY = "standby"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow:
    """A row of the table. ``process`` is the UUID of this incarnation; ``host`` and ``port`` are None until it listens."""

    process: str
    name: str
    kind: str
    cell: str
    node: str
    release: str
    host: str | None = None
    port: int | None = None
    pid: int
    state: ProcessState = ProcessState.STARTING


class Processes:
    """The rows of ``processes``. Every method raises ``StorageUnavailable``; what failed may simply be done again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, row: ProcessRow) -> None:
        """Say that the process lives, in which state, and where it listens."""
        await self._database.fetch(
            WRITE,
            *(row.process, row.name, row.kind, row.cell, row.node, row.release, row.host, row.port, row.pid, row.state),
        )

    async def remove(self, process: str) -> None:
        """Delete the row of a process that has ended."""
        await self._database.fetch(REMOVE, process)

    async def find(self, cell: str, names: Sequence[str]) -> dict[str, ProcessRow]:
        """The latest incarnation that listens of each of these processes, by name; those without one are left out."""
        rows = await self._database.fetch(FIND, cell, list(names))
        return {row["name"]: ProcessRow(**{**row, "state": ProcessState(row["state"])}) for row in rows}

    async def prune(self) -> tuple[int, bool]:
        """Delete rows of processes that have not said for ``UNSEEN_KEPT_S`` that they live: how many, and whether there are more."""
        pruned: int = await self._database.fetchval(PRUNE, UNSEEN_KEPT_S, PRUNED_AT_ONCE_ROWS)
        return pruned, pruned == PRUNED_AT_ONCE_ROWS
