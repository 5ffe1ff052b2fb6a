"""Reference data: which versions of products and customers events announced, in PostgreSQL, and copies of them in Redis.

A copy saves a call to a partner, and nothing depends on it: the flush that validates an order compares its versions with those that
events announced (``flush_statement.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from domain.order import Customer, Product
from domain.reference_data import ReferenceKind, ReferenceVersion
from storage.batched_reads import BatchedReader
from storage.errors import StorageUnavailable
from storage.postgres import Database
from storage.redis_cache import PREFIX
from storage.redis_connection import QuietRedis

RAISE_VERSION = """
insert into reference_versions (kind, key, version) values ($1, $2, $3)
on conflict (kind, key) do update set version = excluded.version where reference_versions.version < excluded.version
"""

V = TypeVar("V")

_decode_product = msgspec.msgpack.Decoder(tuple[float, Product]).decode
_decode_customer = msgspec.msgpack.Decoder(tuple[float, Customer]).decode


@dataclass(frozen=True, slots=True)
class Copy(Generic[V]):
    """What a partner answered ``age_s`` seconds ago."""

    value: V
    age_s: float


class ReferenceCopies:
    """The copies in Redis, for all processes together. With Redis away there are none, and nothing is raised.

    A product has one in each of ``currencies``. A copy lives for as long as it may be used, so its age follows from what is left of
    its life. Where the greatest age is 0, there are none.
    """

    def __init__(
        self,
        redis: QuietRedis,
        *,
        product_max_age_s: float,
        customer_max_age_s: float,
        currencies: Collection[str],
    ) -> None:
        self._redis = redis
        self._product_max_age_s = product_max_age_s
        self._customer_max_age_s = customer_max_age_s
        self._currencies = currencies
        self._reader: BatchedReader[tuple[bytes, float]] = BatchedReader(self._read)
        self._counts = {"hit": 0, "miss": 0}

    async def products(self, skus: Iterable[str], currency: str) -> Copy[tuple[Product, ...]] | None:
        """All of the products, as old as the oldest of them; None where any of them is missing."""
        keys = dict.fromkeys(_product_key(sku, currency) for sku in skus)
        found = await asyncio.gather(
            *(self._find(key, _decode_product, max_age_s=self._product_max_age_s) for key in keys)
        )
        copies = [copy for copy in found if copy is not None]
        if len(copies) < len(keys):
            return None
        return Copy(tuple(copy.value for copy in copies), max(copy.age_s for copy in copies))

    async def customer(self, customer_id: str) -> Copy[Customer] | None:
        """The customer; None where there is no copy."""
        return await self._find(_customer_key(customer_id), _decode_customer, max_age_s=self._customer_max_age_s)

    async def keep_products(self, products: Iterable[Product]) -> None:
        """Keep what ProductSvc has just answered."""
        copies = {_product_key(each.sku, each.currency): each for each in products}
        await self._keep(copies, max_age_s=self._product_max_age_s)

    async def keep_customer(self, customer: Customer) -> None:
        """Keep what UserSvc has just answered."""
        await self._keep({_customer_key(customer.customer_id): customer}, max_age_s=self._customer_max_age_s)

    async def drop(self, kind: ReferenceKind, key: str) -> None:
        """Forget the copies of a product or a customer."""
        if kind is ReferenceKind.PRODUCT:
            keys = [_product_key(key, currency) for currency in self._currencies]
        else:
            keys = [_customer_key(key)]
        await self._redis.ask(lambda: self._redis.client.delete(*keys))

    def figures(self) -> dict[str, float]:
        """What the metrics show: copies found and missed, and how often Redis was away."""
        counts = {f"reference_lookups_total:{outcome}": float(count) for outcome, count in self._counts.items()}
        return {**counts, "redis_failures_total": float(self._redis.failures)}

    async def _find(self, key: str, decode: Callable[[bytes], tuple[float, V]], *, max_age_s: float) -> Copy[V] | None:
        if max_age_s <= 0:
            return None
        copy: Copy[V] | None = None
        try:
            stored = await self._reader.get(key)
            if stored is not None:
                lives_s, value = decode(stored[0])
                copy = Copy(value, max(0.0, lives_s - stored[1]))
        except (StorageUnavailable, msgspec.MsgspecError):  # too many ask, or another release wrote it
            copy = None
        if copy is not None and copy.age_s > max_age_s:
            copy = None
        self._counts["miss" if copy is None else "hit"] += 1
        return copy

    async def _read(self, keys: Sequence[str]) -> dict[str, tuple[bytes, float]]:
        """What Redis has under the keys, each with the seconds that are left of its life."""

        async def read() -> list[Any]:
            pipeline = self._redis.client.pipeline(transaction=False)
            for key in keys:
                pipeline.get(key).pttl(key)
            found: list[Any] = await pipeline.execute()
            return found

        found = await self._redis.ask(read) or []
        return {
            key: (stored, left_ms / 1000)
            for key, stored, left_ms in zip(keys, found[::2], found[1::2], strict=False)
            if stored is not None
        }

    async def _keep(self, copies: Mapping[str, Product | Customer], *, max_age_s: float) -> None:
        if max_age_s <= 0:
            return

        async def keep() -> None:
            pipeline = self._redis.client.pipeline(transaction=False)
            for key, value in copies.items():
                pipeline.set(key, msgspec.msgpack.encode((max_age_s, value)), px=max(1, round(max_age_s * 1000)))
            await pipeline.execute()

        await self._redis.ask(keep)


class CacheInvalidation:
    """What becomes of a copy that an event made old: no order is validated with it from then on."""

    def __init__(self, database: Database, copies: ReferenceCopies) -> None:
        self._database = database
        self._copies = copies

    async def changed(self, change: ReferenceVersion) -> None:
        """Commit the version that an event announced, and drop the copies. Raises ``StorageUnavailable``: it is not committed."""
        await self._database.fetch(RAISE_VERSION, change.kind.value, change.key, change.version)
        await self._copies.drop(change.kind, change.key)


def _product_key(sku: str, currency: str) -> str:
    return f"{PREFIX}product_copy:{currency}:{sku}"


def _customer_key(customer_id: str) -> str:
    return f"{PREFIX}customer_copy:{customer_id}"
