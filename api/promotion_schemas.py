"""The bodies that staff send about promotions, one of four kinds, and what a promotion is shown as.

Whether the terms of a promotion go together is not checked here, but that each fits its kind.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, RootModel

from api.fields import WHOLE, Amount, Body, Code, Currency, Fraction, Identifier, Moment, Quantity, Uses
from domain.money import AMOUNT_MAX_MINOR
from domain.promotions import PromotionKind

SKUS_MAX = 1000


class AnyPromotion(Body):
    """What promotions of every kind have."""

    skus: list[Identifier] = Field(default=[], max_length=SKUS_MAX)
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    min_subtotal: Annotated[int, Field(ge=0, le=AMOUNT_MAX_MINOR), WHOLE] | None = None
    max_uses: Uses | None = None
    max_uses_per_customer: Uses | None = None
    combinable: bool = False
    active: bool = True


class _Named(AnyPromotion):
    code: Code


class NewPercentage(_Named):
    """A fraction of the net is taken off."""

    kind: Literal["percentage"]
    fraction: Fraction


class NewFixedAmount(_Named):
    """An amount is taken off orders in its currency."""

    kind: Literal["fixed_amount"]
    amount: Amount
    currency: Currency


class NewBuyXGetY(_Named):
    """Of so many pieces of a line some are free."""

    kind: Literal["buy_x_get_y"]
    buy_quantity: Quantity
    get_quantity: Quantity


class NewFreeShipping(_Named):
    """Shipping costs nothing."""

    kind: Literal["free_shipping"]


OneKind = NewPercentage | NewFixedAmount | NewBuyXGetY | NewFreeShipping


class NewPromotion(RootModel[Annotated[OneKind, Field(discriminator="kind")]]):
    """A promotion to be made, one of four kinds; the fields that its kind does not use are absent."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [
                {"code": "WELCOME10", "kind": "percentage", "fraction": "0.1000"},
                {"code": "MINUS5", "kind": "fixed_amount", "amount": 500, "currency": "EUR"},
                {"code": "3FOR2", "kind": "buy_x_get_y", "buy_quantity": 2, "get_quantity": 1},
                {"code": "FREESHIP", "kind": "free_shipping", "combinable": True},
            ]
        },
    )


class PromotionTerms(AnyPromotion):
    """What may be changed of a promotion, whatever its kind."""

    fraction: Fraction | None = None
    amount: Amount | None = None
    currency: Currency | None = None
    buy_quantity: Quantity | None = None
    get_quantity: Quantity | None = None


class PromotionChange(PromotionTerms):
    """What is to be changed; what is absent stays as it is, null takes a value away. Code and kind never change."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"active": False}]})


class PromotionFields(PromotionTerms):
    """A promotion as it is shown; the fields that its kind does not use are absent."""

    code: Code
    kind: PromotionKind = Field(strict=False)
