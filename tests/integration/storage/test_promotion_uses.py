from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from domain.order import Order
from storage.writes.order_store import OrderStore
from tests.integration.storage.orders import a_commit, an_order, next_of
from tests.integration.storage.owning import Lease, owner_of_all


async def promote(sql: asyncpg.Connection[asyncpg.Record], code: str, **limits: Any) -> None:
    columns = {"active": True, "max_uses": None, "max_uses_per_customer": None, "ends_at": None} | limits
    await sql.execute(
        "insert into promotions"
        " (code, kind, fraction, skus, combinable, active, max_uses, max_uses_per_customer, ends_at)"
        " values ($1, 'percentage', '0.1000', '{}', true, $2, $3, $4, $5)",
        code,
        *columns.values(),
    )


async def uses(sql: asyncpg.Connection[asyncpg.Record], code: str) -> tuple[int, int]:
    """The counter and the rows; they must agree."""
    counted = await sql.fetchval("select used from promotions where code = $1", code)
    return counted, await sql.fetchval("select count(*) from promotion_uses where code = $1", code)


def claiming(order: Order, *codes: str, customer_id: str = "c-1001") -> Any:
    return a_commit(order, promotion_uses=tuple((code, customer_id) for code in codes))


async def test_of_fifty_orders_that_claim_ten_uses_ten_get_one(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promote(sql, "TEN", max_uses=10)
    orders = [an_order() for _ in range(50)]
    batches = [orders[i::5] for i in range(5)]
    results = await asyncio.gather(*(store.flush(*lease, [claiming(o, "TEN") for o in batch]) for batch in batches))
    committed = {order_id for result in results for order_id in result.committed}
    refused = {order_id: code for result in results for order_id, code in result.refused.items()}
    assert len(committed) == 10
    assert set(refused.values()) == {"discount_exhausted"}
    assert committed | set(refused) == {o.id for o in orders}
    assert await uses(sql, "TEN") == (10, 10)
    assert set(await store.load([o.id for o in orders])) == committed


async def test_a_customer_gets_as_many_uses_as_the_promotion_allows_one(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promote(sql, "ONCE", max_uses_per_customer=1)
    first, second, third = an_order(), an_order(), an_order()
    result = await store.flush(
        *lease, [claiming(first, "ONCE"), claiming(second, "ONCE"), claiming(third, "ONCE", customer_id="c-2")]
    )
    assert result.committed == {first.id, third.id}
    assert result.refused == {second.id: "discount_exhausted"}


async def test_a_code_that_is_gone_or_over_by_now_is_refused_and_the_rest_of_the_batch_is_committed(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promote(sql, "OFF", active=False)
    await promote(sql, "OVER", ends_at=await store.now())
    gone, off, over, plain = (an_order() for _ in range(4))
    result = await store.flush(
        *lease, [claiming(gone, "NONE"), claiming(off, "OFF"), claiming(over, "OVER"), a_commit(plain)]
    )
    assert result.refused == {
        gone.id: "discount_not_found",
        off.id: "discount_not_active",
        over.id: "discount_not_active",
    }
    assert result.committed == {plain.id}


async def test_an_order_that_loses_one_code_keeps_none(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promote(sql, "GOOD")
    await promote(sql, "FULL", max_uses=0)
    order = an_order()
    result = await store.flush(*lease, [claiming(order, "GOOD", "FULL")])
    assert result.refused == {order.id: "discount_exhausted"}
    assert await uses(sql, "GOOD") == (0, 0)


async def test_a_use_that_is_given_back_can_be_had_by_another_order(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promote(sql, "ONE", max_uses=1)
    first, second = an_order(), an_order()
    await store.flush(*lease, [claiming(first, "ONE")])
    assert (await store.flush(*lease, [claiming(second, "ONE")])).refused
    released = next_of(first)
    assert (await store.flush(*lease, [a_commit(released, releases=("ONE",))])).committed == {first.id}
    assert (await store.flush(*lease, [a_commit(next_of(released), releases=("ONE",))])).committed
    assert await uses(sql, "ONE") == (0, 0)
    assert (await store.flush(*lease, [claiming(second, "ONE")])).committed == {second.id}


async def test_claims_and_releases_of_an_order_that_is_not_committed_count_for_nothing(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promote(sql, "A")
    await promote(sql, "B")
    order = an_order()
    await store.flush(*lease, [claiming(order, "A")])
    stale = next_of(next_of(order))
    result = await store.flush(*lease, [a_commit(stale, promotion_uses=(("B", "c-1001"),), releases=("A",))])
    assert not result.committed
    assert not result.refused
    assert await uses(sql, "A") == (1, 1)
    assert await uses(sql, "B") == (0, 0)


async def test_a_replaced_owner_claims_nothing(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promote(sql, "A")
    await owner_of_all(store, "order-shard-1")
    assert not (await store.flush(*lease, [claiming(an_order(), "A")])).owned
    assert await uses(sql, "A") == (0, 0)


async def test_a_poisoned_order_gives_its_claim_back(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promote(sql, "A")
    good, bad = an_order(), an_order()
    poisoned = a_commit(bad, promotion_uses=(("A", "c-1001"),), refunded=-9)
    result = await store.flush(*lease, [claiming(good, "A"), poisoned])
    assert result.committed == {good.id}
    assert set(result.poisoned) == {bad.id}
    assert await uses(sql, "A") == (1, 1)


async def test_a_stale_claim_of_a_use_that_the_order_has_already_takes_nothing_from_it(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promote(sql, "ONE", max_uses=1)
    order = an_order()
    assert (await store.flush(*lease, [claiming(order, "ONE")])).committed == {order.id}
    again = await store.flush(*lease, [claiming(order, "ONE")])
    assert (again.committed, again.refused) == (frozenset(), {})
    assert await uses(sql, "ONE") == (1, 1)
    other = an_order()
    assert (await store.flush(*lease, [claiming(other, "ONE")])).refused == {other.id: "discount_exhausted"}


async def test_an_order_that_is_refused_another_code_keeps_what_it_has(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promote(sql, "HAD")
    await promote(sql, "FULL", max_uses=0)
    await promote(sql, "NEW")
    order = an_order()
    await store.flush(*lease, [claiming(order, "HAD")])
    result = await store.flush(*lease, [claiming(next_of(order), "NEW", "HAD", "FULL")])
    assert result.refused == {order.id: "discount_exhausted"}
    assert await uses(sql, "HAD") == (1, 1)
    assert await uses(sql, "NEW") == (0, 0)


async def test_a_use_that_the_order_has_is_no_second_one_when_it_claims_it_again(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promote(sql, "ONE", max_uses=1)
    order = an_order()
    await store.flush(*lease, [claiming(order, "ONE")])
    assert (await store.flush(*lease, [claiming(next_of(order), "ONE")])).committed == {order.id}
    assert await uses(sql, "ONE") == (1, 1)


async def test_uses_are_counted_and_given_back_whatever_the_case_of_the_code(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promote(sql, "Summer", max_uses=2, max_uses_per_customer=1)
    first, again, other, third = (an_order() for _ in range(4))
    result = await store.flush(
        *lease,
        [
            claiming(first, "SUMMER", "summer"),
            claiming(again, "sUMMER"),
            claiming(other, "summer", customer_id="c-2"),
            claiming(third, "Summer", customer_id="c-3"),
        ],
    )
    assert len(result.committed) == 2
    assert set(result.refused.values()) == {"discount_exhausted"}
    assert await uses(sql, "Summer") == (2, 2)
    # Claimed for nothing, as the order is at another version: what it has already is not given back.
    stale = next_of(next_of(first))
    assert not (await store.flush(*lease, [claiming(stale, "SUMMER")])).committed
    assert await uses(sql, "Summer") == (2, 2)
    released = a_commit(next_of(first), releases=("summer", "SUMMER"))
    assert (await store.flush(*lease, [released])).committed == {first.id}
    assert await uses(sql, "Summer") == (1, 1)
