"""Redis with its copies of products and customers, for all bulkheads of a run: what is to be dropped there may stay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from domain.order import Customer, Product
from domain.reference_data import ReferenceKind, ReferenceVersion
from storage.reads.reference_data import Copy
from tests.faults.simulation.store import StoreClient

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

MAX_AGE_S = 20.0


class SharedCacheDouble:
    """``storage.reads.reference_data.ReferenceCopies``."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._products: dict[tuple[str, str], tuple[float, Product]] = {}
        self._customers: dict[str, tuple[float, Customer]] = {}

    async def products(self, skus: Iterable[str], currency: str) -> Copy[tuple[Product, ...]] | None:
        now_s = self._world.loop.time()
        found = [self._products.get((sku, currency)) for sku in dict.fromkeys(skus)]
        young = [each for each in found if each is not None and now_s - each[0] <= MAX_AGE_S]
        if len(young) < len(found):
            return None
        return Copy(tuple(product for _, product in young), max(now_s - at_s for at_s, _ in young))

    async def customer(self, customer_id: str) -> Copy[Customer] | None:
        at_s, customer = self._customers.get(customer_id, (0.0, None))
        age_s = self._world.loop.time() - at_s
        return None if customer is None or age_s > MAX_AGE_S else Copy(customer, age_s)

    async def keep_products(self, products: Iterable[Product]) -> None:
        for product in products:
            self._products[product.sku, product.currency] = (self._world.loop.time(), product)

    async def keep_customer(self, customer: Customer) -> None:
        self._customers[customer.customer_id] = (self._world.loop.time(), customer)

    def drop(self, kind: ReferenceKind, key: str) -> None:
        """Forget a product or a customer, unless Redis is away just now."""
        if self._world.chaos.strikes(self._world.chaos.chances.copy_not_dropped):
            return
        if kind is ReferenceKind.CUSTOMER:
            self._customers.pop(key, None)
        for known in [known for known in self._products if kind is ReferenceKind.PRODUCT and known[0] == key]:
            del self._products[known]


class InvalidationDouble:
    """``storage.reads.reference_data.CacheInvalidation``."""

    def __init__(self, store: StoreClient, copies: SharedCacheDouble) -> None:
        self._store = store
        self._copies = copies

    async def changed(self, change: ReferenceVersion) -> None:
        await self._store.raise_version(change)
        self._copies.drop(change.kind, change.key)
