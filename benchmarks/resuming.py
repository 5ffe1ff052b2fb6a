"""The second half of ``recovery``: a service starts with 100,000 active orders, and a shard of it crashes while it takes them up.

Half of them are past their deadline and have to be cancelled, a tenth waited for a partner when everything ended, the others only
have to be there. How soon is a command to one of them answered, how many are taken up a second, how much memory does it take?
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg

from benchmarks import service
from benchmarks.audience import audience
from benchmarks.client import request_bytes
from benchmarks.database import make_database, private_postgres
from benchmarks.filled import BEGUN, PREPARED, VALIDATED, fill
from benchmarks.memory import watching
from benchmarks.options import Options
from benchmarks.probing import Probe, not_committed, until_answered
from benchmarks.processes import Group
from benchmarks.report import Chart, Series, Table, Target, number
from benchmarks.shop import SHIPPED
from benchmarks.tallied import Tallied
from benchmarks.wounds import Wounds, kill
from domain.slices import PARTITIONS, partition_of
from storage.migrate import migrate

SHARDS = 2
CONNECTIONS = 256
ANSWER_LIMIT_S = 60.0
DONE_LIMIT_S = 900.0
LOOK_EVERY_S = 1.0
LONG_AGO = timedelta(days=1)
PROBED_MAX_ORDERS = 2000
LEFT = "select count(*) from orders where is_running or status in ('created', 'cancelling') or deadline < clock_timestamp()"
IDS = "select id::text from orders where status = 'prepared' and not is_running limit $1"
NOW = "select extract(epoch from clock_timestamp())::float8 as now"
# From before the service starts: when each partition was taken or given last.
TAKINGS = """
create table takings (partition text primary key, at timestamptz not null);
create function note_taking() returns trigger language plpgsql as $$
begin
    insert into takings values (new.partition, clock_timestamp())
    on conflict (partition) do update set at = excluded.at;
    return null;
end $$;
create trigger taken after update on partitions for each row when (new.process is not null) execute function note_taking();
"""
TAKEN = "select count(*) as partitions, extract(epoch from max(at))::float8 as at from takings"
STORED = "select count(*) from orders where created_at < to_timestamp($1)"
TARGETS = (
    Target("start_answered_s", 5, at_least=False),
    Target("crash_answered_s", 5, at_least=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """``left``: (seconds since the shards took over, orders that are still to be taken up), over time. Bytes are of one shard."""

    orders: int
    to_resume: int
    start_answered_s: float
    crash_answered_s: float
    left_at_crash: int
    left: Sequence[tuple[float, int]]
    peak_bytes: int
    lost: int
    not_committed: int

    @property
    def seconds(self) -> float:
        """How long it took to take them all up."""
        return self.left[-1][0]

    def figures(self) -> dict[str, float]:
        """The figures of the report."""
        return {
            "start_orders": float(self.orders),
            "start_answered_s": self.start_answered_s,
            "crash_answered_s": self.crash_answered_s,
            "resumed_per_s": self.to_resume / self.seconds,
            "resume_seconds": self.seconds,
            "resume_peak_mib_a_shard": self.peak_bytes / 2**20,
            "start_not_committed": float(self.not_committed),
        }

    def table(self) -> Table:
        """For people."""
        rows = (
            ("active orders stored", f"{self.orders:,}"),
            ("of them to be taken up (overdue, or waiting for a partner)", f"{self.to_resume:,}"),
            ("first command answered after the shards took over, s", number(self.start_answered_s)),
            (f"... after a shard was killed with {self.left_at_crash:,} still to do, s", number(self.crash_answered_s)),
            ("all taken up after, s", number(self.seconds)),
            ("taken up a second", number(self.to_resume / self.seconds)),
            ("most memory of a shard, MiB", number(self.peak_bytes / 2**20)),
        )
        return Table("a start with much to do", ("what", ""), rows)

    def chart(self) -> Chart:
        """What is left over time."""
        every = max(1, len(self.left) // 12)
        shown = self.left[::every]
        series = Series("to be taken up", tuple(round(s) for s, _ in shown), tuple(float(n) for _, n in shown))
        return Chart(title="a start with much to do", x_label="seconds", y_label="orders", series=(series,))

    def note(self) -> str:
        """What was checked."""
        return f"of {self.orders:,} stored orders {self.lost} are gone; {self.not_committed} answers were not committed"


async def measure(options: Options) -> Resumed:
    """Fill a database, have a service start on it, and kill a shard at once."""
    orders = options.size(100_000, 4000)
    async with private_postgres() as postgres:
        dsn = await make_database(postgres, "resuming")
        await migrate(dsn)
        long_ago = datetime.now(UTC) - LONG_AGO
        await fill(dsn, orders // 2, last=VALIDATED, at=long_ago)
        await fill(dsn, orders // 10, last=BEGUN, at=long_ago)
        await fill(dsn, orders - orders // 2 - orders // 10, last=PREPARED, at=long_ago)
        connection = await asyncpg.connect(dsn)
        stored = await connection.fetchval(STORED, time.time())
        to_resume = await connection.fetchval(LEFT)
        await connection.execute(TAKINGS)
        await connection.close()
        with service.started({"SHARDS": str(SHARDS), "DATABASE_URL": dsn}) as running:
            return await _follow(running, stored, to_resume)


async def _follow(running: service.Service, stored: int, to_resume: int) -> Resumed:
    wounds = Wounds(running)
    endpoints = running.endpoints
    async with (
        audience(endpoints.amqp),
        Tallied(endpoints.api, CONNECTIONS) as prober,
        watching(running.state) as memory,
    ):
        ids = [row["id"] for row in await wounds.ask(IDS, PROBED_MAX_ORDERS)]
        taken_s = await _taken_s(wounds)
        ahead_s = (await wounds.ask(NOW))[0]["now"] - time.monotonic()
        started = await until_answered(prober, _probes(endpoints.token, ids), taken_s - ahead_s, ANSWER_LIMIT_S)
        owners = await wounds.owners()
        victim = next(iter(owners.values()))
        partitions = {partition for partition, owner in owners.items() if owner.process == victim.process}
        left_at_crash = (await wounds.ask(LEFT))[0]["count"]
        pid = wounds.shard(victim)
        began_s = time.monotonic()
        kill(pid)
        ids = [order_id for order_id in ids if partition_of(order_id) in partitions]
        crashed = await until_answered(prober, _probes(endpoints.token, ids), began_s, ANSWER_LIMIT_S)
        left: list[tuple[float, int]] = []
        while not left or left[-1][1]:
            left.append((time.monotonic() + ahead_s - taken_s, (await wounds.ask(LEFT))[0]["count"]))
            if left[-1][0] > DONE_LIMIT_S:
                raise RuntimeError(f"{left[-1][1]} orders are not taken up after {DONE_LIMIT_S:g} s")
            await asyncio.sleep(LOOK_EVERY_S)
        there = (await wounds.ask(STORED, taken_s))[0]["count"]
    return Resumed(
        orders=stored,
        to_resume=to_resume,
        start_answered_s=started.seconds,
        crash_answered_s=crashed.seconds,
        left_at_crash=left_at_crash,
        left=left,
        peak_bytes=memory.peaks()[Group.SHARDS],
        lost=stored - there,
        not_committed=await not_committed(endpoints.database, started.promised + crashed.promised),
    )


async def _taken_s(wounds: Wounds) -> float:
    """Return when every partition has an owner: since when, by the database's clock."""
    while True:
        (taken,) = await wounds.ask(TAKEN)
        if taken["partitions"] == PARTITIONS:
            at_s: float = taken["at"]
            return at_s
        await asyncio.sleep(LOOK_EVERY_S)


def _probes(token: str, ids: Sequence[str]) -> Iterator[Probe]:
    """Have orders shipped; to ship twice is no offence, but it is refused, so each comes once a turn."""
    for order_id in itertools.cycle(ids):
        headers = (("idempotency-key", uuid4().hex),)
        yield (
            order_id,
            request_bytes("PUT", f"/api/orders/{order_id}/status", token=token, body=SHIPPED, headers=headers),
        )
