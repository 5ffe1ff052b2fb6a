from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from domain.order import Attention, Order, Status
from domain.representation import represent
from domain.totals_and_statuses import totals
from storage.errors import UndecodableSnapshot
from storage.reads.order_queries import OrderFilters, OrderQueries, PageKey, Sort
from storage.writes.order_store import OrderStore
from tests.integration.storage.orders import NOW, a_commit, an_order, next_of, paid_with
from tests.integration.storage.owning import Lease


async def everything(queries: OrderQueries, filters: OrderFilters, sort: Sort, limit: int = 3) -> list[str]:
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
    queries: OrderQueries, store: OrderStore, lease: Lease
) -> None:
    order = an_order()
    await store.flush(*lease, [a_commit(order)])
    found = await asyncio.gather(
        queries.order(order.id), queries.order(str(uuid4())), queries.order("no id"), queries.order(order.id.upper())
    )
    assert list(found) == [order, None, None, order]
    second = next_of(order)
    await store.flush(*lease, [a_commit(second)])
    assert await queries.order(order.id) == second


async def test_an_order_that_can_not_be_read_fails_alone(
    queries: OrderQueries, store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    good, bad = an_order(), an_order()
    await store.flush(*lease, [a_commit(good), a_commit(bad)])
    await sql.execute("update orders set snapshot = 'rubbish' where id = $1", bad.id)
    found = await asyncio.gather(queries.order(good.id), queries.order(bad.id), return_exceptions=True)
    assert found[0] == good
    assert isinstance(found[1], UndecodableSnapshot)
    assert await everything(queries, OrderFilters(), Sort.NEWEST_FIRST) == [good.id]


@pytest.fixture
async def many(store: OrderStore, lease: Lease) -> list[Order]:
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
    await store.flush(*lease, [a_commit(order, deadline=None) for order in orders])
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
    queries: OrderQueries, many: list[Order], sort: Sort
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
    queries: OrderQueries, store: OrderStore, lease: Lease, many: list[Order]
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
        await store.flush(*lease, [a_commit(order) for order in fresh])
    assert len(seen) == len(set(seen))
    assert {order.id for order in many} <= set(seen)


async def test_an_order_that_lost_its_line_is_not_in_the_list_of_that_sku(
    queries: OrderQueries, store: OrderStore, lease: Lease
) -> None:
    order = an_order(skus=("sku-1", "sku-2"))
    await store.flush(*lease, [a_commit(order)])
    edited = next_of(order, lines=(order.lines[0], replace(order.lines[1], sku="sku-9")))
    await store.flush(*lease, [a_commit(edited)])
    for sku, expected in (("sku-1", [order.id]), ("sku-2", []), ("sku-9", [order.id])):
        assert await everything(queries, OrderFilters(sku=sku), Sort.NEWEST_FIRST) == expected


async def test_the_timeline_and_the_ledger_have_everything_in_order(
    queries: OrderQueries, store: OrderStore, lease: Lease
) -> None:
    order = an_order()
    first = a_commit(order, events=3)
    payment, entry = paid_with(order, 500)
    paid = next_of(order, payments=(payment,), ledger=(entry,))
    second = a_commit(paid, events=3, ledger=(entry,))
    await store.flush(*lease, [first])
    await store.flush(*lease, [second])
    assert await queries.timeline(order.id) == first.events + second.events
    assert await queries.ledger(order.id) == (entry,)
    for nothing in (str(uuid4()), "no id"):
        assert await queries.timeline(nothing) == ()
        assert await queries.ledger(nothing) == ()


async def test_an_order_amended_between_two_reads_is_not_taken_from_the_first(
    queries: OrderQueries, store: OrderStore, lease: Lease
) -> None:
    order = an_order()
    await store.flush(*lease, [a_commit(order)])
    for _ in range(20):
        early = asyncio.create_task(queries.order(order.id))
        order = next_of(replace(order))
        await store.flush(*lease, [a_commit(order)])
        assert await queries.order(order.id) == order
        await early


async def test_an_order_that_is_set_aside_shows_it_until_it_is_committed_again(
    queries: OrderQueries, store: OrderStore, lease: Lease
) -> None:
    """Only the list's filter knew of it: the order itself went on saying that it was running, and needed nobody."""
    order = an_order()
    await store.flush(*lease, [a_commit(order)])
    await store.set_aside(order.id, "CallAnswered can't be handled: ValueError")
    found = await queries.order(order.id)
    assert found is not None
    assert [each.reason for each in found.attention] == ["set_aside"]
    page = await queries.orders(OrderFilters(needs_attention=True), sort=Sort.NEWEST_FIRST, limit=9)
    assert page.orders == (found,)
    document = represent(found)
    assert (document["needs_attention"], document["saga"]["state"]) == (True, "needs_attention")
    second = next_of(order)
    await store.flush(*lease, [a_commit(second)])
    assert await queries.order(order.id) == second
