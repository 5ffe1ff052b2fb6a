"""``overload``: twice the load that it can carry, for a minute. Is as much done as at the best, in as much memory, and is all kept?

First the best of a closed loop, then an open model at twice that rate: of creations, whose clients take no for an answer, and of
whole lives, whose clients come again when they are told to. A creation is useful when it is validated and its events are published,
so the clock stops when all are; of lives those count that ended in the minute, but for its first third, in which queues fill.
Actors leave memory sooner than by default, so that what grows is not the number of orders held. All connections are made before
the minute begins: each takes some 9 KiB of the API for as long as it is kept, how many there are is the clients' choice, and
opened one by one as answers get slower they would look like a leak.

The clients run on the same cores and ask twice as often: what a second of the service's own CPU did, beside the best, tells what
of a loss is theirs.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import processes, service
from benchmarks.audience import audience
from benchmarks.client import request_bytes
from benchmarks.load import Job, Outcome, closed_loop, closed_loop_for, open_loop
from benchmarks.machine import describe
from benchmarks.memory import watching
from benchmarks.options import Options
from benchmarks.processes import Group, Usage
from benchmarks.report import Chart, Report, Series, Table, Target, number
from benchmarks.samples import latency
from benchmarks.settled import lost, until_resting, until_settled
from benchmarks.shop import Shop
from benchmarks.tallied import Patient, Sender, Tallied

ACTOR_IDLE_S = 10
# The service is not to be spared by our having fewer than it works on at once; with 8,192 it would send whoever else asks away.
CONNECTIONS = 7168
IN_FLIGHT = (64, 256)
TIMES_THE_BEST = 2.0
# The clients of lives come again for 20 s: so long it takes until as many give up as begin.
FILLING_SHARE = 1 / 3
PATIENCE_S = 20.0
# One wake of the client for each request would cost as much as the request, on the cores of the service.
GATHERED_S = 0.005
SETTLE_LIMIT_S = 300.0
TARGETS = (
    Target("create_useful_of_best", 0.9, at_least=True),
    Target("life_useful_of_best", 0.9, at_least=True),
    Target("without_retry_after", 0, at_least=False),
    Target("lost", 0, at_least=False),
    Target("memory_growth", 1.1, at_least=False),
)


@dataclass(slots=True)
class Useful:
    """Counts what succeeds between two moments, both in seconds from its making."""

    job: Job
    from_s: float
    to_s: float
    began_s: float = 0.0
    done: int = 0

    async def run(self, index: int) -> str:
        """Do the job, and note when it ended."""
        name = await self.job(index)
        self.done += bool(name) and self.from_s <= time.monotonic() - self.began_s <= self.to_s
        return name

    @property
    def rate(self) -> float:
        """What succeeded a second between the two."""
        return self.done / (self.to_s - self.from_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overloaded:
    """What came of one kind of load; ``settling_s`` is what was left to do afterwards."""

    best_per_s: float
    asked_per_s: float
    useful_per_s: float
    best_per_cpu_s: float
    useful_per_cpu_s: float
    outcome: Outcome
    statuses: Counter[int]
    without_retry_after: int
    promised: int
    lost: int
    restless: int
    settling_s: float
    growths: dict[Group, float]
    peaks: dict[Group, int]


async def measure(options: Options) -> Report:
    """Creations, then lives."""
    with service.use(options.state, {"ACTOR_IDLE_S": str(ACTOR_IDLE_S)}) as running:
        found = {
            "create": await _overload(running, options, _creations, patience_s=0.0),
            "life": await _overload(running, options, _lives, patience_s=PATIENCE_S),
        }
    return report(found)


def _creations(shop: Shop, first: int) -> Job:
    async def create(index: int) -> str:
        created = await shop.create(first + index)
        return "create" if created.status == 201 else ""

    return create


def _lives(shop: Shop, first: int) -> Job:
    return shop.life_from(first)


async def _overload(
    running: service.Service, options: Options, job_of: Callable[[Shop, int], Job], *, patience_s: float
) -> Overloaded:
    endpoints = running.endpoints
    connections = min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    async with audience(endpoints.amqp), Tallied(endpoints.api, connections) as client:
        shop = Shop(client, endpoints.token)
        await closed_loop(job_of(shop, 0), total=100, in_flight=8)
        best = per_cpu_s = 0.0
        for turn, in_flight in enumerate(IN_FLIGHT, 1):
            before = processes.usage(running.state)
            began_s = time.monotonic()
            job = job_of(shop, turn * 10_000_000)
            closed = await closed_loop_for(job, seconds=options.size(15, 4), in_flight=in_flight)
            await until_settled(endpoints.database, SETTLE_LIMIT_S)
            best = max(best, closed.done / (time.monotonic() - began_s))
            per_cpu_s = max(per_cpu_s, closed.done / _cpu_s(running, before))
        if not best:
            raise RuntimeError(f"nothing succeeded: {shop.refusals.most_common(3)}")
        seconds = float(options.size(60, 10))
        await _connect(client, connections)
        client.statuses.clear()
        asking = Shop(Patient(client, patience_s=patience_s), endpoints.token)
        before = processes.usage(running.state)
        began_s = time.monotonic()
        useful = Useful(job_of(asking, 100_000_000), seconds * FILLING_SHARE, seconds, began_s)
        async with watching(running.state) as memory:
            rate = TIMES_THE_BEST * best
            outcome = await open_loop(useful.run, rate_per_s=rate, seconds=seconds, gathered_s=GATHERED_S)
        ended_s = time.monotonic()
        await until_settled(endpoints.database, SETTLE_LIMIT_S)
        settled_s = time.monotonic()
        restless = await until_resting(endpoints.database, client.promised, SETTLE_LIMIT_S)
        gone = await lost(endpoints.database, client.promised)
    return Overloaded(
        best_per_s=best,
        asked_per_s=TIMES_THE_BEST * best,
        useful_per_s=useful.rate if patience_s else outcome.done / (settled_s - began_s),
        best_per_cpu_s=per_cpu_s,
        useful_per_cpu_s=outcome.done / _cpu_s(running, before),
        outcome=outcome,
        statuses=client.statuses,
        without_retry_after=client.without_retry_after,
        promised=len(client.promised),
        lost=gone,
        restless=restless,
        settling_s=settled_s - ended_s,
        growths=memory.growths(),
        peaks=memory.peaks(),
    )


async def _connect(client: Sender, connections: int) -> None:
    """Make all of a client's connections: each of so many requests at once has one of its own, and leaves it open."""
    request = request_bytes("GET", "/health/live")
    answers = await asyncio.gather(*(client.send(request) for _ in range(connections)))
    if failed := sum(answer.status != 200 for answer in answers):
        raise RuntimeError(f"{failed} of {connections} connections could not be made")


def _cpu_s(running: service.Service, before: Usage) -> float:
    """What the service and its servers have spent since, without the partners."""
    spent = processes.usage(running.state).cpu_since(before)
    return max(1e-9, sum(cpu_s for group, cpu_s in spent.items() if group is not Group.SANDBOX))


def report(found: dict[str, Overloaded]) -> Report:
    """Hold what was useful to the best, and say what the others were told."""
    figures: dict[str, float] = {
        "without_retry_after": float(sum(one.without_retry_after for one in found.values())),
        "lost": float(sum(one.lost for one in found.values())),
        "restless": float(sum(one.restless for one in found.values())),
        "memory_growth": max([0.0, *(ratio for one in found.values() for ratio in one.growths.values())]),
    }
    rows, memory, notes = [], [], []
    for name, one in found.items():
        figures |= _figures(name, one)
        keys = ("best_per_s", "asked_per_s", "useful_per_s", "useful_of_best", "of_best_by_cpu", "p50_ms", "p99_ms")
        rows.append((name, *(number(figures.get(f"{name}_{key}", 0.0)) for key in keys)))
        memory += [
            (f"{name}: {group}", number(peak / 2**20), f"{one.growths.get(group, 0.0):.2f}")
            for group, peak in one.peaks.items()
        ]
        told = ", ".join(f"{status or 'none'}: {count:,}" for status, count in sorted(one.statuses.items()))
        notes.append(
            f"{name}: answers by status {told}; {one.without_retry_after} refusals without Retry-After; "
            f"of {one.promised:,} orders promised {one.lost} are lost, {one.restless} do not rest; "
            f"settled {one.settling_s:.1f} s afterwards"
        )
    columns = ("what", "best/s", "asked/s", "useful/s", "of the best", "by CPU", "p50 ms", "p99 ms")
    return Report(
        name="overload",
        machine=describe(),
        figures=figures,
        targets=TARGETS,
        tables=(
            Table("twice the load that it can carry", columns, tuple(rows)),
            Table("memory of a process", ("process", "most MiB", "end / beginning"), tuple(memory)),
        ),
        charts=(_chart(found),),
        notes=tuple(notes),
    )


def _figures(name: str, one: Overloaded) -> dict[str, float]:
    figures: dict[str, Any] = {
        "best_per_s": one.best_per_s,
        "asked_per_s": one.asked_per_s,
        "useful_per_s": one.useful_per_s,
        "useful_of_best": one.useful_per_s / one.best_per_s,
        "of_best_by_cpu": one.useful_per_cpu_s / one.best_per_cpu_s,
        "settling_s": one.settling_s,
        "not_now": float(one.statuses[429] + one.statuses[503]),
        "unknown": float(one.statuses[504] + one.statuses[0]),
    }
    if samples := one.outcome.samples():
        spoken = latency(samples)
        figures |= {"p50_ms": spoken.p50_ms, "p99_ms": spoken.p99_ms}
    return {f"{name}_{key}": figure for key, figure in figures.items()}


def _chart(found: dict[str, Overloaded]) -> Chart:
    series = tuple(
        Series(name, (1.0, TIMES_THE_BEST), (one.best_per_s, one.useful_per_s)) for name, one in found.items()
    )
    return Chart(title="useful throughput", x_label="load, times the best", y_label="a second", series=series)
