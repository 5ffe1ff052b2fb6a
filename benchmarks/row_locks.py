"""The other way to keep an order's steps in order: a row lock a step, hand-written with asyncpg, as well as it can be.

Six durable transitions a saga. The first inserts the order with its outbox row in one statement; each later one is a
transaction of four round trips: begin, ``select … for update``, one statement that updates the order and inserts the
outbox row, commit. Prepared statements, connections that are never reset, uvloop, and as many processes and connections
as measure best. ``pgbench`` runs the same statements (benchmarks/pgbench.py): below 0.7 of it, this is void.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

import asyncpg
import msgspec
import uvloop
from asyncpg.prepared_stmt import PreparedStatement

from benchmarks.load import Outcome
from benchmarks.traffic import event_of, order_document

STATUSES = ("created", "validated", "paid", "confirmed", "prepared", "shipped")
START_TIMEOUT_S = 60.0
# Python's own default looks for garbage after every 700 new objects, which here is every few steps and finds none.
GC_THRESHOLD = 50_000

SCHEMA = """
create table orders (id text primary key, version int not null, status text not null, total bigint not null,
    snapshot bytea not null, updated_at timestamptz not null default clock_timestamp()) with (fillfactor = 70);
create table outbox (order_id text not null, seq int not null, type text not null, body bytea not null,
    published boolean not null default false, primary key (order_id, seq));
"""
INSERT = """
with created as (insert into orders (id, version, status, total, snapshot) values ($1, 1, $2, $3, $4) returning id)
insert into outbox (order_id, seq, type, body) select id, 1, $5, $6 from created"""
LOCK = "select version, status, snapshot from orders where id = $1 for update"
UPDATE = """
with moved as (
    update orders set version = $2, status = $3, total = $4, snapshot = $5, updated_at = clock_timestamp()
    where id = $1 returning id)
insert into outbox (order_id, seq, type, body) select id, $2, $6, $7 from moved"""

_started: Barrier | None = None


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the work is spread: client processes, and connections in all of them together."""

    processes: int
    connections: int


@dataclass(frozen=True, slots=True)
class Work:
    """One process' share. ``tag`` keeps the order ids of rounds and processes apart."""

    dsn: str
    sagas: int
    in_flight: int
    connections: int
    tag: str


@dataclass(frozen=True, slots=True)
class Span:
    """What a process did, with its start and end on the machine's monotonic clock."""

    started_at: float
    ended_at: float
    latencies_s: list[float]


@dataclass(slots=True)
class Saga:
    """A saga on its way: ``step`` is the next of ``STATUSES``."""

    order_id: str
    started_at: float
    step: int = 0


class Seat:
    """A connection with its prepared statements; one saga step at a time sits on it."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        insert: PreparedStatement,
        lock: PreparedStatement,
        update: PreparedStatement,
    ) -> None:
        self._connection = connection
        self._insert = insert
        self._lock = lock
        self._update = update

    @classmethod
    async def open(cls, dsn: str) -> Seat:
        """Connect and prepare."""
        connection = await asyncpg.connect(dsn)
        prepared = [await connection.prepare(statement) for statement in (INSERT, LOCK, UPDATE)]
        return cls(connection, *prepared)

    async def create(self, order_id: str) -> None:
        """Commit the first transition."""
        document = order_document(order_id, 1, STATUSES[0])
        total = document["totals"]["total"]
        event = msgspec.json.encode(event_of(document))
        await self._insert.fetch(order_id, STATUSES[0], total, msgspec.json.encode(document), "PedidoCreado", event)

    async def advance(self, order_id: str, status: str) -> None:
        """Commit the next transition: read under the lock, decide, write."""
        await self._connection.execute("begin")
        row = (await self._lock.fetch(order_id))[0]
        document = msgspec.json.decode(row["snapshot"])
        version = row["version"] + 1
        document["version"], document["status"] = version, status
        event = msgspec.json.encode(event_of(document))
        body = msgspec.json.encode(document)
        total = document["totals"]["total"]
        await self._update.fetch(order_id, version, status, total, body, "PedidoActualizado", event)
        await self._connection.execute("commit")

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()


async def prepare(dsn: str) -> None:
    """Make the tables in an empty database."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(SCHEMA)
    finally:
        await connection.close()


def run(dsn: str, *, in_flight: int, sagas: int, tuning: Tuning, tag: str) -> Outcome:
    """Run ``sagas`` whole sagas, ``in_flight`` at a time over all processes; one latency a saga."""
    processes = min(tuning.processes, in_flight)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    works = [
        Work(dsn, sagas // processes, in_flight // processes, max(1, tuning.connections // processes), f"{tag}-{index}")
        for index in range(processes)
    ]
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_remember, initargs=(barrier,)) as pool:
        spans = list(pool.map(_share, works))
    seconds = max(span.ended_at for span in spans) - min(span.started_at for span in spans)
    return Outcome(latencies_s={"saga": [one for span in spans for one in span.latencies_s]}, failed=0, seconds=seconds)


def _remember(barrier: Barrier) -> None:
    global _started  # noqa: PLW0603  a barrier can only be inherited, not sent
    _started = barrier


def _share(work: Work) -> Span:
    return uvloop.run(_sagas(work))


async def _sagas(work: Work) -> Span:
    """Run this process' share. Each connection takes the saga that has waited longest and does its next step."""
    count = min(work.connections, work.in_flight)
    seats = [await Seat.open(work.dsn) for _ in range(count)]
    latencies_s: list[float] = []
    unstarted = iter(range(work.sagas))
    waiting: deque[Saga] = deque()

    def begin() -> None:
        for index in unstarted:
            waiting.append(Saga(f"{work.tag}-{index}", time.monotonic()))
            return

    async def sit(seat: Seat) -> None:
        while waiting:
            saga = waiting.popleft()
            await (seat.advance(saga.order_id, STATUSES[saga.step]) if saga.step else seat.create(saga.order_id))
            saga.step += 1
            if saga.step < len(STATUSES):
                waiting.append(saga)
            else:
                latencies_s.append(time.monotonic() - saga.started_at)
                begin()

    gc.set_threshold(GC_THRESHOLD)
    assert _started is not None
    await asyncio.to_thread(_started.wait, START_TIMEOUT_S)
    started_at = time.monotonic()
    for _ in range(work.in_flight):
        begin()
    await asyncio.gather(*(sit(seat) for seat in seats))
    ended_at = time.monotonic()
    for seat in seats:
        await seat.close()
    return Span(started_at, ended_at, latencies_s)
