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
from storage.copies import CustomerNews, ProductNews
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
# keep_s, version, currency ('' for a customer), price, then fields and values.
KEEP = f"""{_CLOCK}
local version = tonumber(ARGV[2])
if version < number('told') or version < number('version') then return 0 end
if version > number('version') then drop_prices() end
redis.call('HSET', KEYS[1], 'version', ARGV[2], unpack(ARGV, 5))
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
    if #ARGV > 4 then redis.call('HSET', KEYS[1], unpack(ARGV, 5)) end
    if ARGV[4] ~= '' then
        drop_prices()
        redis.call('HSET', KEYS[1], 'price:' .. ARGV[3], ARGV[4], 'at:' .. ARGV[3], now)
    end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
"""
# Greatest age in milliseconds, the field that has the time, then the fields to give; an entry a key, empty where too
# old.
RECALL = """
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[1])
local found = {}
for i, key in ipairs(KEYS) do
    local at = redis.call('HGET', key, ARGV[2])
    found[i] = (at and tonumber(at) >= oldest) and redis.call('HMGET', key, unpack(ARGV, 3)) or {}
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

    async def products(self, skus: Sequence[str], currency: str, *, max_age_s: float) -> dict[str, Product]:
        """The copies of products, by sku, that have a price in the currency no older than ``max_age_s``."""
        fields = ("version", "name", "tax_rate", "available", "sellable", f"price:{currency}")
        found = await self._recalled([_product(sku) for sku in skus], f"at:{currency}", max_age_s, fields)
        return {
            sku: Product(
                sku=sku,
                version=int(row[0]),
                name=row[1].decode(),
                tax_rate=row[2].decode(),
                available=int(row[3]),
                sellable=row[4] == b"1",
                unit_price=int(row[5]),
                currency=currency,
            )
            for sku, row in zip(skus, found, strict=False)
            if row and None not in row
        }

    async def keep_products(self, products: Iterable[Product]) -> None:
        """Remember what ProductSvc has just answered, unless something newer is known."""

        async def keep() -> None:
            pipeline = self._redis.client.pipeline(transaction=False)
            for each in products:
                fields = _pairs(
                    name=each.name, tax_rate=each.tax_rate, available=each.available, sellable=int(each.sellable)
                )
                arguments = [COPY_KEEP_S, each.version, each.currency, each.unit_price, *fields]
                await self._keep(keys=[_product(each.sku)], args=arguments, client=pipeline)
            await pipeline.execute()

        await self._redis.ask(keep)

    async def tell_product(self, news: ProductNews) -> None:
        """An event told of a product: older copies take over what it says, and are not accepted any more."""
        price = news.unit_price
        currency, amount = (price.currency, price.amount) if price else ("", "")
        await self._change(
            self._tell, _product(news.sku), news.version, currency, amount,
            available=news.available, tax_rate=news.tax_rate, name=news.name,
        )  # fmt: skip

    async def customer(self, customer_id: str, *, max_age_s: float) -> Customer | None:
        """The copy of a customer that is no older than ``max_age_s``, or None."""
        fields = ("version", "name", "email", "status", "addresses")
        found = await self._recalled([_customer(customer_id)], "at", max_age_s, fields)
        if not found or not found[0] or None in found[0]:
            return None
        version, name, email, status, addresses = found[0]
        return Customer(
            customer_id=customer_id,
            version=int(version),
            name=name.decode(),
            email=email.decode(),
            status=status.decode(),
            addresses=_addresses.decode(addresses),
        )

    async def keep_customer(self, customer: Customer) -> None:
        """Remember what UserSvc has just answered, unless something newer is known."""
        await self._change(
            self._keep, _customer(customer.customer_id), customer.version, "", "",
            name=customer.name, email=customer.email, status=customer.status,
            addresses=msgspec.msgpack.encode(customer.addresses),
        )  # fmt: skip

    async def tell_customer(self, news: CustomerNews) -> None:
        """An event told of a customer: an older copy takes over what it says, and is not accepted any more."""
        addresses = None if news.addresses is None else msgspec.msgpack.encode(news.addresses)
        await self._change(
            self._tell, _customer(news.customer_id), news.version, "", "",
            name=news.name, email=news.email, status=news.status, addresses=addresses,
        )  # fmt: skip

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

    async def _change(
        self, script: Any, key: str, version: int, currency: str, price: int | str, **fields: Any
    ) -> None:
        arguments = [COPY_KEEP_S, version, currency, price, *_pairs(**fields)]
        await self._redis.ask(lambda: script(keys=[key], args=arguments))

    async def _recalled(self, keys: list[str], at: str, max_age_s: float, fields: Sequence[str]) -> list[list[Any]]:
        arguments = [round(max_age_s * 1000), at, *fields]
        return await self._redis.ask(lambda: self._recall(keys=keys, args=arguments)) or []


def _product(sku: str) -> str:
    return f"{PREFIX}product:{sku}"


def _customer(customer_id: str) -> str:
    return f"{PREFIX}customer:{customer_id}"


def _pairs(**fields: Any) -> list[Any]:
    """Names and values, one after the other, of what is given."""
    return [part for name, value in fields.items() if value is not None for part in (name, value)]
