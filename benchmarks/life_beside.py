"""``life --beside PATH``: whole lives over REST, with events on RabbitMQ, of this project and of another service, in turns.

Each side has its turn alone, on servers that were made for that turn; clients, partners and servers are the same. A level is
a number of clients, each of which begins its next life when the last is over. A level's rate is counted, and its CPU, until
the last event of its last life has come. With ``--open``, more turns follow at constant rates that both sides can carry.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import spending
from benchmarks.audience import audience
from benchmarks.comparison import BESIDE, NO_WORSE_MIN, OURS, RATIO, Comparison, Figures, compare, medians
from benchmarks.last_events import LastEvents, last_events
from benchmarks.load import Outcome, closed_loop, closed_loop_for, open_loop
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.postgres_work import TOLD_LATE_MAX_S, Work, work
from benchmarks.processes import Group
from benchmarks.report import Chart, Report, Series, Table, Target
from benchmarks.samples import percentile
from benchmarks.sides import ONE_PART, RunningSide, Side, alone
from benchmarks.spending import Spent
from benchmarks.tallied import Patient, Tallied
from benchmarks.timed_lives import LIFE, OPERATIONS, TimedLives
from local.speech import say
from local.state import PROJECT

LEVELS = (1, 16, 64, 256)
QUICK_LEVELS = (1, 16)
SHARES = (25, 50, 75)
CONNECTIONS = 1024
WARM_UP_IN_FLIGHT = 32
PATIENCE_S = 20.0
EVENTS_LIMIT_S = 30.0
EVENT = "last event"
PARTS = (ONE_PART, *Group)
# Held to the first release of this project.
CHECKOUT_TARGETS = tuple(Target(f"{RATIO}.lives_per_s_{level}", NO_WORSE_MIN, at_least=True) for level in LEVELS)
# Held to a service that a team would write by hand.
COMMAND_TARGETS = (
    *(
        Target(f"{RATIO}.lives_per_s_{level}", bound, at_least=True)
        for level, bound in zip(LEVELS, (1.1, 1.3, 1.7, 2.2), strict=True)
    ),
    Target(f"{RATIO}.cpu_ms_1", 0.9, at_least=False),
    Target(f"{RATIO}.cpu_ms_16", 0.8, at_least=False),
    Target(f"{RATIO}.cpu_ms_256", 0.45, at_least=False),
    Target(f"{OURS}.idle_cpu_ms", 40, at_least=False),
    Target(f"{OURS}.idle_mb", 1300, at_least=False),
    Target(f"{RATIO}.p50_ms_create_1", 0.9, at_least=False),
    Target(f"{RATIO}.p50_ms_pay_1", 0.9, at_least=False),
    Target(f"{RATIO}.cpu_ms_postgres_64", 0.35, at_least=False),
    Target(f"{RATIO}.wal_kib_64", 0.7, at_least=False),
    Target(f"{RATIO}.p99_ms_life_64", 0.6, at_least=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One side's service as it runs in its turn, and what asks and watches it."""

    running: RunningSide
    lives: TimedLives
    client: Tallied
    events: LastEvents


async def measure(options: Options) -> Report:
    """Run both sides in turns. Raises ``LocalError`` when one does not start, ``RuntimeError`` when no life gets to its end."""
    assert options.beside is not None
    sides = (Side(OURS, PROJECT), Side(BESIDE, options.beside, tuple(shlex.split(options.beside_command))))
    levels = options.levels or (QUICK_LEVELS if options.quick else LEVELS)
    turns: dict[str, list[Figures]] = {side.name: [] for side in sides}
    for number_of in range(1, options.rounds + 1):
        for side in sides:
            say(f"life: round {number_of} of {options.rounds}, {side.name}")
            turns[side.name].append(await _closed_turn(side, levels, options))
    best_per_s = min(_best_per_s(medians(every), levels) for every in turns.values())
    opened: dict[str, list[Figures]] = {side.name: [{}] for side in sides}
    if options.open_rates:
        opened = {side.name: [] for side in sides}
        for number_of in range(1, options.rounds + 1):
            for side in sides:
                say(f"life: round {number_of} of {options.rounds} at constant rates, {side.name}")
                opened[side.name].append(await _open_turn(side, best_per_s, options))
    compared = compare(turns)
    at_rates = compare(opened)
    compared = Comparison(compared.ours | at_rates.ours, compared.beside | at_rates.beside)
    return report(compared, levels, best_per_s, is_checkout=not options.beside_command)


def _best_per_s(figures: Mapping[str, float], levels: Sequence[int]) -> float:
    return max(figures[f"lives_per_s_{level}"] for level in levels)


@contextlib.asynccontextmanager
async def _turn(side: Side, options: Options) -> AsyncIterator[Turn]:
    """Start a side and warm it up."""
    async with (
        alone(side) as running,
        audience(running.amqp),
        last_events(running.amqp) as events,
        Tallied(running.api, CONNECTIONS) as client,
    ):
        lives = TimedLives(Patient(client, patience_s=PATIENCE_S), running.token)
        await closed_loop(lives.life_from(0), total=options.size(300, 60), in_flight=WARM_UP_IN_FLIGHT)
        if not lives.delivered_at_s:
            raise RuntimeError(f"{side.name}: no life got to its end: {lives.refusals.most_common(3)}")
        await events.until_seen(lives.delivered_at_s, EVENTS_LIMIT_S)
        yield Turn(running=running, lives=lives, client=client, events=events)


async def _closed_turn(side: Side, levels: Sequence[int], options: Options) -> Figures:
    async with _turn(side, options) as turn:
        figures = await _idle(turn.running, options)
        for number_of, level in enumerate(levels, 1):
            figures |= _named(await _level(turn, level, number_of * 10_000_000, options), level)
    return figures


async def _open_turn(side: Side, best_per_s: float, options: Options) -> Figures:
    figures: Figures = {}
    async with _turn(side, options) as turn:
        for number_of, share in enumerate(SHARES, 1):
            _begin(turn)
            outcome = await open_loop(
                turn.lives.life_from(number_of * 10_000_000),
                rate_per_s=best_per_s * share / 100,
                seconds=options.size(20, 4),
            )
            missing = await turn.events.until_seen(turn.lives.delivered_at_s, EVENTS_LIMIT_S)
            # A life is timed from when it was meant to begin.
            latencies_s = _latencies_s(turn) | {LIFE: outcome.samples()}
            found = latencies(latencies_s) | {"failed": float(outcome.failed + missing)}
            figures |= _named(found, f"at_{share}")
    return figures


async def _idle(running: RunningSide, options: Options) -> Figures:
    """What it costs a second, and takes of the memory, with nothing under way."""
    before, began_s = spending.spent(running.trees), time.perf_counter()
    await asyncio.sleep(_pause_s(options))
    seconds = time.perf_counter() - began_s
    costs = spending.since(spending.spent(running.trees), before)
    memory = spending.memory_bytes(running.trees)
    figures = {f"idle_cpu_ms_{part}": one.cpu_s * 1000 / seconds for part, one in costs.items()}
    figures |= {f"idle_mb_{part}": taken / 2**20 for part, taken in memory.items()}
    figures["idle_cpu_ms"] = sum(one.cpu_s for one in costs.values()) * 1000 / seconds
    figures["idle_mb"] = sum(memory.values()) / 2**20
    return figures


def _pause_s(options: Options) -> float:
    """So long nothing is asked for: PostgreSQL's figures come late. In a quick look they may be wrong."""
    return 1.0 if options.quick else TOLD_LATE_MAX_S


def _begin(turn: Turn) -> None:
    turn.lives.begin()
    turn.events.seen_at_s.clear()
    turn.client.statuses.clear()


async def _level(turn: Turn, level: int, first: int, options: Options) -> Figures:
    """So many clients for some seconds."""
    _begin(turn)
    running = turn.running
    done_before = await work(running.database)
    before = spending.spent(running.trees)
    own_before, began_s = time.process_time(), time.perf_counter()
    outcome = await closed_loop_for(turn.lives.life_from(first), seconds=options.size(10, 2), in_flight=level)
    missing = await turn.events.until_seen(turn.lives.delivered_at_s, EVENTS_LIMIT_S)
    costs = spending.since(spending.spent(running.trees), before)
    own_s = time.process_time() - own_before
    if not outcome.done:
        raise RuntimeError(f"no life got to its end: {turn.lives.refusals.most_common(3)}")
    wal_bytes = (await work(running.database)).wal_bytes - done_before.wal_bytes
    await asyncio.sleep(_pause_s(options))
    done = await work(running.database) - done_before
    seconds = max([began_s + outcome.seconds, *turn.events.seen_at_s.values()]) - began_s
    figures = of_a_life(outcome, seconds, costs, Work(wal_bytes, done.fsyncs, done.pages))
    refused = sum(turn.client.statuses[status] for status in (429, 503))
    return (
        figures
        | latencies(_latencies_s(turn))
        | {
            "failed": float(outcome.failed + missing),
            "refused": float(refused),
            "client_cpu_ms": own_s * 1000 / outcome.done,
        }
    )


def _latencies_s(turn: Turn) -> dict[str, list[float]]:
    """By operation; the last event's from the answer to the delivery: nothing where the event came first."""
    seen_at_s = turn.events.seen_at_s
    delivered = turn.lives.delivered_at_s.items()
    lags_s = [max(0.0, seen_at_s[order_id] - at_s) for order_id, at_s in delivered if order_id in seen_at_s]
    return {**turn.lives.latencies_s, EVENT: lags_s}


def of_a_life(outcome: Outcome, seconds: float, costs: Mapping[str, Spent], done: Work) -> Figures:
    """What one life cost of what all of them did; ``seconds``: from the first request to the last event."""
    lives = outcome.done
    figures = {"lives_per_s": lives / seconds}
    for part, one in costs.items():
        figures[f"cpu_ms_{part}"] = one.cpu_s * 1000 / lives
        figures[f"user_ms_{part}"] = one.user_s * 1000 / lives
        figures[f"system_ms_{part}"] = one.system_s * 1000 / lives
        figures[f"switches_{part}"] = one.switches / lives
    for name in ("cpu_ms", "user_ms", "system_ms", "switches"):
        figures[name] = sum(figures[f"{name}_{part}"] for part in costs)
    figures["wal_kib"] = done.wal_bytes / 1024 / lives
    figures["fsyncs"] = done.fsyncs / lives
    figures["pages"] = done.pages / lives
    return figures


def latencies(latencies_s: Mapping[str, Sequence[float]]) -> Figures:
    """p50 and p99 of each operation that was done, in milliseconds."""
    figures: Figures = {}
    for operation, samples in latencies_s.items():
        if samples:
            ordered = sorted(samples)
            name = operation.replace(" ", "_")
            figures[f"p50_ms_{name}"] = percentile(ordered, 50) * 1000
            figures[f"p99_ms_{name}"] = percentile(ordered, 99) * 1000
    return figures


def _named(figures: Mapping[str, float], suffix: int | str) -> Figures:
    return {f"{key}_{suffix}": figure for key, figure in figures.items()}


def report(compared: Comparison, levels: Sequence[int], best_per_s: float, *, is_checkout: bool) -> Report:
    """Lay both sides beside each other, and hold the ratios to their targets where their levels were measured."""
    figures = compared.figures()
    tables = [compared.table("whole lives", _rows(levels, SUMMARY)), *_tables(compared, levels)]
    notes = [
        "medians of turns; 3 lines an order; CPU without the clients'; idle with servers and partners, its memory as PSS",
        "a creation counts until it is validated, a payment until it is prepared",
    ]
    if any(f"failed_at_{share}" in compared.ours for share in SHARES):
        notes.append(f"constant rates: shares of {best_per_s:.1f} lives a second, the best of the slower side")
    failed = sum(figure for key, figure in figures.items() if key.split(".")[-1].startswith("failed"))
    if failed:
        notes.append("SOME LIVES BROKE OFF (see failed): costs are shared among those that did not")
    every = CHECKOUT_TARGETS if is_checkout else COMMAND_TARGETS
    return Report(
        name="life_beside",
        machine=describe(),
        figures=figures,
        targets=tuple(target for target in every if _is_measured(target, levels)),
        tables=tuple(tables),
        charts=(_chart(compared, levels),),
        notes=tuple(notes),
    )


SUMMARY = (
    ("lives a second", "lives_per_s"),
    ("CPU of a life, ms", "cpu_ms"),
    ("p50 of a life, ms", "p50_ms_life"),
    ("p99 of a life, ms", "p99_ms_life"),
    ("failed", "failed"),
    ("refused, asked again", "refused"),
)
SERVERS = (
    ("PostgreSQL's CPU, ms", f"cpu_ms_{Group.POSTGRES}"),
    ("PostgreSQL's WAL, KiB", "wal_kib"),
    ("PostgreSQL's fsyncs", "fsyncs"),
    ("PostgreSQL's pages touched", "pages"),
    ("RabbitMQ's CPU, ms", f"cpu_ms_{Group.RABBITMQ}"),
)


def _rows(levels: Iterable[int], wanted: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"{label}: {level}", f"{key}_{level}") for label, key in wanted for level in levels]


def _tables(compared: Comparison, levels: Sequence[int]) -> list[Table]:
    parts = [
        part for part in PARTS if any(f"cpu_ms_{part}_{levels[0]}" in one for one in (compared.ours, compared.beside))
    ]
    tables = [compared.table("what a life costs the servers", _rows(levels, SERVERS))]
    for level in levels:
        rows = []
        for key, label in (("user_ms", "user ms"), ("system_ms", "system ms"), ("switches", "context switches")):
            rows += [(f"{part}, {label}", f"{key}_{part}_{level}") for part in parts]
            rows.append((f"everything, {label}", f"{key}_{level}"))
        rows.append(("(the clients), CPU ms", f"client_cpu_ms_{level}"))
        tables.append(compared.table(f"CPU of a life by process, {level} at once", rows))
    for title, suffixes in (
        ("latency in ms, clients at once", [(str(level), str(level)) for level in levels]),
        ("latency in ms at a constant rate, % of the best", [(f"{share} %", f"at_{share}") for share in SHARES]),
    ):
        rows = [
            (f"{operation} {quantile}: {label}", f"{quantile}_ms_{operation.replace(' ', '_')}_{suffix}")
            for label, suffix in suffixes
            for operation in (*OPERATIONS, EVENT)
            for quantile in ("p50", "p99")
        ]
        rows += [(f"failed: {label}", f"failed_{suffix}") for label, suffix in suffixes if suffix.startswith("at_")]
        table = compared.table(title, rows)
        if table.rows:
            tables.append(table)
    idle = [
        (f"{part or 'everything'}, {label}", f"{key}_{part}".rstrip("_"))
        for key, label in (("idle_cpu_ms", "CPU ms a second"), ("idle_mb", "MiB"))
        for part in (*parts, "")
    ]
    tables.append(compared.table("idle", idle))
    return tables


def _is_measured(target: Target, levels: Sequence[int]) -> bool:
    last = target.key.rsplit("_", 1)[1]
    return not last.isdigit() or int(last) in levels


def _chart(compared: Comparison, levels: Sequence[int]) -> Chart:
    series = tuple(
        Series(name, tuple(map(float, levels)), tuple(figures[f"lives_per_s_{level}"] for level in levels))
        for name, figures in ((OURS, compared.ours), (BESIDE, compared.beside))
    )
    return Chart(title="whole lives", x_label="clients at once", y_label="lives a second", series=series)
