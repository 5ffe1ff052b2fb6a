"""Copies in Redis for those who ask partners, and the versions that events told of; Redis away changes latency only."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace

from domain.order import Product
from domain.reference_data import ReferenceKind, ReferenceVersion
from local.state import State
from local.valkey import Valkey
from storage.errors import StorageUnavailable
from storage.reads.reference_data import CacheInvalidation, ReferenceCopies
from storage.redis_connection import QuietRedis
from storage.writes.order_store import OrderStore
from tests.integration.storage.orders import CUSTOMER

AGE_S = 30.0
GONE_WITHIN_S = 5.0
PEN = Product(
    sku="pen", name="Pluma", unit_price=100, currency="EUR", tax_rate="0.2100", available=7, sellable=True, version=5
)
INK = replace(PEN, sku="ink", name="Tinta")
DOLLARS = replace(PEN, currency="USD", unit_price=110)
NOWHERE = "redis://127.0.0.1:1/0"
Opening = Callable[..., ReferenceCopies]


@pytest.fixture
async def copies_at(redis_url: str) -> AsyncIterator[Opening]:
    """Makes the copies as a process of its own sees them."""
    opened: list[QuietRedis] = []

    def make(url: str = redis_url, *, max_age_s: float = AGE_S) -> ReferenceCopies:
        opened.append(QuietRedis(url, timeout_s=0.1, rest_s=0))
        return ReferenceCopies(
            opened[-1], product_max_age_s=max_age_s, customer_max_age_s=max_age_s, currencies=("EUR", "USD")
        )

    yield make
    for redis in opened:
        await redis.close()


async def pen_of(copies: ReferenceCopies, currency: str = "EUR") -> Product | None:
    found = await copies.products(["pen"], currency)
    return None if found is None else found.value[0]


async def fill(copies: ReferenceCopies) -> None:
    await copies.keep_products([PEN, INK, DOLLARS])
    await copies.keep_customer(CUSTOMER)


async def test_what_one_process_learnt_another_finds(copies_at: Opening) -> None:
    await fill(copies_at())
    other = copies_at()
    products = await other.products(["pen", "ink", "pen"], "EUR")
    customer = await other.customer(CUSTOMER.customer_id)
    assert products is not None
    assert products.value == (PEN, INK)
    assert 0 <= products.age_s < AGE_S
    assert customer is not None
    assert customer.value == CUSTOMER
    assert other.figures()["reference_lookups_total:hit"] == 3
    # All or nothing: whoever misses one asks the partner for all.
    assert await other.products(["pen", "paper"], "EUR") is None
    assert await other.products(["pen"], "JPY") is None
    assert await other.customer("nobody") is None
    assert other.figures()["reference_lookups_total:miss"] == 3


async def test_a_copy_is_given_for_as_long_as_it_may_be_used(copies_at: Opening) -> None:
    await copies_at(max_age_s=0.05).keep_products([PEN])
    async with asyncio.timeout(GONE_WITHIN_S):
        while await pen_of(copies_at(max_age_s=0.05)) is not None:
            pass
    await fill(copies_at(max_age_s=3600))
    old = await copies_at(max_age_s=3600).customer(CUSTOMER.customer_id)
    assert old is not None
    assert await copies_at(max_age_s=old.age_s / 2).customer(CUSTOMER.customer_id) is None


async def test_where_no_copy_may_be_used_none_is_kept_or_looked_for(copies_at: Opening) -> None:
    await fill(copies_at(max_age_s=0))
    assert await pen_of(copies_at()) is None
    await fill(copies_at())
    assert await pen_of(copies_at(max_age_s=0)) is None
    assert await copies_at(max_age_s=0).customer(CUSTOMER.customer_id) is None


async def test_a_copy_that_another_release_wrote_is_none(copies_at: Opening) -> None:
    copies = copies_at()
    await fill(copies)
    await copies._redis.client.set("ordersvc:product_copy:EUR:pen", b"\xc1", px=10_000)
    assert await pen_of(copies) is None
    await fill(copies)
    assert await pen_of(copies) == PEN


async def test_redis_flushed_or_killed_costs_calls_and_keeps_nobody_waiting(tmp_path: Path, copies_at: Opening) -> None:
    valkey = Valkey(State(tmp_path / "state"))
    await valkey.start()
    try:
        copies = copies_at(valkey.url)
        await fill(copies)
        assert await pen_of(copies) == PEN
        await copies._redis.client.flushall()
        assert await pen_of(copies) is None
        assert copies.figures()["redis_failures_total"] == 0
        assert valkey.child is not None
        await valkey.child.stop(signal.SIGKILL, limit_s=5)
        async with asyncio.timeout(5):
            await fill(copies)
            assert await pen_of(copies) is None
            await copies.drop(ReferenceKind.PRODUCT, "pen")
        assert copies.figures()["redis_failures_total"] > 0
        await valkey.start()
        await fill(copies)
        assert await pen_of(copies) == PEN
    finally:
        await valkey.stop()


VERSIONS = "select kind, key, version from reference_versions order by kind, key"


async def test_what_an_event_told_of_is_committed_and_its_copies_are_gone(
    store: OrderStore, sql: asyncpg.Connection[asyncpg.Record], copies_at: Opening
) -> None:
    copies = copies_at()
    await fill(copies)
    changed = CacheInvalidation(store.database, copies).changed
    await changed(ReferenceVersion(ReferenceKind.PRODUCT, "pen", 6))
    assert (await pen_of(copies), await pen_of(copies, "USD")) == (None, None)
    assert await copies.products(["ink"], "EUR") is not None
    assert await copies.customer(CUSTOMER.customer_id) is not None
    await changed(ReferenceVersion(ReferenceKind.CUSTOMER, CUSTOMER.customer_id, 4))
    assert await copies.customer(CUSTOMER.customer_id) is None
    # An event that comes late or twice takes nothing back.
    await changed(ReferenceVersion(ReferenceKind.PRODUCT, "pen", 5))
    await changed(ReferenceVersion(ReferenceKind.PRODUCT, "pen", 6))
    assert [tuple(row) for row in await sql.fetch(VERSIONS)] == [
        ("customer", CUSTOMER.customer_id, 4),
        ("product", "pen", 6),
    ]


async def test_a_version_is_committed_with_redis_away_and_never_without_postgresql(
    store: OrderStore, sql: asyncpg.Connection[asyncpg.Record], copies_at: Opening
) -> None:
    changed = CacheInvalidation(store.database, copies_at(NOWHERE)).changed
    change = ReferenceVersion(ReferenceKind.PRODUCT, "pen", 6)
    await changed(change)
    assert [tuple(row) for row in await sql.fetch(VERSIONS)] == [("product", "pen", 6)]
    await store.close()
    with pytest.raises(StorageUnavailable):
        await changed(replace(change, version=7))
