"""Copies of products and customers with their age, and the news that events tell of them, for those who keep copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from domain.money import Money
from domain.order import Address

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Copy(Generic[V]):
    """What a partner answered ``age_s`` seconds ago."""

    value: V
    age_s: float


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
