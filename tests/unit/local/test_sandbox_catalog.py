"""What is for sale on the first day, and what a load test may ask for."""

from __future__ import annotations

import pytest

from domain.money import fraction
from local.sandbox import catalog


def test_there_are_twenty_products_with_prices_in_whole_minor_units_and_legal_tax_rates() -> None:
    products = catalog.products()
    assert len({product.sku for product in products}) == 20
    for product in products:
        assert product.tax_rate in catalog.TAX_RATES
        assert 0 <= fraction(product.tax_rate) < 1
        assert all(isinstance(amount, int) and amount >= 0 for amount in product.prices.values())


@pytest.mark.parametrize("sku", ["load-sku-0", "load-sku-7", "load-sku-1234567"])
def test_a_load_sku_exists_and_is_always_the_same(sku: str) -> None:
    product = catalog.load_product(sku)
    assert product is not None
    assert product == catalog.load_product(sku)
    assert set(product.prices) == {"EUR", "USD", "GBP", "JPY", "KWD"}


@pytest.mark.parametrize("sku", ["load-sku-", "load-sku-x", "load-sku-07", "load-sku-12345678", "load-sku-٣", "7"])
def test_what_only_looks_like_a_load_sku_does_not(sku: str) -> None:
    assert catalog.load_product(sku) is None


def test_load_customers_have_addresses_and_one_known_customer_is_blocked() -> None:
    customer = catalog.load_customer("load-customer-12")
    assert customer is not None
    assert customer.addresses
    assert [one.customer_id for one in catalog.customers() if one.status == "blocked"] == ["c-blocked"]
