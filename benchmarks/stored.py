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
from benchmarks.load import Outcome
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.program import running
from benchmarks.report import Chart, Report, Series, Table, Target, number
from benchmarks.samples import middle
from benchmarks.varied import BIG_CUSTOMER, RARE_SKU, fill_varied
from storage.migrate import migrate
from storage.reads.order_filters import OrderFilters, Sort
from storage.reads.order_queries import OrderQueries

FEW_ORDERS = 1000
SHARDS = 2
IN_FLIGHT = 64
PAGE_ORDERS = 20
QUERIES: dict[str, tuple[OrderFilters, Sort]] = {
    "newest": (OrderFilters(), Sort.NEWEST_FIRST),
    "dearest": (OrderFilters(), Sort.DEAREST_FIRST),
    "of_customer": (OrderFilters(customer_id="load-customer-7"), Sort.NEWEST_FIRST),
    "of_big_customer_dearest": (OrderFilters(customer_id=BIG_CUSTOMER), Sort.DEAREST_FIRST),
    "delivered": (OrderFilters(statuses=("delivered",)), Sort.NEWEST_FIRST),
    "cancelled": (OrderFilters(statuses=("cancelled",)), Sort.NEWEST_FIRST),
    "created": (OrderFilters(statuses=("created",)), Sort.NEWEST_FIRST),
    "unpaid": (OrderFilters(payment_status="unpaid"), Sort.NEWEST_FIRST),
    "pending": (OrderFilters(payment_status="pending"), Sort.NEWEST_FIRST),
    "in_doubt": (OrderFilters(payment_status="in_doubt"), Sort.NEWEST_FIRST),
    "of_frequent_sku": (OrderFilters(sku="load-sku-0"), Sort.NEWEST_FIRST),
    "of_frequent_sku_dearest": (OrderFilters(sku="load-sku-0"), Sort.DEAREST_FIRST),
    "of_rare_sku": (OrderFilters(sku=RARE_SKU), Sort.NEWEST_FIRST),
    "of_one_total": (OrderFilters(total_min=5000, total_max=5000), Sort.NEWEST_FIRST),
    "in_need": (OrderFilters(needs_attention=True), Sort.NEWEST_FIRST),
}
TARGETS = (
    Target("engine_of_empty", 0.9, at_least=True),
    Target("lists_slowest_ms", 25, at_least=False),
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
            await fill_varied(dsns[name], count)
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
    queries = await OrderQueries.open(dsn, application_name="bench")
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


def _lister(queries: OrderQueries, filters: OrderFilters, sort: Sort) -> Callable[[], Awaitable[object]]:
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
    for name in lists["few"]:
        few_ms, many_ms = (middle(lists[side][name]) * 1e3 for side in ("few", "many"))
        figures[f"{name}_few_ms"], figures[f"{name}_many_ms"] = few_ms, many_ms
        rows.append((f"{name}, ms", number(few_ms), number(many_ms), f"{few_ms / many_ms:.2f}"))
    figures["lists_slowest_ms"] = max(figures[f"{name}_many_ms"] for name in lists["many"])
    table = Table("few and many orders stored", ("what", f"{FEW_ORDERS:,}", f"{many:,}", "share"), tuple(rows))
    counts = (float(FEW_ORDERS), float(many))
    charts = (
        Chart(
            title="engine",
            x_label="orders stored",
            y_label="sagas a second",
            series=(Series("ours", counts, (rates["few"], rates["many"])),),
        ),
        Chart(
            title="lists",
            x_label="orders stored",
            y_label="ms",
            series=tuple(
                Series(name, counts, (figures[f"{name}_few_ms"], figures[f"{name}_many_ms"])) for name in lists["few"]
            ),
        ),
    )
    return Report(name="stored", machine=describe(), figures=figures, targets=TARGETS, tables=(table,), charts=charts)
