"""Every filter with every sort, on orders as unequal as a shop's: right, and by an index (docs/contract.md, "Queries")."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import asyncpg

from benchmarks.varied import BIG_CUSTOMER, RARE_SKU, fill_varied
from domain.order import Status
from storage.reads.order_filters import OrderFilters, PageKey, Sort, list_statement
from storage.reads.order_queries import OrderQueries

ORDERS = 20_000
SECONDS_BETWEEN = 90
PAGE_ORDERS = 40
PAYMENT_STATUSES = ("unpaid", "pending", "in_doubt", "partially_paid", "paid", "refunded", "partially_refunded")
ROWS = """
select id::text, created_at, total, customer_id, status, payment_status, number, skus, needs_attention from orders"""

Row = asyncpg.Record


def questions(rows: list[Row]) -> dict[str, OrderFilters]:
    """Each filter alone, with values that many orders have, few, and none; and some together."""
    times = sorted(row["created_at"] for row in rows)
    middle = times[len(times) // 2]
    numbered = next(row for row in rows if row["number"])
    return {
        "all": OrderFilters(),
        "customer": OrderFilters(customer_id=numbered["customer_id"]),
        "big customer": OrderFilters(customer_id=BIG_CUSTOMER),
        "no customer": OrderFilters(customer_id="nobody"),
        **{f"status {status}": OrderFilters(statuses=(status,)) for status in Status},
        "statuses of both kinds": OrderFilters(statuses=("cancelled", "cancelling", "prepared", "validated")),
        "every status": OrderFilters(statuses=tuple(Status)),
        **{f"payment {status}": OrderFilters(payment_status=status) for status in PAYMENT_STATUSES},
        "number": OrderFilters(number=numbered["number"]),
        "no number": OrderFilters(number="ORD-000000000"),
        "sku of many": OrderFilters(sku="load-sku-0"),
        "sku of some": OrderFilters(sku="load-sku-40"),
        "sku of few": OrderFilters(sku=RARE_SKU),
        "no sku": OrderFilters(sku="nothing"),
        "an hour": OrderFilters(created_from=middle, created_to=middle + timedelta(hours=1)),
        "the second half": OrderFilters(created_from=middle),
        "the first half": OrderFilters(created_to=middle),
        "dear": OrderFilters(total_min=150_000),
        "cheap": OrderFilters(total_max=600),
        "of one total": OrderFilters(total_min=numbered["total"], total_max=numbered["total"]),
        "in need": OrderFilters(needs_attention=True),
        "not in need": OrderFilters(needs_attention=False),
        **{
            f"{status} and {payment}": OrderFilters(statuses=(status,), payment_status=payment)
            for status in ("cancelled", "cancelling", "validated")
            for payment in ("unpaid", "in_doubt", "refunded")
        },
        "sku and status": OrderFilters(sku="load-sku-0", statuses=("cancelled", "shipped")),
        "sku and payment": OrderFilters(sku="load-sku-0", payment_status="unpaid"),
        "customer and sku": OrderFilters(customer_id=BIG_CUSTOMER, sku="load-sku-1"),
        "all together": OrderFilters(
            customer_id=BIG_CUSTOMER, statuses=("delivered",), payment_status="paid", sku="load-sku-0",
            created_from=times[0], created_to=times[-1], total_min=600, total_max=10**6, needs_attention=False,
        ),
    }  # fmt: skip


def wanted(filters: OrderFilters) -> Callable[[Row], bool]:
    """What the contract says of the filters, without any SQL."""
    plain = ("customer_id", "payment_status", "number", "needs_attention")
    exactly = {name: value for name in plain if (value := getattr(filters, name)) is not None}
    asked: list[Callable[[Row], bool]] = [lambda row: all(row[name] == value for name, value in exactly.items())]
    if filters.statuses:
        asked.append(lambda row: row["status"] in filters.statuses)
    if filters.sku is not None:
        asked.append(lambda row: filters.sku in row["skus"])
    if (since := filters.created_from) is not None:
        asked.append(lambda row: row["created_at"] >= since)
    if (until := filters.created_to) is not None:
        asked.append(lambda row: row["created_at"] < until)
    if (least := filters.total_min) is not None:
        asked.append(lambda row: row["total"] >= least)
    if (most := filters.total_max) is not None:
        asked.append(lambda row: row["total"] <= most)
    return lambda row: all(holds(row) for holds in asked)


async def test_two_pages_of_every_list_are_right_and_come_from_indexes(
    database_url: str, queries: OrderQueries, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await fill_varied(database_url, ORDERS, seconds_between=SECONDS_BETWEEN)
    rows = await sql.fetch(ROWS)
    assert {row["status"] for row in rows} == set(Status)
    assert {row["payment_status"] for row in rows} == set(PAYMENT_STATUSES)
    for name, filters in questions(rows).items():
        fitting = list(filter(wanted(filters), rows))
        for sort in Sort:
            expected = sorted(fitting, key=lambda row: (row[sort.column], row["id"]), reverse=sort.is_descending)
            await pages_are(queries, sql, (name, filters, sort), expected)


async def pages_are(
    queries: OrderQueries,
    sql: asyncpg.Connection[asyncpg.Record],
    asked: tuple[str, OrderFilters, Sort],
    expected: list[Row],
) -> None:
    """Read the first page and the one after it; both are as expected."""
    name, filters, sort = asked
    after: PageKey | None = None
    for first in (0, PAGE_ORDERS):
        statement, arguments = list_statement(filters, sort, PAGE_ORDERS + 1, after)
        found = [(row["key"], str(row["id"])) for row in await queries.database.fetch(statement, *arguments)]
        page = [(row[sort.column], row["id"]) for row in expected[first : first + PAGE_ORDERS + 1]]
        assert found == page, (name, sort, first)
        if after is None:
            await reads_by_index(sql, asked)
        if len(found) <= PAGE_ORDERS:
            return
        after = PageKey(*found[PAGE_ORDERS - 1])


async def reads_by_index(sql: asyncpg.Connection[asyncpg.Record], asked: tuple[str, OrderFilters, Sort]) -> None:
    """The first page reads no table as a whole."""
    name, filters, sort = asked
    statement, arguments = list_statement(filters, sort, PAGE_ORDERS + 1, None)
    told = await sql.fetchval(f"explain (analyze, timing off, format json) {statement}", *arguments)
    nodes = [node for node in _nodes(json.loads(told)[0]["Plan"]) if node["Actual Loops"]]
    whole = [node for node in nodes if node["Node Type"] == "Seq Scan"]
    assert not whole, (name, sort, nodes)
    scans = [node["Index Name"] for node in nodes if "Index Name" in node]
    assert scans, (name, sort, nodes)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {name: value for name, value in plan.items() if name != "Plans"}
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


async def test_a_status_that_every_order_passes_through_enters_no_index(
    database_url: str, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """An update that changes an indexed column enters the row anew in every index of the table (``0005_lists.sql``)."""
    await fill_varied(database_url, 1000)
    listed = await sql.fetch(
        "select distinct status, payment_status, is_open, listed_status, listed_payment_status from orders"
    )
    for row in listed:
        closed = not row["is_open"]
        seldom = row["payment_status"] in ("in_doubt", "partially_paid", "refunded", "partially_refunded")
        assert row["listed_status"] == (row["status"] if closed or row["status"] == "cancelling" else None)
        assert row["listed_payment_status"] == (row["payment_status"] if closed or seldom else None)
    moved = """
        update orders set status = 'prepared', payment_status = 'pending', version = version + 1
        where id in (select id from orders where status = 'shipped' and payment_status = 'paid' limit 50)
    """
    await sql.execute("select pg_stat_reset()")
    await sql.execute(moved)
    await sql.execute("select pg_stat_force_next_flush()")
    counted = await sql.fetchrow(
        "select n_tup_upd as all, n_tup_hot_upd as hot from pg_stat_user_tables where relname = 'orders'"
    )
    assert counted is not None
    assert counted["all"] == 50
    assert counted["hot"] > 0  # not all of them: a page must have room for both versions of a row
