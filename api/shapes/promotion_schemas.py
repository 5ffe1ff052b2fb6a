"""The bodies that staff send about promotions, one of four kinds, and what a promotion is shown as.

Whether the terms of a promotion go together is not checked here, but that each fits its kind.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, RootModel
from pydantic_core import PydanticCustomError

from api.shapes.fields import Amount, Body, Code, Currency, Fraction, Identifier, Moment, Quantity, Uses
from domain.limits import AMOUNT_MAX_MINOR, SKUS_MAX
from domain.promotions import PromotionKind

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def _of_our_time(at: datetime) -> datetime:
    """PostgreSQL takes the ends of Python's range for infinity, and no promotion needs to come near them."""
    if not EARLIEST <= at <= LATEST:
        raise PydanticCustomError("time_out_of_range", "not between the years 1970 and 9000")
    return at


Window = Annotated[Moment, AfterValidator(_of_our_time)]
Subtotal = Annotated[int, Field(ge=0, le=AMOUNT_MAX_MINOR)]
Skus = Annotated[list[Identifier], Field(max_length=SKUS_MAX)]


class AnyPromotion(Body):
    """What promotions of every kind have."""

    skus: Skus = Field(default=[])
    starts_at: Window | None = None
    ends_at: Window | None = None
    min_subtotal: Subtotal | None = None
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
SCHEMA_OF: dict[PromotionKind, type[AnyPromotion]] = {
    PromotionKind.PERCENTAGE: NewPercentage,
    PromotionKind.FIXED_AMOUNT: NewFixedAmount,
    PromotionKind.BUY_X_GET_Y: NewBuyXGetY,
    PromotionKind.FREE_SHIPPING: NewFreeShipping,
}


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


def _of_a_change(schema: dict[str, Any]) -> None:
    """No defaults: a generated client sends those of what its caller did not set, and they would undo earlier changes."""
    for of_field in schema["properties"].values():
        of_field.pop("default", None)
    schema["examples"] = [{"active": False}]


class PromotionChange(Body):
    """What is to be changed; what is absent stays as it is, null takes away what may be absent. Code and kind never change."""

    model_config = ConfigDict(json_schema_extra=_of_a_change)

    fraction: Fraction | None = None
    amount: Amount | None = None
    currency: Currency | None = None
    buy_quantity: Quantity | None = None
    get_quantity: Quantity | None = None
    starts_at: Window | None = None
    ends_at: Window | None = None
    min_subtotal: Subtotal | None = None
    max_uses: Uses | None = None
    max_uses_per_customer: Uses | None = None
    # These are never absent, so null is none of their values; and their defaults are never read (``model_fields_set``).
    skus: Skus = Field(default=[])
    combinable: bool = False
    active: bool = True


class PromotionFields(AnyPromotion):
    """A promotion as it is shown; the fields that its kind does not use are absent. ``unreadable``: those whose stored value can't
    be read, which are absent too; such a promotion takes nothing off until a change has put them right.
    """

    fraction: Fraction | None = None
    amount: Amount | None = None
    currency: Currency | None = None
    buy_quantity: Quantity | None = None
    get_quantity: Quantity | None = None
    code: Code
    kind: PromotionKind = Field(strict=False)
    unreadable: list[str] | None = None
