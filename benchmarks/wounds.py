"""What is done to a service to see it recover: signals to processes that the measurement itself has started, each by its id.

Which process is which shard is told by its connections to the database: they bear the shard's name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass

import asyncpg

from actors.groups import Layout
from benchmarks import processes
from benchmarks.processes import Group
from benchmarks.service import Service
from local.sockets import ports_of

STATEMENT_LIMIT_S = 5.0
LOOK_EVERY_S = 0.1
CONNECTED = "select client_port from pg_stat_activity where application_name = $1 and client_port > 0"
OWNERS = "select grp, shard, epoch, taken_at from owners where grp like 'slices-%'"
NOT_NOW = (asyncpg.PostgresError, OSError, TimeoutError)


class NothingToHitError(RuntimeError):
    """There is no such process now."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A group's row in ``owners``; ``taken_s``: by the database's clock."""

    shard: str
    epoch: int
    taken_s: float


class Wounds:
    """Hurts one service, and sees when it is whole again."""

    def __init__(self, running: Service, shards: int) -> None:
        self._state = running.state
        self._dsn = running.endpoints.database
        self._layout = Layout(shards)

    async def shard(self, name: str) -> int:
        """The process id of a shard. Raises ``NothingToHitError``."""
        ports = {row["client_port"] for row in await self.ask(CONNECTED, name)}
        for pid in processes.pids(self._state, Group.SHARDS):
            if ports & await asyncio.to_thread(ports_of, pid, self._dsn):
                return pid
        raise NothingToHitError(f"no process is {name}")

    async def database(self) -> int:
        """The process id of the database's first process."""
        file = self._state / "postgres/data/postmaster.pid"
        pid = int((await asyncio.to_thread(file.read_text)).splitlines()[0])
        if pid not in processes.pids(self._state, Group.POSTGRES):
            raise NothingToHitError("the database is none that was started for this")
        return pid

    async def owners(self) -> dict[str, Owner]:
        """Who owns which group now."""
        return {
            row["grp"]: Owner(row["shard"], row["epoch"], row["taken_at"].timestamp()) for row in await self.ask(OWNERS)
        }

    async def until_home(self, after: dict[str, Owner], name: str | None, limit_s: float) -> bool:
        """Return when each group is at home, those that shard ``name`` had taken anew since ``after``; False at the limit."""
        until = time.monotonic() + limit_s
        while True:
            with contextlib.suppress(*NOT_NOW):
                now = await self.owners()
                anew = (now[group].epoch > owner.epoch for group, owner in after.items() if owner.shard == name)
                if all(anew) and all(owner.shard == self._layout.home_of(group) for group, owner in now.items()):
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
