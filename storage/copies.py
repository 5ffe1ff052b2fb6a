"""News of products and customers, as events tell them, for those who keep copies."""

from __future__ import annotations

from dataclasses import dataclass

from domain.money import Money
from domain.order import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductNews:
    """``InventarioActualizado``: what a product is from ``version`` on; None where the event does not say.

    ``unit_price`` replaces the price in its own currency and drops the others.
    """

    sku: str
    version: int
    available: int
    unit_price: Money | None = None
    tax_rate: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerNews:
    """``ClienteActualizado``: what a customer is from ``version`` on; None where the event does not say."""

    customer_id: str
    version: int
    name: str | None = None
    email: str | None = None
    status: str | None = None
    addresses: tuple[Address, ...] | None = None
