"""The bodies that clients send: their shape and their limits.

Only what a request shows by itself is checked here; what depends on an order, a setting or a partner is not.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from babel.numbers import list_currencies
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from domain.money import AMOUNT_MAX_MINOR, fraction
from domain.promotions import PromotionKind

LINES_MAX = 200
QUANTITY_MAX = 10_000
CODES_MAX = 20
METADATA_KEYS_MAX = 50
METADATA_KEY_MAX_CHARACTERS = 40
METADATA_TEXT_MAX_CHARACTERS = 500
METADATA_MAX_BYTES = 8192
NOTE_MAX_CHARACTERS = 500
SKUS_MAX = 1000

CURRENCIES = frozenset(list_currencies())
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _currency(code: str) -> str:
    if code not in CURRENCIES:
        raise PydanticCustomError("invalid_currency", "not an ISO 4217 currency")
    return code


def _metadata(metadata: dict[str, str]) -> dict[str, str]:
    if sum(len(key.encode()) + len(text.encode()) for key, text in metadata.items()) > METADATA_MAX_BYTES:
        raise PydanticCustomError("metadata_too_large", "more than 8 KiB in all")
    return metadata


def _whole(number: object) -> object:
    """JSON knows one kind of number: 2.0 is the integer 2 (and exactly so, for nothing larger is let in)."""
    is_whole = isinstance(number, float) and number.is_integer() and abs(number) <= AMOUNT_MAX_MINOR
    return int(number) if is_whole else number  # type: ignore[call-overload]


def _moment(told: object) -> object:
    """Only RFC 3339: pydantic would also take a number for a time."""
    if isinstance(told, datetime) or (isinstance(told, str) and _RFC_3339.fullmatch(told)):
        return told
    raise PydanticCustomError("invalid_format", "not an RFC 3339 time")


def _fraction(text: str) -> str:
    try:
        fraction(text)
    except ValueError:
        raise PydanticCustomError("invalid_fraction", "not a decimal fraction between 0 and 1") from None
    return text


# PostgreSQL's texts have no NUL; ids have no control characters at all.
_NO_NUL = r"^[^\x00]*$"
_NO_CONTROL = r"^[^\x00-\x1f\x7f]+$"

IDENTIFIER_MAX_CHARACTERS = 128
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=IDENTIFIER_MAX_CHARACTERS, pattern=_NO_CONTROL)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=_NO_CONTROL)]
Note = Annotated[str, StringConstraints(min_length=1, max_length=NOTE_MAX_CHARACTERS, pattern=_NO_NUL)]
CODE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Code = Annotated[str, StringConstraints(pattern=CODE_PATTERN)]
Currency = Annotated[
    str,
    AfterValidator(_currency),
    Field(examples=["EUR"], description="ISO 4217", json_schema_extra={"enum": [*sorted(CURRENCIES)]}),
]
_WHOLE = BeforeValidator(_whole)
Quantity = Annotated[int, Field(ge=1, le=QUANTITY_MAX, examples=[2]), _WHOLE]
Amount = Annotated[int, Field(ge=1, le=AMOUNT_MAX_MINOR, description="int64 minor units"), _WHOLE]
Uses = Annotated[int, Field(ge=1, le=2**31 - 1), _WHOLE]
Fraction = Annotated[
    str,
    StringConstraints(pattern=r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"),
    AfterValidator(_fraction),
    Field(examples=["0.1000"]),
]
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_moment)]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=METADATA_KEY_MAX_CHARACTERS, pattern=_NO_NUL)],
        Annotated[str, StringConstraints(max_length=METADATA_TEXT_MAX_CHARACTERS, pattern=_NO_NUL)],
    ],
    Field(max_length=METADATA_KEYS_MAX),
    AfterValidator(_metadata),
    # What pydantic says of a dict's keys leaves those free that don't match.
    WithJsonSchema(
        {
            "type": "object",
            "description": "8 KiB in all",
            "maxProperties": METADATA_KEYS_MAX,
            "propertyNames": {"minLength": 1, "maxLength": METADATA_KEY_MAX_CHARACTERS, "pattern": _NO_NUL},
            "additionalProperties": {"type": "string", "maxLength": METADATA_TEXT_MAX_CHARACTERS, "pattern": _NO_NUL},
        }
    ),
]


def is_identifier(text: str) -> bool:
    """Tell whether a text from a path could be anybody's id."""
    return len(text) <= IDENTIFIER_MAX_CHARACTERS and re.fullmatch(_NO_CONTROL, text) is not None


class Body(BaseModel):
    """What all bodies have in common: nothing is converted, nothing unknown is let in."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class NewItem(Body):
    """A line that is wanted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"sku": "load-sku-1", "quantity": 2}]})

    sku: Identifier
    quantity: Quantity


class NewOrder(Body):
    """CrearPedido. ``customer_id`` may be left out by a token that has one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"customer_id": "c-1001", "currency": "EUR", "items": [{"sku": "load-sku-1", "quantity": 2}]},
                {
                    "customer_id": "c-1001",
                    "currency": "EUR",
                    "items": [{"sku": "load-sku-1", "quantity": 2}, {"sku": "load-sku-2", "quantity": 1}],
                    "shipping_method": "express",
                    "metadata": {"channel": "web"},
                },
            ]
        }
    )

    customer_id: Identifier | None = None
    currency: Currency
    items: Annotated[list[NewItem], Field(min_length=1, max_length=LINES_MAX)]
    discount_codes: Annotated[list[Code], Field(max_length=CODES_MAX)] = []
    address_id: Identifier | None = None
    shipping_method: Identifier | None = None
    metadata: Metadata = {}


class NewQuantity(Body):
    """How many are wanted of a line."""

    quantity: Quantity


class NewDiscount(Body):
    """AplicarDescuento."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "WELCOME10"}]})

    code: Code


class NewPayment(Body):
    """ProcesarPago. ``amount`` left out: the balance. ``token`` is the gateway's, never a card number."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"method": "card", "token": "tok_visa"}]})

    method: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    token: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=_NO_CONTROL)] | None = None
    amount: Amount | None = None


class ShippedLine(Body):
    """How many of a line are in the parcel."""

    item_id: Identifier
    quantity: Quantity


class Shipped(Body):
    """MarcarPedidoComoEnviado. ``lines`` left out: everything that is left."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "shipped", "carrier": "Correos", "tracking_number": "PQ4F6P"}]}
    )

    status: Literal["shipped"]
    carrier: Text
    tracking_number: Text
    tracking_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\x00-\x20\x7f]{1,1000}$")] | None = None
    lines: Annotated[list[ShippedLine], Field(min_length=1, max_length=LINES_MAX)] | None = None


class Delivered(Body):
    """MarcarPedidoComoEntregado. ``shipment_id`` left out: every shipment under way."""

    status: Literal["delivered"]
    shipment_id: Identifier | None = None


class Cancelled(Body):
    """CancelarPedido; ``reason`` is a note for people."""

    status: Literal["cancelled"]
    reason: Note | None = None


class NewStatus(RootModel[Annotated[Shipped | Delivered | Cancelled, Field(discriminator="status")]]):
    """One of three, told apart by ``status``."""

    model_config = ConfigDict(strict=True)


class RetryNow(Body):
    """Try every step again at once."""

    action: Literal["retry"]
    note: Note | None = None


class SkipToCompensation(Body):
    """Give up going forward; ``note`` says why."""

    action: Literal["skip_to_compensation"]
    note: Note


class MarkSettled(Body):
    """What needs attention was settled outside; ``note`` says how."""

    action: Literal["mark_settled"]
    note: Note


class AttentionVerb(RootModel[Annotated[RetryNow | SkipToCompensation | MarkSettled, Field(discriminator="action")]]):
    """What staff do about an order that needs attention: one of three, told apart by ``action``."""

    model_config = ConfigDict(strict=True, json_schema_extra={"examples": [{"action": "retry"}]})


class AnyPromotion(Body):
    """What promotions of every kind have."""

    skus: Annotated[list[Identifier], Field(max_length=SKUS_MAX)] = []
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    min_subtotal: Annotated[int, Field(ge=0, le=AMOUNT_MAX_MINOR), _WHOLE] | None = None
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
