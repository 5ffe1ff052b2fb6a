"""The faults themselves: signals to the processes below one `./dev run`, and what its servers can be made to do.

Only processes below the given start are ever signalled, each by its id. Every fault says what it hit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import redis.asyncio

from local.guard import descendants, parents
from storage.errors import StorageUnavailable
from tests.acceptance.started import Started
from tests.faults.fuzz import fuzz
from tests.faults.partners import Partners
from tests.faults.schedule import Planned
from tests.faults.second_owner import SecondOwner

PROGRAM_LIMIT_S = 60.0
CONNECTIONS_MAX = 200
TRIES_MAX = 4
TRY_AGAIN_S = 1.5
STATEMENT_LIMIT_S = 5.0
PROCESSES = {
    "shard": "ray::OrderShard",
    "bulkhead": "ray::Bulkhead",
    "bridge": "ray::EventBridge",
    "supervisor": "ray::Supervisor",
    "api": "uvicorn",
    "driver": "actors.runtime",
    "gcs": "gcs_server",
    "partners": "local.sandbox",
    "cache": "valkey-server",
    "broker": "beam.smp",
}
NAME_OF_PID = "select name from processes where pid = $1 and name like 'order-shard-%' order by started_at desc limit 1"
OWNED = "select r.name, p.partition from partitions p join processes r using (process)"


@dataclass(frozen=True, slots=True)
class Fired:
    """A fault that happened. ``target``: what it hit, where there was a choice (a shard's name). ``partitions``: what that shard owned
    before. Times are monotonic seconds.
    """

    kind: str
    began_s: float
    ended_s: float
    target: str = ""
    partitions: frozenset[str] = frozenset()


class NothingToHitError(Exception):
    """There is no such process at this moment: it has not come back from the last time."""


NOT_THERE = (
    NothingToHitError,
    ProcessLookupError,
    aiohttp.ClientError,
    asyncpg.PostgresError,
    StorageUnavailable,
    OSError,
    TimeoutError,
)


class Faults:
    """Makes faults happen to one running service."""

    def __init__(
        self, started: Started, endpoints: dict[str, str], partners: Partners, crowd: Callable[[float], Awaitable[str]]
    ) -> None:
        """``crowd``: has many ask for one order at once; given a number in 0..1, it says which."""
        self._crowd = crowd
        self._started = started
        self._endpoints = endpoints
        self._partners = partners
        self.fired: list[Fired] = []
        self.missed: list[str] = []

    async def run(self, planned: list[Planned], began_s: float) -> None:
        """Have them all happen at their times; those that last go on beside the next ones."""
        async with asyncio.TaskGroup() as running:
            for fault in planned:
                await asyncio.sleep(max(0.0, began_s + fault.at_s - time.monotonic()))
                running.create_task(self.fire(fault))

    async def fire(self, fault: Planned) -> None:
        """Have one happen, and be over. What it should hit may not be back from the last time: then a little later."""
        for tries_left in range(TRIES_MAX - 1, -1, -1):
            owned = await self._owned()
            began_s = time.monotonic()
            try:
                target = await self._happen(fault)
            except NOT_THERE as error:
                if not tries_left:
                    self.missed.append(f"{fault.kind}: {type(error).__name__} {error}")
                await asyncio.sleep(TRY_AGAIN_S)
            else:
                hit = frozenset(partition for name, partition in owned if name == target)
                self.fired.append(Fired(fault.kind, began_s, time.monotonic(), target, hit))
                return

    async def _owned(self) -> list[tuple[str, str]]:
        """Each partition with the name of the shard that owns it; nothing where that can't be told now."""
        with contextlib.suppress(asyncpg.PostgresError, OSError, TimeoutError):
            return [(row["name"], row["partition"]) for row in await self._ask_database(OWNED)]
        return []

    async def _happen(self, fault: Planned) -> str:
        verb, _, what = fault.kind.partition("_")
        match verb, what:
            case "kill", (
                "shard"
                | "bulkhead"
                | "bridge"
                | "supervisor"
                | "api"
                | "driver"
                | "gcs"
                | "partners"
                | "cache"
                | "broker"
            ):
                return await self._signal(what, fault.pick, signal.SIGKILL)
            case "kill", "database":
                return await self._signal_database(signal.SIGKILL)
            case "restart", "database":
                return await self._signal_database(signal.SIGINT)
            case "freeze", "shard":
                return await self._freeze(fault)
            case "hang", partner:
                async with self._partners.hanging(partner):
                    await asyncio.sleep(fault.lasts_s)
                return partner
        others: dict[str, Callable[[Planned], Awaitable[str]]] = {
            "second_owner": self._second_owner,
            "cut_database": self._cut_database,
            "cut_broker": self._cut_broker,
            "alarm_broker": self._alarm_broker,
            "crowd_database": self._crowd_database,
            "refuse_writes": self._refuse_writes,
            "crowd_order": lambda fault: self._crowd(fault.pick),
            "flush_cache": self._flush_cache,
            "fuzz_inbox": self._fuzz,
            "lose_holds": self._lose_holds,
            "say_again": self._say_again,
        }
        return await others[fault.kind](fault)

    # Processes.

    async def _signal(self, what: str, pick: float, how: signal.Signals) -> str:
        pid = await self._choose(what, pick)
        name = await self._shard_of(pid) if what == "shard" else ""
        os.kill(pid, how)
        return name

    async def _choose(self, what: str, pick: float) -> int:
        found = sorted(await asyncio.to_thread(self._started.find_all, PROCESSES[what]))
        if what == "api":
            # Its first process has workers below it, of another name.
            found += sorted(await asyncio.to_thread(lambda: descendants(min(found), parents()) if found else ()))
        if not found:
            raise NothingToHitError(what)
        return found[int(pick * len(found))]

    async def _freeze(self, fault: Planned) -> str:
        """A process that stands still, is given up for dead and replaced, and then goes on where it was."""
        pid = await self._choose("shard", fault.pick)
        name = await self._shard_of(pid)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it may have been replaced for good meanwhile
                os.kill(pid, signal.SIGCONT)
        return name

    async def _shard_of(self, pid: int) -> str:
        """The shard's name; empty where that can't be told now, or its process has only begun."""
        with contextlib.suppress(asyncpg.PostgresError, OSError, TimeoutError):
            for row in await self._ask_database(NAME_OF_PID, pid):
                return str(row["name"])
        return ""

    async def _second_owner(self, fault: Planned) -> str:
        """Another shard gets partitions while their owner is well and knows nothing: the same orders active twice."""
        return await SecondOwner(self._endpoints["database"]).take_any(fault.pick)

    # Servers.

    async def _signal_database(self, how: signal.Signals) -> str:
        file = self._started.folder / "postgres/data/postmaster.pid"
        pid = int(file.read_text().splitlines()[0])
        if pid not in await asyncio.to_thread(self._started.processes):
            raise NothingToHitError("postmaster")
        os.kill(pid, how)
        return ""

    async def _cut_database(self, fault: Planned) -> str:
        """End connections in the middle of whatever they do: all of them, or those of one shard."""
        names = ["order-shard-0", "order-shard-1", "%"]
        name = names[int(fault.pick * len(names))]
        await self._ask_database(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and application_name like $1",
            name,
        )
        return name

    async def _crowd_database(self, fault: Planned) -> str:
        """Take every connection that is left, so that nobody gets another."""
        taken: list[Any] = []
        try:
            while len(taken) < CONNECTIONS_MAX:
                taken.append(await asyncpg.connect(self._endpoints["database"], timeout=STATEMENT_LIMIT_S))
        except (asyncpg.PostgresError, OSError, TimeoutError):
            await asyncio.sleep(fault.lasts_s)
        finally:
            for connection in taken:
                connection.terminate()
        return f"{len(taken)} connections"

    async def _refuse_writes(self, fault: Planned) -> str:
        """Whatever would write is refused, as by a disk that is full; reading goes on."""
        await self._ask_database("alter system set default_transaction_read_only = on")
        await self._ask_database("select pg_reload_conf()")
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            await self._allow_writes()
        return ""

    async def _allow_writes(self) -> None:
        async with asyncio.timeout(PROGRAM_LIMIT_S):
            while True:
                with contextlib.suppress(asyncpg.PostgresError, OSError):
                    await self._ask_database("alter system reset default_transaction_read_only")
                    await self._ask_database("select pg_reload_conf()")
                    return
                await asyncio.sleep(TRY_AGAIN_S)

    async def _ask_database(self, sql: str, *arguments: object) -> list[Any]:
        connection: Any = await asyncpg.connect(
            self._endpoints["database"],
            timeout=STATEMENT_LIMIT_S,
            command_timeout=STATEMENT_LIMIT_S,
            server_settings={"default_transaction_read_only": "off"},
        )
        try:
            rows: list[Any] = await connection.fetch(sql, *arguments)
            return rows
        finally:
            await connection.close()

    async def _cut_broker(self, _: Planned) -> str:
        """Close every connection from the broker's side: what was on its way, confirms too, is lost."""
        await self._erlang('rabbit_networking:close_connections(rabbit_networking:connections(), "cut").')
        return ""

    async def _alarm_broker(self, fault: Planned) -> str:
        """The broker is short of memory: it takes nothing from publishers for a while."""
        await self._erlang("vm_memory_monitor:set_vm_memory_high_watermark(0.00001).")
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            await self._erlang("vm_memory_monitor:set_vm_memory_high_watermark(0.9).")
        return ""

    async def _erlang(self, expression: str) -> None:
        """Run an expression in the broker, with the environment and the programs of the broker itself."""
        pid = await self._choose("broker", 0.0)
        pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        program = shutil.which("erl_call", path=environment["PATH"])
        if program is None:
            raise NothingToHitError("erl_call")
        await _run(
            [program, "-sname", environment["RABBITMQ_NODENAME"], "-e"], environment, expression.encode() + b"\n"
        )

    async def _flush_cache(self, _: Planned) -> str:
        cache = redis.asyncio.Redis.from_url(self._endpoints["redis"], socket_timeout=STATEMENT_LIMIT_S)
        try:
            await cache.flushall()
        except redis.exceptions.RedisError as error:
            raise NothingToHitError(str(error)) from error
        finally:
            await cache.aclose()
        return ""

    # Partners and messages.

    async def _fuzz(self, fault: Planned) -> str:
        return f"{await fuzz(self._endpoints['amqp'], fault.pick)} messages"

    async def _lose_holds(self, fault: Planned) -> str:
        return f"{await self._partners.lose_holds(fault.pick)} holds"

    async def _say_again(self, fault: Planned) -> str:
        return f"{await self._partners.say_again(fault.pick)} events"


async def _run(command: list[str], environment: dict[str, str], told: bytes) -> str:
    """Run a program to its end. Raises ``OSError`` where it failed, ``TimeoutError``."""
    program = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(program.communicate(told), PROGRAM_LIMIT_S)
    except TimeoutError:
        program.kill()
        await program.wait()
        raise
    if program.returncode != 0:
        raise OSError(output.decode(errors="replace")[-300:])
    return output.decode(errors="replace")
