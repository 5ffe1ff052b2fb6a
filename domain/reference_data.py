"""Reference data: the products and customers that other services own, and which versions of them are known here."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from domain.order import Customer, Product


class ReferenceKind(StrEnum):
    """What a piece of reference data is about."""

    PRODUCT = "product"
    CUSTOMER = "customer"


class ReferenceVersion(msgspec.Struct, frozen=True):
    """A version of a product (``key`` is its sku) or of a customer (``key`` is its id)."""

    kind: ReferenceKind
    key: str
    version: int


def versions_of(products: Iterable[Product], customer: Customer) -> tuple[ReferenceVersion, ...]:
    """Give the versions of the products and the customer that an order is judged by."""
    return (
        *(ReferenceVersion(ReferenceKind.PRODUCT, each.sku, each.version) for each in products),
        ReferenceVersion(ReferenceKind.CUSTOMER, customer.customer_id, customer.version),
    )
