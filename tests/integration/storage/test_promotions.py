from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from domain.promotions import Promotion, PromotionKind
from storage.postgres import open_database
from storage.writes.order_store import OrderStore
from storage.writes.promotions import Promotions, UnreadablePromotion
from tests.integration.storage.orders import a_commit, an_order
from tests.integration.storage.owning import Lease

TEN = Promotion(
    code="TEN",
    kind=PromotionKind.PERCENTAGE,
    fraction="0.1000",
    skus=("sku-1", "sku-2"),
    starts_at=datetime(2026, 1, 1, tzinfo=UTC),
    ends_at=datetime(2027, 1, 1, tzinfo=UTC),
    min_subtotal=2**53 - 1,
    max_uses=5,
    max_uses_per_customer=1,
    combinable=True,
)


@pytest.fixture
async def promotions(database_url: str) -> AsyncIterator[Promotions]:
    database = await open_database(database_url, application_name="test-promotions")
    yield Promotions(database)
    await database.close()


async def test_a_promotion_is_read_as_it_was_made(promotions: Promotions, store: OrderStore) -> None:
    plain = Promotion(code="FREE", kind=PromotionKind.FREE_SHIPPING)
    assert await promotions.create(TEN)
    assert await promotions.create(plain)
    assert await promotions.find("TEN") == TEN
    assert await promotions.find("FREE") == plain
    for alike in ("ten", "Ten"):
        assert await promotions.find(alike) == TEN
    for unknown in ("tens", "", "TEN\0"):
        assert await promotions.find(unknown) is None
    assert await store.promotions(("TEN", "OTHER", "FREE", "\0")) == (plain, TEN)
    assert await store.promotions(()) == ()


async def test_a_code_is_made_once(promotions: Promotions) -> None:
    assert await promotions.create(TEN)
    for code in ("TEN", "ten", "Ten"):
        assert not await promotions.create(replace(TEN, code=code, fraction="0.5000"))
    assert await promotions.find("TEN") == TEN


async def test_a_promotion_is_changed_only_from_what_it_is(promotions: Promotions) -> None:
    await promotions.create(TEN)
    changed = replace(TEN, active=False, ends_at=None, skus=())
    assert await promotions.change(TEN, changed)
    assert not await promotions.change(TEN, replace(TEN, max_uses=9))
    assert await promotions.find("TEN") == changed
    assert not await promotions.change(replace(TEN, code="NONE"), replace(TEN, code="NONE"))


async def test_a_promotion_is_deleted_once(promotions: Promotions) -> None:
    await promotions.create(TEN)
    assert await promotions.delete("TEN")
    assert not await promotions.delete("TEN")
    await promotions.create(TEN)
    assert await promotions.delete("ten")
    assert not await promotions.delete("\0")
    assert await promotions.find("TEN") is None


async def test_pages_go_on_after_a_code(promotions: Promotions) -> None:
    codes = [f"C{i}" for i in range(7)]
    for code in reversed(codes):
        await promotions.create(replace(TEN, code=code))
    seen: list[str] = []
    after = None
    while page := await promotions.list(limit=3, after=after):
        seen += [each.code for each in page]
        after = seen[-1]
    assert seen == codes


async def test_uses_are_counted_and_outlive_the_promotion(
    promotions: Promotions, store: OrderStore, lease: Lease
) -> None:
    await promotions.create(replace(TEN, starts_at=None, ends_at=None))
    order = an_order()
    await store.flush(*lease, [a_commit(order, promotion_uses=(("TEN", "c-1001"),))])
    assert await promotions.used(["TEN", "NONE"]) == {"TEN": 1}
    await promotions.delete("TEN")
    await promotions.create(replace(TEN, code="Ten", starts_at=None, ends_at=None, max_uses=1))
    assert await promotions.used(["TEN"]) == {"Ten": 1}
    assert (await store.flush(*lease, [a_commit(an_order(), promotion_uses=(("TEN", "c-2"),))])).refused


async def test_a_change_writes_what_it_changes_and_nothing_else(
    promotions: Promotions, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await promotions.create(TEN)
    await sql.execute("update promotions set fraction = '0.10000'")
    read = await promotions.find("TEN")
    assert isinstance(read, Promotion)
    assert await promotions.change(read, replace(read, max_uses=9))
    assert await promotions.find("TEN") == replace(TEN, fraction="0.10000", max_uses=9)


UNREADABLE = {
    "starts_at": ("'-infinity'", "'infinity'", "'4000-01-01 BC'"),
    "ends_at": ("'infinity'", "'-infinity'", "'20000-01-01'"),
    "fraction": ("'NaN'", "'a tenth'", "'1e9'", "'-0.1'"),
    "skus": ("array[null]::text[]",),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in UNREADABLE.items() for value in values])
async def test_what_can_not_be_read_is_told_apart_and_the_others_are_read(
    promotions: Promotions, store: OrderStore, sql: asyncpg.Connection[asyncpg.Record], name: str, value: str
) -> None:
    """A promotion with a time that PostgreSQL took for infinity broke the list, and every order that named another beside it."""
    plain = Promotion(code="FREE", kind=PromotionKind.FREE_SHIPPING)
    await promotions.create(TEN)
    await promotions.create(plain)
    await sql.execute(f"update promotions set {name} = {value} where code = 'TEN'")  # noqa: S608
    absent: dict[str, Any] = {name: () if name == "skus" else None}
    broken = UnreadablePromotion(replace(TEN, **absent), (name,))
    assert await promotions.find("TEN") == broken
    assert await promotions.list(limit=5) == (plain, broken)
    assert await store.promotions(("TEN", "FREE")) == (plain,)
    off = UnreadablePromotion(replace(broken.readable, active=False), (name,))
    assert await promotions.change(broken, off)
    assert not await promotions.change(broken, off)
    assert await promotions.find("TEN") == off
    mended = replace(TEN, active=False)
    assert await promotions.change(off, mended)
    assert await promotions.find("TEN") == mended
