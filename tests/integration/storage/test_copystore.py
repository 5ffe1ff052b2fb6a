"""Copies for those who ask partners: in Redis, else in PostgreSQL; whatever is away or lost changes latency only."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from domain.money import Money
from domain.order import Product
from local.state import State
from local.valkey import Valkey
from storage.cache import Cache
from storage.catalogue import CatalogueTables
from storage.copies import CustomerNews, ProductNews
from storage.copystore import CopyNews, CopyStore
from storage.postgres import Database, PoolLimits, open_database
from storage.redis import QuietRedis
from tests.integration.storage.orders import CUSTOMER

AGE_S = 30.0
PEN = Product(
    sku="pen",
    name="Pluma",
    unit_price=100,
    currency="EUR",
    tax_rate="0.2100",
    available=7,
    sellable=True,
    version=5,
)
INK = replace(PEN, sku="ink", name="Tinta")
NOWHERE = "redis://127.0.0.1:1/0"


class Clock:
    """The time of a process that has listened to events for as long as a copy may live."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


class Processes:
    """Bulkheads and bridges on one Redis and one PostgreSQL."""

    def __init__(self, redis_url: str, database: Database) -> None:
        self.redis_url = redis_url
        self.database = database
        self.caches: list[Cache] = []

    def _cache(self, redis_url: str | None) -> Cache:
        cache = Cache(QuietRedis(redis_url or self.redis_url, timeout_s=0.1, rest_s=0))
        self.caches.append(cache)
        return cache

    def store(self, *, listened_s: float = AGE_S, redis_url: str | None = None) -> CopyStore:
        """The copies as a process sees them that has listened to events for ``listened_s`` seconds."""
        clock = Clock()
        store = CopyStore(
            self._cache(redis_url),
            CatalogueTables(self.database),
            product_max_age_s=AGE_S,
            customer_max_age_s=AGE_S,
            monotonic=clock,
        )
        clock.ahead_s = listened_s
        return store

    def news(self, *, redis_url: str | None = None) -> CopyNews:
        """The bridge's side."""
        return CopyNews(self._cache(redis_url), CatalogueTables(self.database))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url, application_name="test-copies", limits=PoolLimits(acquire_timeout_s=0.2))
    yield opened
    await opened.close()


@pytest.fixture
async def processes(redis_url: str, database: Database) -> AsyncIterator[Processes]:
    made = Processes(redis_url, database)
    yield made
    for cache in made.caches:
        await cache.close()


async def pen_of(store: CopyStore) -> Product | None:
    found = await store.products(["pen"], "EUR")
    return None if found is None else found.value[0]


async def fill(store: CopyStore) -> None:
    store.keep_products([PEN, INK])
    store.keep_customer(CUSTOMER)
    await store.write()


async def test_what_one_process_learnt_another_finds_in_redis(processes: Processes) -> None:
    await fill(processes.store())
    other = processes.store()
    products = await other.products(["pen", "ink", "pen"], "EUR")
    customer = await other.customer(CUSTOMER.customer_id)
    assert products is not None
    assert products.value == (PEN, INK)
    assert 0 <= products.age_s < AGE_S
    assert customer is not None
    assert customer.value == CUSTOMER
    assert other.figures()["copies_redis_total"] == 3
    # All or nothing: whoever misses one asks the partner for all.
    assert await other.products(["pen", "paper"], "EUR") is None
    assert await other.products(["pen"], "USD") is None
    assert await other.customer("nobody") is None


async def test_redis_flushed_changes_only_where_a_copy_is_found(processes: Processes) -> None:
    await fill(processes.store())
    await processes.caches[0]._redis.client.flushall()
    other = processes.store()
    assert await pen_of(other) == PEN
    customer = await other.customer(CUSTOMER.customer_id)
    assert customer is not None
    assert customer.value == CUSTOMER
    figures = other.figures()
    assert (figures["copies_redis_total"], figures["copies_postgresql_total"]) == (0, 2)


async def test_redis_killed_is_counted_and_keeps_nobody_waiting(tmp_path: Path, processes: Processes) -> None:
    valkey = Valkey(State(tmp_path / "state"))
    await valkey.start()
    try:
        store = processes.store(redis_url=valkey.url)
        await fill(store)
        assert await pen_of(store) == PEN
        assert store.figures()["copies_redis_total"] == 1
        assert valkey.child is not None
        await valkey.child.stop(signal.SIGKILL, limit_s=5)
        async with asyncio.timeout(5):
            assert await pen_of(store) == PEN
            await fill(store)
        assert store.figures()["copies_postgresql_total"] == 1
        assert store.figures()["redis_failures_total"] > 0
        await valkey.start()
        await fill(store)
        assert await pen_of(store) == PEN
        assert store.figures()["copies_redis_total"] == 2
    finally:
        await valkey.stop()


async def test_with_postgresql_away_redis_serves_and_with_both_away_nobody_has_a_copy(
    processes: Processes, database: Database
) -> None:
    await fill(processes.store())
    both, without_redis = processes.store(), processes.store(redis_url=NOWHERE)
    await database.close()
    async with asyncio.timeout(5):
        assert await pen_of(both) == PEN
        assert await pen_of(without_redis) is None
        assert await without_redis.customer(CUSTOMER.customer_id) is None
    assert without_redis.figures()["copies_missed_total"] == 2


async def test_news_replace_what_they_name_in_both_places(processes: Processes) -> None:
    await fill(processes.store())
    news = processes.news()
    assert await news.product(ProductNews(sku="pen", version=6, available=1, unit_price=Money(120, "EUR")))
    assert await news.customer(CustomerNews(customer_id=CUSTOMER.customer_id, version=4, status="blocked"))
    for store in (processes.store(), processes.store(redis_url=NOWHERE)):
        assert await pen_of(store) == replace(PEN, version=6, available=1, unit_price=120)
        customer = await store.customer(CUSTOMER.customer_id)
        assert customer is not None
        assert customer.value == replace(CUSTOMER, version=4, status="blocked")


async def test_a_copy_in_redis_that_missed_an_event_is_given_to_nobody(processes: Processes) -> None:
    """Redis was away when the event came, and is back with what it held."""
    await fill(processes.store())
    listening, just_started = processes.store(), processes.store(listened_s=0)
    told = await processes.news(redis_url=NOWHERE).product(
        ProductNews(sku="pen", version=6, available=7, unit_price=Money(120, "EUR"))
    )
    assert not told
    assert await pen_of(listening) == PEN  # which is why it has to be told, before the event is acknowledged
    listening.told("product:pen", 6)
    newer = replace(PEN, version=6, unit_price=120)
    for store in (listening, just_started):
        assert await pen_of(store) == newer
        assert store.figures()["copies_redis_total"] == (1 if store is listening else 0)


async def test_an_answer_that_an_event_has_made_old_is_not_kept(processes: Processes) -> None:
    await processes.news().product(ProductNews(sku="pen", version=9, available=7))
    store = processes.store()
    await fill(store)
    assert await pen_of(store) is None


async def test_copies_that_nobody_may_use_are_not_looked_for(processes: Processes) -> None:
    store = CopyStore(
        processes._cache(None),
        CatalogueTables(processes.database),
        product_max_age_s=0,
        customer_max_age_s=0,
        monotonic=time.monotonic,
    )
    await fill(store)
    assert await pen_of(store) is None
    assert await store.customer(CUSTOMER.customer_id) is None


async def test_no_more_wait_to_be_kept_than_there_is_room_for(processes: Processes) -> None:
    store = processes.store()
    store.keep_products(replace(PEN, sku=f"pen-{number}") for number in range(5000))
    assert store.figures()["copies_dropped_total"] == 5000 - 4096
    await store.write()
    assert await store.products(["pen-0", "pen-4095"], "EUR") is not None
    assert await store.products(["pen-4096"], "EUR") is None
