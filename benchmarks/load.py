"""The two ways of asking: closed (so many at a time, as fast as they are answered) and open (at a rate, come what may).

The open one times each request from when it was meant to start, not from when it could: a server that stalls is charged
for everyone who would have come meanwhile (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

LATE_IN_FLIGHT_MAX = 20_000
MEANWHILE_MAX_S = 1800.0

Job = Callable[[int], Awaitable[str]]
"""Does the n-th piece of work and names what it was; an empty name counts as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``latencies_s`` by operation, of what succeeded; ``seconds`` from the first start to the last answer."""

    latencies_s: dict[str, list[float]]
    failed: int
    seconds: float

    @property
    def done(self) -> int:
        """How many succeeded."""
        return sum(len(samples) for samples in self.latencies_s.values())

    @property
    def rate(self) -> float:
        """Give what succeeded a second."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def error_share(self) -> float:
        """Which share failed, of all."""
        everything = self.done + self.failed
        return self.failed / everything if everything else 0.0

    def samples(self) -> list[float]:
        """Every latency, whatever the operation."""
        return [sample for samples in self.latencies_s.values() for sample in samples]


class _Tally:
    def __init__(self) -> None:
        self.latencies_s: dict[str, list[float]] = {}
        self.failed = 0

    async def run(self, job: Job, index: int, started_at: float) -> None:
        name = await job(index)
        if name:
            self.latencies_s.setdefault(name, []).append(time.perf_counter() - started_at)
        else:
            self.failed += 1


async def closed_loop(job: Job, *, total: int, in_flight: int) -> Outcome:
    """Do ``total`` jobs, ``in_flight`` at a time."""
    tally = _Tally()
    indexes = iter(range(total))

    async def worker() -> None:
        for index in indexes:
            await tally.run(job, index, time.perf_counter())

    began_at = time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for _ in range(min(in_flight, total)):
            workers.create_task(worker())
    return Outcome(latencies_s=tally.latencies_s, failed=tally.failed, seconds=time.perf_counter() - began_at)


async def open_loop(
    job: Job, *, rate_per_s: float, seconds: float, gathered_s: float = 0.0, stopped: asyncio.Event | None = None
) -> Outcome:
    """Start jobs evenly at ``rate_per_s`` for ``seconds``, or until it is ``stopped``.

    One beyond ``LATE_IN_FLIGHT_MAX`` counts as failed. ``gathered_s``: what is due within so long starts together, at its end;
    a client that shares its cores with what it measures takes less of them so.
    """
    tally = _Tally()
    total = int(rate_per_s * seconds)
    began_at = time.perf_counter()
    running: set[asyncio.Task[None]] = set()
    for index in range(total):
        if stopped is not None and stopped.is_set():
            break
        intended_at = began_at + index / rate_per_s
        wait_s = intended_at - time.perf_counter()
        if wait_s > 0 or index % 64 == 0:
            await asyncio.sleep(wait_s + gathered_s if wait_s > 0 else 0)
        if len(running) >= LATE_IN_FLIGHT_MAX:
            tally.failed += 1
            continue
        task = asyncio.create_task(tally.run(job, index, intended_at))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return Outcome(latencies_s=tally.latencies_s, failed=tally.failed, seconds=time.perf_counter() - began_at)


@contextlib.asynccontextmanager
async def meanwhile(job: Job, rate_per_s: float) -> AsyncIterator[list[Outcome]]:
    """Have jobs done at a rate meanwhile; what came of them is in the list afterwards."""
    stopped = asyncio.Event()
    outcomes: list[Outcome] = []
    load = asyncio.create_task(open_loop(job, rate_per_s=rate_per_s, seconds=MEANWHILE_MAX_S, stopped=stopped))
    try:
        yield outcomes
    finally:
        stopped.set()
        outcomes.append(await load)


async def closed_loop_for(job: Job, *, seconds: float, in_flight: int) -> Outcome:
    """Do jobs, ``in_flight`` at a time, and start none after ``seconds``."""
    tally = _Tally()
    began_at = time.perf_counter()
    numbers = itertools.count()

    async def worker() -> None:
        while time.perf_counter() - began_at < seconds:
            await tally.run(job, next(numbers), time.perf_counter())

    async with asyncio.TaskGroup() as workers:
        for _ in range(in_flight):
            workers.create_task(worker())
    return Outcome(latencies_s=tally.latencies_s, failed=tally.failed, seconds=time.perf_counter() - began_at)
