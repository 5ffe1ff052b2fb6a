"""What events told of a product or a customer, laid over an answer or a copy that is older than the telling.

An event replaces what it names and leaves the rest; it counts only if its version is higher than what is known. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from domain.money import Money
from domain.order import Customer, Product
from messaging.inbound import CustomerChanged, ProductChanged

PRODUCT_FACTS = ("unit_price", "tax_rate", "name", "available")
CUSTOMER_FACTS = ("name", "email", "status", "addresses")


@dataclass(frozen=True, slots=True)
class Told:
    """All that was told of one sku or customer: the highest version, and each fact with the version that it came with."""

    version: int
    facts: Mapping[str, tuple[int, Any]]

    def newer_than(self, version: int) -> dict[str, Any]:
        """The facts that are newer than what has this version."""
        return {name: fact for name, (since, fact) in self.facts.items() if since > version}


def told(before: Told | None, news: ProductChanged | CustomerChanged) -> Told:
    """Add news to what was told before; older news change nothing."""
    if before is not None and news.version <= before.version:
        return before
    named = PRODUCT_FACTS if isinstance(news, ProductChanged) else CUSTOMER_FACTS
    facts = {name: (news.version, getattr(news, name)) for name in named if getattr(news, name) is not None}
    return Told(news.version, {**(before.facts if before is not None else {}), **facts})


def renewed_product(product: Product, told: Told) -> Product | None:
    """The product as it is by now; None where its price is known to be old, and the new one is in another currency."""
    facts = told.newer_than(product.version)
    price: Money | None = facts.pop("unit_price", None)
    if price is not None:
        if price.currency != product.currency:
            return None
        facts["unit_price"] = price.amount
    return replace(product, **facts, version=max(product.version, told.version))


def renewed_customer(customer: Customer, told: Told) -> Customer:
    """The customer as it is by now."""
    return replace(customer, **told.newer_than(customer.version), version=max(customer.version, told.version))
