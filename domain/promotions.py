"""Promotions: what a discount code gives, and when it may be used."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from string import ascii_lowercase, ascii_uppercase

from domain.stored import Stored

_TO_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def code_key(code: str) -> str:
    """What codes are compared by: ``SUMMER`` and ``Summer`` are one. Letters beyond ASCII, which no code has, stay as they are."""
    return code.translate(_TO_LOWER)


class PromotionKind(StrEnum):
    """How a promotion reckons what it takes off."""

    PERCENTAGE = "percentage"
    FIXED_AMOUNT = "fixed_amount"
    BUY_X_GET_Y = "buy_x_get_y"
    FREE_SHIPPING = "free_shipping"


class Promotion(Stored, frozen=True, kw_only=True):
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


class Discount(Stored, frozen=True, kw_only=True):
    """A promotion on an order: the definition as it was when applied, what it takes off, or why it takes nothing."""

    code: str
    promotion: Promotion
    amount: int = 0
    reason: str | None = None


def unusable_because(
    promotion: Promotion, *, currency: str, beside: tuple[Promotion, ...], now: datetime
) -> str | None:
    """Say why a promotion can't be put on an order at all, or None when it can.

    Answers ``discount_not_active``, ``discount_not_applicable`` (a fixed amount in another currency) or
    ``discount_not_combinable`` with those ``beside`` it. What depends on prices is judged when the order is priced.
    """
    begun = promotion.starts_at is None or promotion.starts_at <= now
    over = promotion.ends_at is not None and promotion.ends_at <= now
    if not (promotion.active and begun) or over:
        return "discount_not_active"
    if promotion.kind is PromotionKind.FIXED_AMOUNT and promotion.currency != currency:
        return "discount_not_applicable"
    if beside and not (promotion.combinable and all(other.combinable for other in beside)):
        return "discount_not_combinable"
    return None
