"""Pricing: from lines, promotions and tax rates to amounts that add up to the last minor unit (docs/contract.md, "Money").

Works on integers of minor units only. It neither asks for prices nor judges whether they are known.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from domain.money import allocate, part
from domain.order import OrderLine
from domain.promotions import Discount, Promotion, PromotionKind

REASON_MIN_SUBTOTAL = "min_subtotal"
REASON_NO_MATCH = "no_matching_items"
REASON_NOTHING_LEFT = "nothing_left"


class Priced(msgspec.Struct, frozen=True):
    """Lines with their discount shares and tax, discounts with what each takes off, and shipping; minor units.

    ``shipping_discount`` is what a free shipping saved; ``shipping_tax`` is on what remains.
    """

    lines: tuple[OrderLine, ...]
    discounts: tuple[Discount, ...]
    shipping_amount: int
    shipping_discount: int
    shipping_tax: int

    @property
    def total(self) -> int:
        """Items less discount, with tax and shipping: what the customer is to pay."""
        goods = sum(line.net - line.discount + line.tax for line in self.lines)
        return goods + self.shipping_amount - self.shipping_discount + self.shipping_tax


def price(
    lines: tuple[OrderLine, ...], discounts: tuple[Discount, ...], shipping_amount: int, shipping_tax_rate: str
) -> Priced:
    """Reckon discounts in their order, then tax per line; ``unit_price`` and ``tax_rate`` of the lines are taken as
    given.

    Each promotion is reckoned on the net before any discount and capped at what is left of the lines it is for. Its
    amount is shared out by largest remainder over what is left of them. Raises ``ValueError`` for a rate that is no
    fraction.
    """
    left = [line.net for line in lines]
    shipping_left = shipping_amount
    reckoned = []
    for discount in discounts:
        promotion = discount.promotion
        chosen = [i for i, line in enumerate(lines) if not promotion.skus or line.sku in promotion.skus]
        reason = _does_not_apply(promotion, lines, chosen)
        amount = 0
        if reason is None and promotion.kind is PromotionKind.FREE_SHIPPING:
            amount, shipping_left = shipping_left, 0
        elif reason is None:
            shares = _shares(promotion, lines, chosen, left)
            for i, share in zip(chosen, shares, strict=True):
                left[i] -= share
            amount = sum(shares)
        if reason is None and amount == 0:
            reason = REASON_NOTHING_LEFT
        reckoned.append(replace(discount, amount=amount, reason=reason))
    return Priced(
        lines=tuple(
            replace(line, discount=line.net - rest, tax=part(rest, line.tax_rate))
            for line, rest in zip(lines, left, strict=True)
        ),
        discounts=tuple(reckoned),
        shipping_amount=shipping_amount,
        shipping_discount=shipping_amount - shipping_left,
        shipping_tax=part(shipping_left, shipping_tax_rate),
    )


def _does_not_apply(promotion: Promotion, lines: tuple[OrderLine, ...], chosen: list[int]) -> str | None:
    """Say why prices or skus keep a promotion from applying: then it stays listed with amount 0 and this reason."""
    if promotion.min_subtotal is not None and sum(line.net for line in lines) < promotion.min_subtotal:
        return REASON_MIN_SUBTOTAL
    if not chosen:
        return REASON_NO_MATCH
    if promotion.kind is PromotionKind.BUY_X_GET_Y and not any(_free(promotion, lines[i].quantity) for i in chosen):
        return REASON_NO_MATCH
    return None


def _shares(promotion: Promotion, lines: tuple[OrderLine, ...], chosen: list[int], left: list[int]) -> tuple[int, ...]:
    """Give what each chosen line is let off, never more than what is left of it."""
    if promotion.kind is PromotionKind.BUY_X_GET_Y:
        return tuple(min(left[i], _free(promotion, lines[i].quantity) * lines[i].unit_price) for i in chosen)
    rests = tuple(left[i] for i in chosen)
    if promotion.kind is PromotionKind.PERCENTAGE:
        wanted = part(sum(lines[i].net for i in chosen), promotion.fraction or "0")
    else:
        wanted = promotion.amount or 0
    return allocate(min(wanted, sum(rests)), rests)


def _free(promotion: Promotion, quantity: int) -> int:
    """Give the free pieces of one line: of every ``buy + get`` pieces, ``get`` cost nothing; a part of a set gives
    none.
    """
    buy, get = promotion.buy_quantity or 0, promotion.get_quantity or 0
    return quantity // (buy + get) * get if buy and get else 0
