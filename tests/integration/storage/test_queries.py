from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from domain.derived import totals
from domain.order import Attention, Order, Status, amended
from storage.errors import UndecodableSnapshot
from storage.filters import list_statement
from storage.queries import OrderFilters, PageKey, Queries, Sort
from storage.snapshots import OrderStore
from tests.integration.storage.conftest import GROUP
from tests.integration.storage.orders import NOW, a_commit, an_order, next_of, paid_with


@pytest.fixture
async def queries(database_url: str) -> AsyncIterator[Queries]:
    opened = await Queries.open(database_url, application_name="test-queries")
    yield opened
    await opened.close()


async def everything(queries: Queries, filters: OrderFilters, sort: Sort, limit: int = 3) -> list[str]:
    """All pages of a list, as ids."""
    ids: list[str] = []
    after: PageKey | None = None
    while True:
        page = await queries.orders(filters, sort=sort, limit=limit, after=after)
        ids += [order.id for order in page.orders]
        after = page.next
        if after is None:
            return ids


async def test_an_order_is_read_as_it_was_committed_and_an_unknown_one_is_none(
    queries: Queries, store: OrderStore, epoch: int
) -> None:
    order = an_order()
    await store.flush(GROUP, epoch, [a_commit(order)])
    found = await asyncio.gather(
        queries.order(order.id), queries.order(str(uuid4())), queries.order("no id"), queries.order(order.id.upper())
    )
    assert list(found) == [order, None, None, order]
    second = next_of(order)
    await store.flush(GROUP, epoch, [a_commit(second)])
    assert await queries.order(order.id) == second


async def test_an_order_that_can_not_be_read_fails_alone(
    queries: Queries, store: OrderStore, epoch: int, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    good, bad = an_order(), an_order()
    await store.flush(GROUP, epoch, [a_commit(good), a_commit(bad)])
    await sql.execute("update orders set snapshot = 'rubbish' where id = $1", bad.id)
    found = await asyncio.gather(queries.order(good.id), queries.order(bad.id), return_exceptions=True)
    assert found[0] == good
    assert isinstance(found[1], UndecodableSnapshot)
    assert await everything(queries, OrderFilters(), Sort.NEWEST_FIRST) == [good.id]


@pytest.fixture
async def many(store: OrderStore, epoch: int) -> list[Order]:
    """Forty orders of two customers, several created at the same moment and of the same total."""
    orders = []
    for i in range(40):
        order = an_order(
            skus=("sku-1", f"sku-{i % 4}"),
            customer_id=f"c-{i % 2}",
            created_at=NOW + timedelta(minutes=i // 3),
            shipping_amount=490 + 100 * (i % 5),
            status=(Status.CREATED, Status.VALIDATED, Status.CANCELLED, Status.SHIPPED)[i % 4],
            steps=(),
            number=f"ORD-{i:09}" if i % 2 else None,
            attention=(Attention("k", "r", "d"),) if i % 8 == 0 else (),
        )
        orders.append(order)
    await store.flush(GROUP, epoch, [a_commit(order, deadline=None) for order in orders])
    return orders


def total(order: Order) -> int:
    return totals(order).total


Case = tuple[OrderFilters, Callable[[Order], bool]]
LISTS: tuple[Case, ...] = (
    (OrderFilters(), lambda _: True),
    (OrderFilters(customer_id="c-1"), lambda o: o.customer_id == "c-1"),
    (OrderFilters(statuses=("created",)), lambda o: o.status == "created"),
    (OrderFilters(statuses=("cancelled", "shipped")), lambda o: o.status in ("cancelled", "shipped")),
    (OrderFilters(payment_status="unpaid"), lambda _: True),
    (OrderFilters(payment_status="paid"), lambda _: False),
    (OrderFilters(number="ORD-000000003"), lambda o: o.number == "ORD-000000003"),
    (OrderFilters(sku="sku-3"), lambda o: any(line.sku == "sku-3" for line in o.lines)),
    (OrderFilters(sku="sku-1"), lambda _: True),
    (OrderFilters(created_from=NOW + timedelta(minutes=4)), lambda o: o.created_at >= NOW + timedelta(minutes=4)),
    (OrderFilters(created_to=NOW + timedelta(minutes=4)), lambda o: o.created_at < NOW + timedelta(minutes=4)),
    (OrderFilters(total_min=7000, total_max=7100), lambda o: 7000 <= total(o) <= 7100),
    (OrderFilters(total_max=2**70), lambda _: True),
    (OrderFilters(needs_attention=True), lambda o: bool(o.attention)),
    (OrderFilters(needs_attention=False), lambda o: not o.attention),
    (OrderFilters(customer_id="c-0\0"), lambda _: False),
    (
        OrderFilters(customer_id="c-0", statuses=("created",), sku="sku-0", needs_attention=False),
        lambda o: o.customer_id == "c-0" and o.status == "created" and not o.attention,
    ),
)


@pytest.mark.parametrize("sort", list(Sort))
async def test_a_list_has_what_its_filters_say_in_the_order_of_its_sort(
    queries: Queries, many: list[Order], sort: Sort
) -> None:
    for filters, wanted in LISTS:
        by_time = sort.column == "created_at"
        expected = sorted(
            filter(wanted, many),
            key=lambda o: (o.created_at if by_time else total(o), o.id),
            reverse=sort.is_descending,
        )
        assert await everything(queries, filters, sort) == [order.id for order in expected], filters


async def test_pages_neither_repeat_nor_miss_an_order_while_others_are_created(
    queries: Queries, store: OrderStore, epoch: int, many: list[Order]
) -> None:
    seen: list[str] = []
    after: PageKey | None = None
    born = 0
    while True:
        page = await queries.orders(OrderFilters(), sort=Sort.OLDEST_FIRST, limit=7, after=after)
        seen += [order.id for order in page.orders]
        after = page.next
        if after is None:
            break
        assert isinstance(after.value, datetime)
        # One before the place we are at, one after it, at its very moment.
        fresh = [an_order(created_at=after.value + timedelta(minutes=m)) for m in (-1, 0, 1)] if born < 9 else []
        born += len(fresh)
        await store.flush(GROUP, epoch, [a_commit(order) for order in fresh])
    assert len(seen) == len(set(seen))
    assert {order.id for order in many} <= set(seen)


async def test_an_order_that_lost_its_line_is_not_in_the_list_of_that_sku(
    queries: Queries, store: OrderStore, epoch: int
) -> None:
    order = an_order(skus=("sku-1", "sku-2"))
    await store.flush(GROUP, epoch, [a_commit(order)])
    edited = next_of(order, lines=(order.lines[0], replace(order.lines[1], sku="sku-9")))
    await store.flush(GROUP, epoch, [a_commit(edited)])
    for sku, expected in (("sku-1", [order.id]), ("sku-2", []), ("sku-9", [order.id])):
        assert await everything(queries, OrderFilters(sku=sku), Sort.NEWEST_FIRST) == expected


async def test_the_timeline_and_the_ledger_have_everything_in_order(
    queries: Queries, store: OrderStore, epoch: int
) -> None:
    order = an_order()
    first = a_commit(order, events=3)
    payment, entry = paid_with(order, 500)
    paid = next_of(order, payments=(payment,), ledger=(entry,))
    second = a_commit(paid, events=3, ledger=(entry,))
    await store.flush(GROUP, epoch, [first])
    await store.flush(GROUP, epoch, [second])
    assert await queries.timeline(order.id) == first.events + second.events
    assert await queries.ledger(order.id) == (entry,)
    for nothing in (str(uuid4()), "no id"):
        assert await queries.timeline(nothing) == ()
        assert await queries.ledger(nothing) == ()


FILL = """
insert into orders (id, created_at, updated_at, total, paid, refunded, version, event_seq, slice, schema_number,
    attempts, rejected, needs_attention, is_open, is_running, currency, status,
    payment_status, fulfillment_status, customer_id, number, skus, snapshot)
select gen_random_uuid(), timestamptz '2026-01-01' + i * interval '1 second', now(), i % 10007, 0, 0, 1, 1, i % 1024, 1,
    0, 0, i % 5000 = 0, i % 100 = 0, false, 'EUR',
    case when i % 100 = 0 then 'validated' when i % 10 = 1 then 'cancelled' else 'delivered' end,
    'paid', 'delivered', 'c-' || i % 1000, 'ORD-' || lpad(i::text, 9, '0'), array['sku-' || i % 20], 'x'
from generate_series(1, 50000) i
"""
FILL_SKUS = "insert into order_skus (sku, created_at, order_id) select skus[1], created_at, id from orders"


@pytest.mark.parametrize("after", [False, True])
async def test_lists_are_answered_by_an_index_in_their_own_order(
    sql: asyncpg.Connection[asyncpg.Record], after: bool
) -> None:
    await sql.execute(FILL)
    await sql.execute(FILL_SKUS)
    await sql.execute("analyze orders; analyze order_skus")
    at = datetime.fromisoformat("2026-01-01T06:00:00+00:00")
    cases = {
        "orders_by_time": (OrderFilters(), (Sort.NEWEST_FIRST, Sort.OLDEST_FIRST)),
        "orders_by_total": (OrderFilters(), (Sort.CHEAPEST_FIRST, Sort.DEAREST_FIRST)),
        "orders_of_customer": (OrderFilters(customer_id="c-7"), (Sort.NEWEST_FIRST, Sort.OLDEST_FIRST)),
        "orders_open": (OrderFilters(statuses=("validated",)), (Sort.NEWEST_FIRST, Sort.OLDEST_FIRST)),
        "orders_in_need": (OrderFilters(needs_attention=True), (Sort.NEWEST_FIRST, Sort.OLDEST_FIRST)),
        "order_skus_pkey": (OrderFilters(sku="sku-7"), (Sort.NEWEST_FIRST, Sort.OLDEST_FIRST)),
    }
    for index, (filters, sorts) in cases.items():
        for sort in sorts:
            key = PageKey(at if sort.column == "created_at" else 5000, str(uuid4())) if after else None
            statement, arguments = list_statement(filters, sort, 51, key)
            plan = json.loads(await sql.fetchval(f"explain (format json) {statement}", *arguments))[0]["Plan"]
            nodes = list(_nodes(plan))
            assert index in {node.get("Index Name") for node in nodes}, (index, sort, nodes)
            assert not {"Sort", "Seq Scan"} & {node["Node Type"] for node in nodes}, (index, sort, nodes)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {k: v for k, v in plan.items() if k != "Plans"}
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


async def test_a_number_is_found_by_its_index(sql: asyncpg.Connection[asyncpg.Record]) -> None:
    await sql.execute(FILL)
    await sql.execute("analyze orders")
    statement, arguments = list_statement(OrderFilters(number="ORD-000000123"), Sort.NEWEST_FIRST, 51, None)
    plan = json.loads(await sql.fetchval(f"explain (format json) {statement}", *arguments))[0]["Plan"]
    assert "order_number_is_given_once" in {node.get("Index Name") for node in _nodes(plan)}


async def test_an_order_amended_between_two_reads_is_not_taken_from_the_first(
    queries: Queries, store: OrderStore, epoch: int
) -> None:
    order = an_order()
    await store.flush(GROUP, epoch, [a_commit(order)])
    for _ in range(20):
        early = asyncio.create_task(queries.order(order.id))
        order = next_of(amended(order))
        await store.flush(GROUP, epoch, [a_commit(order)])
        assert await queries.order(order.id) == order
        await early
