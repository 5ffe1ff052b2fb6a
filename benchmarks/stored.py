"""``stored``: does it get slower with what is stored? The engine and the lists, with next to nothing and with a million orders.

The small database holds a thousand, so that every page of a list is full there too: an empty page would be no comparison.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable

import asyncpg

from benchmarks import ours
from benchmarks.database import make_database, private_postgres
from benchmarks.filled import SKUS, fill
from benchmarks.load import Outcome
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.program import running
from benchmarks.report import Report, Table, Target, number
from benchmarks.samples import middle
from storage.filters import OrderFilters, Sort
from storage.migrate import migrate
from storage.queries import Queries

DELIVERED = 3
FEW_ORDERS = 1000
SHARDS = 2
IN_FLIGHT = 64
PAGE_ORDERS = 20
QUERIES: dict[str, tuple[OrderFilters, Sort]] = {
    "newest": (OrderFilters(), Sort.NEWEST_FIRST),
    "of_customer": (OrderFilters(customer_id="load-customer-1000007"), Sort.NEWEST_FIRST),
    "dearest": (OrderFilters(), Sort.DEAREST_FIRST),
    "with_sku": (OrderFilters(sku=SKUS[0]), Sort.NEWEST_FIRST),
    "delivered": (OrderFilters(statuses=("delivered",)), Sort.NEWEST_FIRST),
}
TARGETS = (
    Target("engine_of_empty", 0.9, at_least=True),
    Target("lists_of_empty", 0.9, at_least=True),
)


async def measure(options: Options) -> Report:
    """Fill both databases, then let each have its turn."""
    many = options.size(1_000_000, 20_000)
    engine: dict[str, list[Outcome]] = {"few": [], "many": []}
    lists: dict[str, dict[str, list[float]]] = {"few": {}, "many": {}}
    async with private_postgres() as postgres:
        dsns = {}
        for name, count in (("few", FEW_ORDERS), ("many", many)):
            dsns[name] = await make_database(postgres, name)
            await migrate(dsns[name])
            await fill(dsns[name], count, last=DELIVERED)
        for _ in range(options.rounds):
            for name, dsn in dsns.items():
                await _ask_lists(dsn, lists[name], options.size(200, 50))
                start = {"dsn": dsn, "shards": SHARDS}
                side = running(sys.executable, "-m", "benchmarks.ours", start=start, environment=ours.environment())
                async with side as run:
                    await run(8, 100)
                    engine[name].append(await run(IN_FLIGHT, options.size(3000, 300)))
                await _clean(dsn)
    return report(engine, lists, many)


async def _ask_lists(dsn: str, found: dict[str, list[float]], times: int) -> None:
    """Ask each list ``times`` times, one after the other; note how long each took."""
    queries = await Queries.open(dsn, application_name="bench")
    connection = await asyncpg.connect(dsn)
    known = await connection.fetchval("select id::text from orders limit 1")
    await connection.close()

    async def one() -> object:
        return await queries.order(known)

    asked: dict[str, Callable[[], Awaitable[object]]] = {"by_id": one}
    for name, (filters, sort) in QUERIES.items():
        asked[name] = _lister(queries, filters, sort)
    try:
        for name, ask in asked.items():
            for turn in range(times + 10):
                began_at = time.perf_counter()
                await ask()
                if turn >= 10:
                    found.setdefault(name, []).append(time.perf_counter() - began_at)
    finally:
        await queries.close()


def _lister(queries: Queries, filters: OrderFilters, sort: Sort) -> Callable[[], Awaitable[object]]:
    async def ask() -> object:
        return await queries.orders(filters, sort=sort, limit=PAGE_ORDERS)

    return ask


async def _clean(dsn: str) -> None:
    """Tidy up after the sagas, so that rounds stay alike."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("delete from unpublished_events")
        await connection.execute("vacuum analyze unpublished_events")
    finally:
        await connection.close()


def report(engine: dict[str, list[Outcome]], lists: dict[str, dict[str, list[float]]], many: int) -> Report:
    """Hold what is reached with many orders to what is reached with few."""
    rates = {name: middle([one.rate for one in outcomes]) for name, outcomes in engine.items()}
    figures = {"engine_few": rates["few"], "engine_many": rates["many"], "orders": float(many)}
    figures["engine_of_empty"] = rates["many"] / rates["few"]
    rows = [("engine, sagas/s", number(rates["few"]), number(rates["many"]), f"{figures['engine_of_empty']:.2f}")]
    shares = []
    for name in lists["few"]:
        few_ms, many_ms = (middle(lists[side][name]) * 1e3 for side in ("few", "many"))
        shares.append(few_ms / many_ms)
        figures[f"{name}_few_ms"], figures[f"{name}_many_ms"] = few_ms, many_ms
        rows.append((f"{name}, ms", number(few_ms), number(many_ms), f"{few_ms / many_ms:.2f}"))
    figures["lists_of_empty"] = min(shares)
    table = Table("few and many orders stored", ("what", f"{FEW_ORDERS:,}", f"{many:,}", "share"), tuple(rows))
    return Report(name="stored", machine=describe(), figures=figures, targets=TARGETS, tables=(table,))
