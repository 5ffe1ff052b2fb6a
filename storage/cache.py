"""What Redis remembers for a while: copies of products and customers, statistics, and counters. It is never the
authority.

A copy is a hash, so that what an event says changes single fields without reading the copy first. Each change is
one script: whoever comes with a lower version than an event has told of, or than the copy has, changes nothing
(spec.md, "Lines"). Nothing here is raised: with Redis away, nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from domain.order import Address, Customer, Product
from storage.copies import Copy, CustomerNews, ProductNews
from storage.redis import QuietRedis

COPY_KEEP_S = 86_400
PREFIX = "ordersvc:"

# Fields of a product: told, version, name, tax_rate, available, sellable, and for each currency price:<c> and at:<c>
# (when it was fetched, in milliseconds of Redis' clock). Of a customer: told, version, at, name, email, status,
# addresses.
_CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function number(field) return tonumber(redis.call('HGET', KEYS[1], field) or '-1') end
local function drop_prices()
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
        if field:sub(1, 6) == 'price:' or field:sub(1, 3) == 'at:' then redis.call('HDEL', KEYS[1], field) end
    end
end
"""
# keep_s, version, currency ('' for a customer), price, age in milliseconds, then fields and values.
KEEP = f"""{_CLOCK}
local version = tonumber(ARGV[2])
if version < number('told') or version < number('version') then return 0 end
if version > number('version') then drop_prices() end
now = now - tonumber(ARGV[5])
redis.call('HSET', KEYS[1], 'version', ARGV[2], unpack(ARGV, 6))
if ARGV[3] ~= '' then
    redis.call('HSET', KEYS[1], 'price:' .. ARGV[3], ARGV[4], 'at:' .. ARGV[3], now)
else
    redis.call('HSET', KEYS[1], 'at', now)
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
"""
# The same arguments; a price of '' is none.
TELL = f"""{_CLOCK}
local version = tonumber(ARGV[2])
if version <= number('told') or version <= number('version') then return 0 end
redis.call('HSET', KEYS[1], 'told', ARGV[2])
if number('version') >= 0 then
    redis.call('HSET', KEYS[1], 'version', ARGV[2])
    if #ARGV > 5 then redis.call('HSET', KEYS[1], unpack(ARGV, 6)) end
    if ARGV[4] ~= '' then
        drop_prices()
        redis.call('HSET', KEYS[1], 'price:' .. ARGV[3], ARGV[4], 'at:' .. ARGV[3], now)
    end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
"""
# Greatest age in milliseconds, the field that has the time, then the fields to give; an entry a key, empty where too
# old, else its age in milliseconds and the fields.
RECALL = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
for i, key in ipairs(KEYS) do
    local at = redis.call('HGET', key, ARGV[2])
    found[i] = {}
    if at and now - tonumber(at) <= tonumber(ARGV[1]) then
        found[i] = redis.call('HMGET', key, unpack(ARGV, 3))
        table.insert(found[i], 1, now - tonumber(at))
    end
end
return found
"""
COUNT = """
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if sum == tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return sum
"""

_addresses = msgspec.msgpack.Decoder(tuple[Address, ...])


class Cache:
    """Copies and counters in Redis, for all processes together. Redis away: nothing is known, and nothing is raised."""

    def __init__(self, redis: QuietRedis) -> None:
        self._redis = redis
        script = redis.client.register_script
        self._keep, self._tell, self._recall, self._count = map(script, (KEEP, TELL, RECALL, COUNT))

    # Copies of products and customers.

    async def products(self, skus: Sequence[str], currency: str, *, max_age_s: float) -> dict[str, Copy[Product]]:
        """The copies of products, by sku, that have a price in the currency no older than ``max_age_s``."""
        fields = ("version", "name", "tax_rate", "available", "sellable", f"price:{currency}")
        found = await self._recalled([_product(sku) for sku in skus], f"at:{currency}", max_age_s, fields)
        return {
            sku: Copy(
                Product(
                    sku=sku,
                    version=int(row[1]),
                    name=row[2].decode(),
                    tax_rate=row[3].decode(),
                    available=int(row[4]),
                    sellable=row[5] == b"1",
                    unit_price=int(row[6]),
                    currency=currency,
                ),
                age_s=max(0.0, row[0] / 1000),
            )
            for sku, row in zip(skus, found, strict=False)
            if row and None not in row
        }

    async def keep_products(self, products: Iterable[Product], *, age_s: float = 0.0) -> None:
        """Remember what ProductSvc answered ``age_s`` seconds ago, unless something newer is known."""

        async def keep() -> None:
            pipeline = self._redis.client.pipeline(transaction=False)
            for each in products:
                fields = _pairs(
                    name=each.name, tax_rate=each.tax_rate, available=each.available, sellable=int(each.sellable)
                )
                arguments = [COPY_KEEP_S, each.version, each.currency, each.unit_price, _milliseconds(age_s), *fields]
                await self._keep(keys=[_product(each.sku)], args=arguments, client=pipeline)
            await pipeline.execute()

        await self._redis.ask(keep)

    async def tell_product(self, news: ProductNews) -> bool:
        """An event told of a product: older copies take over what it says, and are not accepted any more. False where
        Redis is away.
        """
        price = news.unit_price
        currency, amount = (price.currency, price.amount) if price else ("", "")
        fields = _pairs(available=news.available, tax_rate=news.tax_rate, name=news.name)
        return await self._told(_product(news.sku), [news.version, currency, amount], fields)

    async def customers(self, customer_ids: Sequence[str], *, max_age_s: float) -> dict[str, Copy[Customer]]:
        """The copies of customers, by id, that are no older than ``max_age_s``."""
        fields = ("version", "name", "email", "status", "addresses")
        found = await self._recalled([_customer(each) for each in customer_ids], "at", max_age_s, fields)
        return {
            customer_id: Copy(
                Customer(
                    customer_id=customer_id,
                    version=int(row[1]),
                    name=row[2].decode(),
                    email=row[3].decode(),
                    status=row[4].decode(),
                    addresses=_addresses.decode(row[5]),
                ),
                age_s=max(0.0, row[0] / 1000),
            )
            for customer_id, row in zip(customer_ids, found, strict=False)
            if row and None not in row
        }

    async def keep_customers(self, customers: Iterable[Customer], *, age_s: float = 0.0) -> None:
        """Remember what UserSvc answered ``age_s`` seconds ago, unless something newer is known."""

        async def keep() -> None:
            pipeline = self._redis.client.pipeline(transaction=False)
            for each in customers:
                addresses = msgspec.msgpack.encode(each.addresses)
                fields = _pairs(name=each.name, email=each.email, status=each.status, addresses=addresses)
                arguments = [COPY_KEEP_S, each.version, "", "", _milliseconds(age_s), *fields]
                await self._keep(keys=[_customer(each.customer_id)], args=arguments, client=pipeline)
            await pipeline.execute()

        await self._redis.ask(keep)

    async def tell_customer(self, news: CustomerNews) -> bool:
        """An event told of a customer: an older copy takes over what it says, and is not accepted any more. False where
        Redis is away.
        """
        addresses = None if news.addresses is None else msgspec.msgpack.encode(news.addresses)
        fields = _pairs(name=news.name, email=news.email, status=news.status, addresses=addresses)
        return await self._told(_customer(news.customer_id), [news.version, "", ""], fields)

    # Anything else, for a while.

    async def recall(self, name: str) -> bytes | None:
        """What is remembered under a name, or None."""
        remembered: bytes | None = await self._redis.ask(lambda: self._redis.client.get(f"{PREFIX}memo:{name}"))
        return remembered

    async def remember(self, name: str, value: bytes, *, keep_s: float) -> None:
        """Remember something for ``keep_s`` seconds."""
        keep_ms = max(1, round(keep_s * 1000))
        await self._redis.ask(lambda: self._redis.client.set(f"{PREFIX}memo:{name}", value, px=keep_ms))

    async def count(self, name: str, amount: int, *, keep_s: int) -> int | None:
        """Add to a counter that lives ``keep_s`` seconds from its first addition: the sum, or None when Redis is
        away.
        """
        key = f"{PREFIX}count:{name}"
        counted: int | None = await self._redis.ask(lambda: self._count(keys=[key], args=[amount, keep_s]))
        return counted

    async def is_well(self) -> bool:
        """Tell whether Redis answers now."""
        return await self._redis.is_well()

    @property
    def failures(self) -> int:
        """How often Redis was away when it was asked."""
        return self._redis.failures

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.close()

    async def _told(self, key: str, arguments: list[Any], fields: list[Any]) -> bool:
        told = [COPY_KEEP_S, *arguments, 0, *fields]
        return await self._redis.ask(lambda: self._tell(keys=[key], args=told)) is not None

    async def _recalled(self, keys: list[str], at: str, max_age_s: float, fields: Sequence[str]) -> list[list[Any]]:
        arguments = [_milliseconds(max_age_s), at, *fields]
        return await self._redis.ask(lambda: self._recall(keys=keys, args=arguments)) or []


def _product(sku: str) -> str:
    return f"{PREFIX}product:{sku}"


def _customer(customer_id: str) -> str:
    return f"{PREFIX}customer:{customer_id}"


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _pairs(**fields: Any) -> list[Any]:
    """Names and values, one after the other, of what is given."""
    return [part for name, value in fields.items() if value is not None for part in (name, value)]
