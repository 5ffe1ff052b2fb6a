"""``engine``: sagas of six durable transitions, ours beside row locks, and DBOS and Restate where they are installed.

Every side has its turn at every level in every round; the levels are sagas in flight, the figures medians of rounds.
Restate and DBOS take the five steps after the creation; their creation is the durable start of the workflow itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping

from benchmarks import ours, pgbench, row_locks
from benchmarks.database import make_database, private_postgres
from benchmarks.load import Outcome
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.peers import run as peers_run
from benchmarks.peers.install import install
from benchmarks.program import Run, running
from benchmarks.report import Chart, Report, Series, Table, Target, number
from benchmarks.samples import Latency, latency, middle, middle_latency
from local.postgres import PostgreSQL

LEVELS = (1, 16, 64, 256)
QUICK_LEVELS = (1, 64)
SHARDS = 2
TUNING_CHOICES = (
    row_locks.Tuning(1, 8),
    row_locks.Tuning(2, 8),
    row_locks.Tuning(2, 16),
    row_locks.Tuning(2, 32),
    row_locks.Tuning(3, 24),
)
PGBENCH_CLIENTS = (8, 16)
TARGETS = (
    Target("vs_row_locks_64", 5, at_least=True),
    Target("vs_restate_64", 20, at_least=True),
    Target("vs_dbos_64", 40, at_least=True),
    Target("p99_over_row_locks_p50_64", 2, at_least=False),
    Target("row_locks_of_pgbench", pgbench.HONEST_SHARE_MIN, at_least=True),
)

Results = dict[tuple[str, int], list[Outcome]]


async def measure(options: Options) -> Report:
    """Run all sides; raises ``RuntimeError`` when a side can't be started. Ratios are given where 64 is one of the levels."""
    levels = options.levels or (QUICK_LEVELS if options.quick else LEVELS)
    async with private_postgres() as postgres:
        dsn = await make_database(postgres, "row_locks")
        await row_locks.prepare(dsn)
        tuning = await _tune(dsn, options)
        results: Results = {}
        yardstick: list[float] = []
        async with contextlib.AsyncExitStack() as stack:
            sides = await stack.enter_async_context(_sides(postgres, dsn, tuning, options))
            for _ in range(options.rounds):
                for level in levels:
                    for name, run in sides.items():
                        sagas = _how_many(results.get((name, level), []), level, options)
                        outcome = await run(level, sagas)
                        results.setdefault((name, level), []).append(outcome)
                yardstick.append(await _pgbench(dsn, options))
    return report(results, yardstick, tuning)


@contextlib.asynccontextmanager
async def _sides(
    postgres: PostgreSQL, dsn: str, tuning: row_locks.Tuning, options: Options
) -> AsyncIterator[Mapping[str, Run]]:
    """Start every side; the order is that in which they have their turns."""
    tags = iter(range(1_000_000))

    async def locks(in_flight: int, sagas: int) -> Outcome:
        work = {"in_flight": in_flight, "sagas": sagas, "tag": f"round-{next(tags)}"}
        return await asyncio.to_thread(row_locks.run, dsn, tuning=tuning, **work)  # type: ignore[arg-type]

    async with contextlib.AsyncExitStack() as stack:
        start = {"dsn": await make_database(postgres, "ours"), "shards": SHARDS}
        own = running(sys.executable, "-m", "benchmarks.ours", start=start, environment=ours.environment())
        sides: dict[str, Run] = {"ours": await stack.enter_async_context(own), "row_locks": locks}
        if options.peers:
            peers = await asyncio.to_thread(install)
            theirs = await make_database(postgres, "dbos")
            sides["dbos"] = await stack.enter_async_context(peers_run.dbos(peers, theirs))
            if peers.restate_server is not None:
                sides["restate"] = await stack.enter_async_context(peers_run.restate(peers))
        for run in sides.values():
            await run(4, 20)  # connections, caches and compiled statements are made before anything is timed
        yield sides


async def _tune(dsn: str, options: Options) -> row_locks.Tuning:
    """Try, twice over, how many processes and connections the row locks like best at 64 in flight."""
    rates: dict[row_locks.Tuning, float] = {}
    for turn in range(2):
        for number_of, choice in enumerate(TUNING_CHOICES):
            work = {"sagas": options.size(2000, 500), "tag": f"tune-{turn}-{number_of}"}
            outcome = await asyncio.to_thread(row_locks.run, dsn, in_flight=64, tuning=choice, **work)  # type: ignore[arg-type]
            rates[choice] = max(outcome.rate, rates.get(choice, 0.0))
    return max(rates, key=rates.__getitem__)


async def _pgbench(dsn: str, options: Options) -> float:
    """Take the best that pgbench reaches with any number of clients tried."""
    seconds = options.size(5, 2)
    return max(
        [await asyncio.to_thread(pgbench.run, dsn, clients=clients, seconds=seconds) for clients in PGBENCH_CLIENTS]
    )


def _how_many(earlier: list[Outcome], level: int, options: Options) -> int:
    """Choose so many sagas that a turn takes some seconds, from how fast this side was before."""
    seconds = options.size(6, 2)
    least = max(2 * level, options.size(200, 40))
    return least if not earlier else max(least, min(20_000, int(earlier[-1].rate * seconds)))


def report(results: Results, yardstick: list[float], tuning: row_locks.Tuning) -> Report:
    """Make figures, tables and pictures of the outcomes by (side, level)."""
    rates = {key: middle([one.rate for one in outcomes]) for key, outcomes in results.items()}
    latencies = {
        key: middle_latency([latency(one.samples()) for one in outcomes if one.done])
        for key, outcomes in results.items()
    }
    figures: dict[str, float] = {f"{side}_{level}": rate for (side, level), rate in rates.items()}
    figures |= {f"{side}_p99_ms_{level}": one.p99_ms for (side, level), one in latencies.items()}
    figures["pgbench"] = middle(yardstick)
    notes = [f"row locks: {tuning.processes} processes, {tuning.connections} connections"]
    if ("ours", 64) in rates:
        honest = rates[("row_locks", 64)] / figures["pgbench"]
        figures |= {"row_locks_of_pgbench": honest, "vs_pgbench_64": rates[("ours", 64)] / figures["pgbench"]}
        notes.append(f"row locks with 64 in flight: {honest:.2f} of pgbench")
        if honest < pgbench.HONEST_SHARE_MIN:
            notes.append("VOID: the row locks reach less than 0.7 of pgbench, so no ratio to them is given")
        else:
            figures["vs_row_locks_64"] = rates[("ours", 64)] / rates[("row_locks", 64)]
            figures["p99_over_row_locks_p50_64"] = latencies[("ours", 64)].p99_ms / latencies[("row_locks", 64)].p50_ms
        for side in ("restate", "dbos"):
            if (side, 64) in rates:
                figures[f"vs_{side}_64"] = rates[("ours", 64)] / rates[(side, 64)]
    return Report(
        name="engine",
        machine=describe(),
        figures=figures,
        targets=TARGETS,
        tables=(_table(rates, latencies, results),),
        charts=(_chart(rates),),
        notes=tuple(notes),
    )


def _table(
    rates: Mapping[tuple[str, int], float], latencies: Mapping[tuple[str, int], Latency], results: Results
) -> Table:
    rows = tuple(
        (
            f"{side}, {level} in flight",
            number(rate),
            number(latencies[(side, level)].p50_ms),
            number(latencies[(side, level)].p99_ms),
            str(sum(one.failed for one in results[(side, level)])),
        )
        for (side, level), rate in sorted(rates.items(), key=lambda item: (item[0][1], -item[1]))
    )
    return Table("sagas of six durable transitions", ("engine", "sagas/s", "p50 ms", "p99 ms", "failed"), rows)


def _chart(rates: Mapping[tuple[str, int], float]) -> Chart:
    sides = list(dict.fromkeys(side for side, _ in rates))
    series = []
    for side in sides:
        points = sorted((level, rate) for (name, level), rate in rates.items() if name == side)
        series.append(Series(side, tuple(float(x) for x, _ in points), tuple(y for _, y in points)))
    return Chart(title="durable sagas", x_label="in flight", y_label="sagas a second", series=tuple(series))
