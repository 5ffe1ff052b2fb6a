"""What is done to a service to see it recover: signals to processes that the measurement itself has started, each by its id.

Which process owns what, and which process id it has, is told by the tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from actors.shard.partitions import weight
from benchmarks import processes
from benchmarks.processes import Group
from benchmarks.service import Service

STATEMENT_LIMIT_S = 5.0
LOOK_EVERY_S = 0.1
OWNERS = """
select p.partition, r.name, r.pid, l.process::text as process, l.token::text as token
from partitions p left join leases l using (process) left join processes r using (process) where p.partition not like 'order-%'
"""
# The latest incarnations of the shards that are to serve.
SERVING = """
select name from (
    select distinct on (name) name, state from processes where name like 'order-shard-%' order by name, started_at desc
) latest where state = 'serving'
"""
NOT_NOW = (asyncpg.PostgresError, OSError, TimeoutError)


class NothingToHitError(RuntimeError):
    """There is no such process now."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a partition: the shard's name, its process id, its id in ``processes``, and the token of its lease."""

    shard: str
    pid: int
    process: str
    token: str


class Wounds:
    """Hurts one service, and sees when it is whole again."""

    def __init__(self, running: Service) -> None:
        self._state = running.state
        self._dsn = running.endpoints.database

    def shard(self, owner: Owner) -> int:
        """The process id of a shard. Raises ``NothingToHitError``."""
        if owner.pid not in processes.pids(self._state, Group.SHARDS):
            raise NothingToHitError(f"no process is {owner.shard}")
        return owner.pid

    async def database(self) -> int:
        """The process id of the database's first process."""
        file = self._state / "postgres/data/postmaster.pid"
        pid = int((await asyncio.to_thread(file.read_text)).splitlines()[0])
        if pid not in processes.pids(self._state, Group.POSTGRES):
            raise NothingToHitError("the database is none that was started for this")
        return pid

    async def owners(self) -> dict[str, Owner]:
        """Who owns which partition now; one that nobody owns is absent."""
        return {
            row["partition"]: Owner(row["name"], row["pid"], row["process"], row["token"])
            for row in await self.ask(OWNERS)
            if row["process"] is not None
        }

    async def until_home(self, after: Mapping[str, Owner], shard: str | None, limit_s: float) -> bool:
        """Return when each partition is owned by the shard that comes first for it, those that ``shard`` owned ``after`` by another
        process or under another token; False at the limit.
        """
        until = time.monotonic() + limit_s
        while True:
            with contextlib.suppress(*NOT_NOW):
                now = await self.owners()
                serving = [row["name"] for row in await self.ask(SERVING)]
                anew = (now.get(name) != owner for name, owner in after.items() if owner.shard == shard)
                if serving and len(now) == len(after) and all(anew) and _is_home(now, serving):
                    return True
            if time.monotonic() > until:
                return False
            await asyncio.sleep(LOOK_EVERY_S)

    async def ask(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the database, on a connection of its own."""
        connection = await asyncpg.connect(self._dsn, timeout=STATEMENT_LIMIT_S, command_timeout=STATEMENT_LIMIT_S)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
            return rows
        finally:
            await connection.close()


def _is_home(owners: Mapping[str, Owner], serving: list[str]) -> bool:
    return all(
        owner.shard == max(serving, key=lambda shard: weight(partition, shard)) for partition, owner in owners.items()
    )


def kill(pid: int) -> None:
    """End it where it stands."""
    os.kill(pid, signal.SIGKILL)


def freeze(pid: int) -> None:
    """Have it stand still, connections and all."""
    os.kill(pid, signal.SIGSTOP)


def go_on(pid: int) -> None:
    """Let a frozen one go on, if it was not replaced meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def restart(pid: int) -> None:
    """Have PostgreSQL stop fast: sessions are ended, what is committed is written; whoever keeps it starts it again."""
    os.kill(pid, signal.SIGINT)
