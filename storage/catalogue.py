"""Copies of products and customers in PostgreSQL: the second level, for when Redis has forgotten them.

The same rules of versions as in ``cache.py``, in SQL. They are never the authority.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from domain.money import fraction
from domain.order import Address, Customer, Product
from storage.copies import Copy, CustomerNews, ProductNews
from storage.postgres import Database, Record
from storage.unreadable import is_readable_time, tell_unreadable

# A price of a lower version than the product's highest is one that an event or another fetch has made old.
_AGE_S = f"case when {is_readable_time('fetched_at')} then extract(epoch from clock_timestamp() - fetched_at)::float8 end as age_s"
PRODUCTS = f"""
select p.sku, p.currency, p.version, p.unit_price, p.available, p.sellable, p.name, p.tax_rate, {_AGE_S}
from products p left join product_versions v using (sku)
where p.sku = any($1::text[]) and p.currency = $2 and p.fetched_at >= clock_timestamp() - make_interval(secs => $3)
    and p.version >= coalesce(v.version, 0)
"""  # noqa: S608
KEEP_PRODUCTS = """
insert into products (sku, currency, version, fetched_at, unit_price, available, sellable, name, tax_rate)
select g.sku, g.currency, g.version, clock_timestamp() - make_interval(secs => $9), g.unit_price, g.available, g.sellable,
    g.name, g.tax_rate
from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[], $7::text[], $8::text[])
    as g (sku, currency, version, unit_price, available, sellable, name, tax_rate)
left join product_versions v on v.sku = g.sku
where g.version >= coalesce(v.version, 0)
order by g.sku, g.currency
on conflict (sku, currency) do update set version = excluded.version, fetched_at = excluded.fetched_at,
    unit_price = excluded.unit_price, available = excluded.available, sellable = excluded.sellable,
    name = excluded.name, tax_rate = excluded.tax_rate
where products.version <= excluded.version
"""
TELL_PRODUCT = """
with told as (
    insert into product_versions (sku, version) values ($1, $2)
    on conflict (sku) do update set version = excluded.version where product_versions.version < excluded.version
    returning sku
), dropped as (
    delete from products p using told t where p.sku = t.sku and p.version < $2 and p.currency <> $4::text
)
update products p set version = $2, available = $3, unit_price = coalesce($5, p.unit_price),
    fetched_at = case when $5::bigint is null then p.fetched_at else clock_timestamp() end,
    tax_rate = coalesce($6, p.tax_rate), name = coalesce($7, p.name)
from told t where p.sku = t.sku and p.version < $2 and ($4::text is null or p.currency = $4)
"""
CUSTOMERS = f"""
select customer_id, version, name, email, status, addresses, {_AGE_S} from customers
where customer_id = any($1::text[]) and fetched_at >= clock_timestamp() - make_interval(secs => $2)
    and addresses is not null
"""  # noqa: S608
KEEP_CUSTOMERS = """
insert into customers (customer_id, version, fetched_at, name, email, status, addresses)
select customer_id, version, clock_timestamp() - make_interval(secs => $7), name, email, status, addresses
from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bytea[])
    as g (customer_id, version, name, email, status, addresses)
order by customer_id
on conflict (customer_id) do update set version = excluded.version, fetched_at = excluded.fetched_at,
    name = excluded.name, email = excluded.email, status = excluded.status, addresses = excluded.addresses
where customers.version <= excluded.version
"""
TELL_CUSTOMER = """
insert into customers as c (customer_id, version) values ($1, $2)
on conflict (customer_id) do update set version = excluded.version, name = coalesce($3, c.name),
    email = coalesce($4, c.email), status = coalesce($5, c.status), addresses = coalesce($6, c.addresses)
where c.version < excluded.version
"""

_addresses = msgspec.msgpack.Decoder(tuple[Address, ...])


class CatalogueTables:
    """The tables of copies. Every method raises ``StorageUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def products(self, skus: Sequence[str], currency: str, *, max_age_s: float) -> dict[str, Copy[Product]]:
        """The copies of products, by sku, that have a price in the currency no older than ``max_age_s``."""
        rows = await self._database.fetch(PRODUCTS, skus, currency, max_age_s)
        copies = ((row["sku"], _product(row)) for row in rows)
        return {sku: copy for sku, copy in copies if copy is not None}

    async def keep_products(self, products: Sequence[Product], *, age_s: float = 0.0) -> None:
        """Remember what ProductSvc answered ``age_s`` seconds ago, unless something newer is known. No two may be of one
        sku and currency.
        """
        columns = ("sku", "currency", "version", "unit_price", "available", "sellable", "name", "tax_rate")
        await self._database.fetch(KEEP_PRODUCTS, *([getattr(p, name) for p in products] for name in columns), age_s)

    async def tell_product(self, news: ProductNews) -> None:
        """An event told of a product: older copies take over what it says, and are not accepted any more."""
        price = news.unit_price
        currency, amount = (price.currency, price.amount) if price else (None, None)
        await self._database.fetch(
            TELL_PRODUCT, news.sku, news.version, news.available, currency, amount, news.tax_rate, news.name
        )

    async def customers(self, customer_ids: Sequence[str], *, max_age_s: float) -> dict[str, Copy[Customer]]:
        """The copies of customers, by id, that are no older than ``max_age_s``."""
        rows = await self._database.fetch(CUSTOMERS, customer_ids, max_age_s)
        copies = ((row["customer_id"], _customer(row)) for row in rows)
        return {customer_id: copy for customer_id, copy in copies if copy is not None}

    async def keep_customers(self, customers: Sequence[Customer], *, age_s: float = 0.0) -> None:
        """Remember what UserSvc answered ``age_s`` seconds ago, unless something newer is known. No two may be of one id."""
        columns = ("customer_id", "version", "name", "email", "status")
        addresses = [msgspec.msgpack.encode(each.addresses) for each in customers]
        values = ([getattr(each, name) for each in customers] for name in columns)
        await self._database.fetch(KEEP_CUSTOMERS, *values, addresses, age_s)

    async def tell_customer(self, news: CustomerNews) -> None:
        """An event told of a customer: an older copy takes over what it says, and is not accepted any more."""
        addresses = None if news.addresses is None else msgspec.msgpack.encode(news.addresses)
        await self._database.fetch(
            TELL_CUSTOMER, news.customer_id, news.version, news.name, news.email, news.status, addresses
        )


def _product(row: Record) -> Copy[Product] | None:
    """The copy in a row; None where it can't be read, so that ProductSvc is asked and the row written anew."""
    names = ("sku", "name", "unit_price", "currency", "tax_rate", "available", "sellable", "version")
    try:
        fraction(row["tax_rate"])
        return Copy(Product(**{name: row[name] for name in names}), _age_s(row))
    except ValueError as error:
        tell_unreadable("products", row["sku"], str(error))
        return None


def _customer(row: Record) -> Copy[Customer] | None:
    names = ("customer_id", "name", "email", "status", "version")
    try:
        addresses = _addresses.decode(row["addresses"])
        return Copy(Customer(**{name: row[name] for name in names}, addresses=addresses), _age_s(row))
    except (ValueError, msgspec.MsgspecError) as error:
        tell_unreadable("customers", row["customer_id"], str(error))
        return None


def _age_s(row: Record) -> float:
    age_s: float | None = row["age_s"]
    if age_s is None:
        raise ValueError("fetched_at is no time that can be read")
    return age_s
