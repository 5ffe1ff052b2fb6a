"""Where a process that asks a partner looks first: copies of products and customers in Redis, then in PostgreSQL.

A copy changes latency only. Redis away, empty or slow: PostgreSQL is asked; that away too: nobody has a copy. No copy is
given that is older than allowed, or older than what an event told of: PostgreSQL has heard of every event, Redis may
have missed one. So whoever uses this is told of events too, and trusts Redis only when it has listened for as long as a
copy may live.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import structlog

from domain.order import Customer, Product
from storage.batching import BatchedReader
from storage.cache import Cache
from storage.catalogue import CatalogueTables
from storage.copies import Copy, CustomerNews, ProductNews
from storage.errors import StorageUnavailable
from storage.unreadable import unreadable_rows

log = structlog.get_logger()

TOLD_MAX_ENTRIES = 50_000

V = TypeVar("V", Product, Customer)


class CopyNews:
    """What events tell, written over the copies in both places. Both methods raise ``StorageUnavailable`` where PostgreSQL
    has not heard of it, and give False where Redis has not.
    """

    def __init__(self, cache: Cache, tables: CatalogueTables) -> None:
        self._cache = cache
        self._tables = tables

    async def product(self, news: ProductNews) -> bool:
        """An event told of a product."""
        await self._tables.tell_product(news)
        return await self._cache.tell_product(news)

    async def customer(self, news: CustomerNews) -> bool:
        """An event told of a customer."""
        await self._tables.tell_customer(news)
        return await self._cache.tell_customer(news)

    @property
    def redis_failures(self) -> int:
        """How often Redis was away when it was told."""
        return self._cache.failures


class CopyStore:
    """Copies for one process. ``run`` writes what is to be kept, some time after it was learnt and many at once."""

    def __init__(
        self,
        cache: Cache,
        tables: CatalogueTables,
        *,
        product_max_age_s: float,
        customer_max_age_s: float,
        monotonic: Callable[[], float],
        keep_every_s: float = 0.25,
        waiting_max_copies: int = 4096,
    ) -> None:
        self._cache = cache
        self._tables = tables
        self._product_max_age_s = product_max_age_s
        self._customer_max_age_s = customer_max_age_s
        self._monotonic = monotonic
        self._listening_since_s = monotonic()
        self._keep_every_s = keep_every_s
        self._waiting_max_copies = waiting_max_copies
        self._products: BatchedReader[Copy[Product]] = BatchedReader(self._read_products)
        self._customers: BatchedReader[Copy[Customer]] = BatchedReader(self._read_customers)
        self._told: OrderedDict[str, int] = OrderedDict()
        self._new_products: dict[tuple[str, str], tuple[float, Product]] = {}
        self._new_customers: dict[str, tuple[float, Customer]] = {}
        self._counts = {"redis": 0, "postgresql": 0, "missed": 0, "dropped": 0}

    # Looking.

    async def products(self, skus: Sequence[str], currency: str) -> Copy[tuple[Product, ...]] | None:
        """All of the products, as old as the oldest of them; None where any is not to be had."""
        if self._product_max_age_s <= 0:
            return None
        try:
            found = await asyncio.gather(*(self._products.get(f"{currency}:{sku}") for sku in dict.fromkeys(skus)))
        except StorageUnavailable:
            return None
        copies = [copy for copy in found if copy is not None]
        if not copies or len(copies) < len(found):
            return None
        return Copy(tuple(copy.value for copy in copies), max(copy.age_s for copy in copies))

    async def customer(self, customer_id: str) -> Copy[Customer] | None:
        """The customer; None where it is not to be had."""
        if self._customer_max_age_s <= 0:
            return None
        try:
            return await self._customers.get(customer_id)
        except StorageUnavailable:
            return None

    def told(self, key: str, version: int) -> None:
        """An event told of this version of ``product:<sku>`` or ``customer:<id>``: nothing older is given any more."""
        self._told[key] = max(version, self._told.pop(key, version))
        if len(self._told) > TOLD_MAX_ENTRIES:
            self._told.popitem(last=False)
            self._listening_since_s = self._monotonic()  # what was forgotten must not be believed from Redis

    # Keeping.

    def keep_products(self, products: Iterable[Product]) -> None:
        """ProductSvc has just answered this; it is kept soon, and not at all where too many wait."""
        for product in products:
            if self._has_room():
                self._new_products[product.sku, product.currency] = (self._monotonic(), product)

    def keep_customer(self, customer: Customer) -> None:
        """UserSvc has just answered this; it is kept soon, and not at all where too many wait."""
        if self._has_room():
            self._new_customers[customer.customer_id] = (self._monotonic(), customer)

    def _has_room(self) -> bool:
        if len(self._new_products) + len(self._new_customers) < self._waiting_max_copies:
            return True
        self._counts["dropped"] += 1
        return False

    async def run(self) -> None:
        """Write what is to be kept, for ever."""
        while True:
            await asyncio.sleep(self._keep_every_s)
            try:
                await self.write()
            except StorageUnavailable as error:
                log.warning("copies_not_kept", error=str(error))

    async def write(self) -> None:
        """Write what is to be kept now. Raises ``StorageUnavailable``; what could not be written is not tried again."""
        products, self._new_products = self._new_products, {}
        customers, self._new_customers = self._new_customers, {}
        if products:
            age_s = self._monotonic() - min(at for at, _ in products.values())
            fetched = [product for _, product in products.values()]
            await self._cache.keep_products(fetched, age_s=age_s)
            await self._tables.keep_products(fetched, age_s=age_s)
        if customers:
            age_s = self._monotonic() - min(at for at, _ in customers.values())
            known = [customer for _, customer in customers.values()]
            await self._cache.keep_customers(known, age_s=age_s)
            await self._tables.keep_customers(known, age_s=age_s)

    def figures(self) -> dict[str, float]:
        """What the metrics show: where copies were found, or not, and how often Redis was away."""
        counts = {f"copies_{name}_total": float(count) for name, count in self._counts.items()}
        return {**counts, "redis_failures_total": float(self._cache.failures), **unreadable_rows()}

    # Reading, in batches.

    async def _read_products(self, keys: Sequence[str]) -> dict[str, Copy[Product]]:
        found: dict[str, Copy[Product]] = {}
        age_s = self._product_max_age_s
        for currency in {key.partition(":")[0] for key in keys}:
            skus = [key.partition(":")[2] for key in keys if key.startswith(f"{currency}:")]
            copies = await self._look(
                skus,
                age_s,
                lambda skus, currency=currency: self._cache.products(skus, currency, max_age_s=age_s),  # type: ignore[misc]
                lambda skus, currency=currency: self._tables.products(skus, currency, max_age_s=age_s),  # type: ignore[misc]
            )
            found |= {f"{currency}:{sku}": copy for sku, copy in copies.items()}
        return found

    async def _read_customers(self, customer_ids: Sequence[str]) -> dict[str, Copy[Customer]]:
        age_s = self._customer_max_age_s
        return await self._look(
            customer_ids,
            age_s,
            lambda ids: self._cache.customers(ids, max_age_s=age_s),
            lambda ids: self._tables.customers(ids, max_age_s=age_s),
        )

    async def _look(
        self,
        keys: Sequence[str],
        max_age_s: float,
        in_redis: Callable[[Sequence[str]], Awaitable[dict[str, Copy[V]]]],
        in_postgresql: Callable[[Sequence[str]], Awaitable[dict[str, Copy[V]]]],
    ) -> dict[str, Copy[V]]:
        found: dict[str, Copy[V]] = {}
        if self._monotonic() - self._listening_since_s >= max_age_s:
            found = self._not_outdated(await in_redis(keys))
        self._counts["redis"] += len(found)
        missing = [key for key in keys if key not in found]
        if missing:
            try:
                stored = self._not_outdated(await in_postgresql(missing))
            except StorageUnavailable as error:
                log.warning("copies_not_read", error=str(error))
                stored = {}
            self._counts["postgresql"] += len(stored)
            found |= stored
        self._counts["missed"] += len(keys) - len(found)
        return found

    def _not_outdated(self, copies: dict[str, Copy[V]]) -> dict[str, Copy[V]]:
        return {
            key: copy for key, copy in copies.items() if copy.value.version >= self._told.get(_told_key(copy.value), 0)
        }


def _told_key(value: Product | Customer) -> str:
    return f"product:{value.sku}" if isinstance(value, Product) else f"customer:{value.customer_id}"
