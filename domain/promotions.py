"""Promotions: what a discount code gives, and when it may be used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class PromotionKind(StrEnum):
    PERCENTAGE = "percentage"
    FIXED_AMOUNT = "fixed_amount"
    BUY_X_GET_Y = "buy_x_get_y"
    FREE_SHIPPING = "free_shipping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A promotion as staff made it. The fields that its kind does not use are ``None``; ``skus`` empty means all."""

    code: str
    kind: PromotionKind
    fraction: str | None = None
    amount: int | None = None
    currency: str | None = None
    buy_quantity: int | None = None
    get_quantity: int | None = None
    skus: tuple[str, ...] = ()
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    min_subtotal: int | None = None
    max_uses: int | None = None
    max_uses_per_customer: int | None = None
    combinable: bool = False
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """A promotion on an order: the definition as it was when applied, what it takes off, or why it takes nothing."""

    code: str
    promotion: Promotion
    amount: int = 0
    reason: str | None = None
