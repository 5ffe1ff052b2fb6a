"""Copies of products and customers: one suite, run against Redis and against PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from domain.money import Money
from domain.order import Customer, Product
from storage.cache import Cache
from storage.catalogue import CatalogueTables
from storage.copies import CustomerNews, ProductNews
from storage.postgres import open_database
from storage.redis import QuietRedis
from tests.integration.storage.orders import CUSTOMER

Copies = Cache | CatalogueTables
AGE_S = 30.0
GROWS_OLD_WITHIN_S = 5.0
EUR = Product(
    sku="sku-1",
    name="Taza",
    unit_price=2**53 - 1,
    currency="EUR",
    tax_rate="0.2100",
    available=7,
    sellable=True,
    version=5,
)
USD = replace(EUR, currency="USD", unit_price=1200)


@pytest.fixture(params=["redis", "postgresql"])
async def copies(request: pytest.FixtureRequest, redis_url: str, database_url: str) -> AsyncIterator[Copies]:
    if request.param == "redis":
        cache = Cache(QuietRedis(redis_url))
        yield cache
        assert cache.failures == 0
        await cache.close()
    else:
        database = await open_database(database_url, application_name="test-copies")
        yield CatalogueTables(database)
        await database.close()


async def product(copies: Copies, currency: str = "EUR") -> Product | None:
    found = (await copies.products(["other", "sku-1"], currency, max_age_s=AGE_S)).get("sku-1")
    return None if found is None else found.value


async def customer(copies: Copies) -> Customer | None:
    found = (await copies.customers(["other", CUSTOMER.customer_id], max_age_s=AGE_S)).get(CUSTOMER.customer_id)
    return None if found is None else found.value


async def test_what_was_fetched_is_known_in_its_currency_only(copies: Copies) -> None:
    await copies.keep_products([EUR, replace(EUR, sku="sku-2", sellable=False, available=-3)])
    found = await copies.products(["sku-1", "sku-2", "sku-3"], "EUR", max_age_s=AGE_S)
    values = {sku: copy.value for sku, copy in found.items()}
    assert values == {"sku-1": EUR, "sku-2": replace(EUR, sku="sku-2", sellable=False, available=-3)}
    assert await product(copies, "USD") is None


async def test_copies_grow_old(copies: Copies) -> None:
    await copies.keep_products([EUR])
    await copies.keep_customers([CUSTOMER])
    async with asyncio.timeout(GROWS_OLD_WITHIN_S):
        while await copies.products(["sku-1"], "EUR", max_age_s=0.02):
            pass
        while await copies.customers([CUSTOMER.customer_id], max_age_s=0.02):
            pass
    assert await product(copies) == EUR
    assert await customer(copies) == CUSTOMER


async def test_a_copy_tells_its_age_counted_from_when_it_was_answered(copies: Copies) -> None:
    await copies.keep_products([EUR], age_s=20)
    await copies.keep_customers([CUSTOMER], age_s=20)
    product_copy = (await copies.products(["sku-1"], "EUR", max_age_s=AGE_S))["sku-1"]
    customer_copy = (await copies.customers([CUSTOMER.customer_id], max_age_s=AGE_S))[CUSTOMER.customer_id]
    for copy in (product_copy, customer_copy):
        assert 20 <= copy.age_s < AGE_S
    assert await copies.products(["sku-1"], "EUR", max_age_s=15) == {}
    assert await copies.customers([CUSTOMER.customer_id], max_age_s=15) == {}


async def test_a_higher_version_replaces_and_a_lower_one_does_not(copies: Copies) -> None:
    newer = replace(EUR, version=6, unit_price=1, name="Vaso")
    await copies.keep_products([EUR])
    await copies.keep_products([newer])
    await copies.keep_products([EUR])
    assert await product(copies) == newer


async def test_a_price_in_an_event_replaces_the_one_in_its_currency_and_drops_the_others(copies: Copies) -> None:
    await copies.keep_products([EUR, USD])
    await copies.tell_product(
        ProductNews(sku="sku-1", version=6, available=2, unit_price=Money(999, "EUR"), name="Taza 2")
    )
    assert await product(copies) == replace(EUR, version=6, available=2, unit_price=999, name="Taza 2")
    assert await product(copies, "USD") is None


async def test_an_event_without_a_price_leaves_every_price(copies: Copies) -> None:
    await copies.keep_products([EUR, USD])
    await copies.tell_product(ProductNews(sku="sku-1", version=6, available=0, tax_rate="0.1000"))
    for copy in (EUR, USD):
        assert await product(copies, copy.currency) == replace(copy, version=6, available=0, tax_rate="0.1000")


async def test_an_event_of_no_higher_version_changes_nothing(copies: Copies) -> None:
    await copies.keep_products([EUR])
    for version in (4, 5):
        await copies.tell_product(
            ProductNews(sku="sku-1", version=version, available=0, unit_price=Money(1, "EUR"), name="alt")
        )
    assert await product(copies) == EUR


async def test_a_copy_older_than_what_an_event_told_of_is_not_accepted(copies: Copies) -> None:
    await copies.tell_product(ProductNews(sku="sku-1", version=9, available=1))
    await copies.keep_products([EUR])
    assert await product(copies) is None
    await copies.keep_products([replace(EUR, version=9)])
    assert await product(copies) == replace(EUR, version=9)


async def test_a_customer_is_replaced_by_a_higher_version_only(copies: Copies) -> None:
    newer = replace(CUSTOMER, version=4, status="blocked", addresses=())
    await copies.keep_customers([CUSTOMER])
    assert await customer(copies) == CUSTOMER
    await copies.keep_customers([newer])
    await copies.keep_customers([CUSTOMER])
    assert await customer(copies) == newer


async def test_an_event_changes_what_it_says_of_a_customer(copies: Copies) -> None:
    await copies.keep_customers([CUSTOMER])
    news = CustomerNews(customer_id=CUSTOMER.customer_id, version=4, status="blocked", addresses=())
    await copies.tell_customer(news)
    changed = replace(CUSTOMER, version=4, status="blocked", addresses=())
    assert await customer(copies) == changed
    await copies.tell_customer(CustomerNews(customer_id=CUSTOMER.customer_id, version=4, name="Otra"))
    assert await customer(copies) == changed


async def test_a_customer_older_than_what_an_event_told_of_is_not_accepted(copies: Copies) -> None:
    await copies.tell_customer(CustomerNews(customer_id=CUSTOMER.customer_id, version=4, name="Ana"))
    assert await customer(copies) is None
    await copies.keep_customers([CUSTOMER])
    assert await customer(copies) is None
    await copies.keep_customers([replace(CUSTOMER, version=4)])
    assert await customer(copies) == replace(CUSTOMER, version=4)
