"""The partners' JSON, shape by shape (contracts/partners.openapi.yaml), and the few values that several shapes share.

Types are checked strictly: a boolean or a float is no amount, a text no number. Bodies that we send are encoded here
too; the same value always gives the same bytes, since a repeat must be the same request.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from domain.money import Money

Minor = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Currency = Annotated[str, msgspec.Meta(min_length=3, max_length=3)]


class MoneyShape(msgspec.Struct, frozen=True):
    """Minor units and a currency."""

    amount: Minor
    currency: Currency

    def value(self) -> Money:
        """Give the domain's value of it."""
        return Money(self.amount, self.currency)

    @classmethod
    def of(cls, money: Money) -> MoneyShape:
        """Give the wire's shape of ``money``."""
        return cls(money.amount, money.currency)


class ProductShape(msgspec.Struct, frozen=True):
    """A product, priced in one currency."""

    sku: str
    name: str
    unit_price: MoneyShape
    tax_rate: str
    available: Int64
    version: Int64
    sellable: bool = True


class ProductsShape(msgspec.Struct, frozen=True):
    """The products that exist."""

    products: list[ProductShape]


class HoldShape(msgspec.Struct, frozen=True):
    """The state of an order's hold."""

    order_id: str
    revision: Int64
    state: Literal["held", "committed", "released", "expired"]


class PaymentShape(msgspec.Struct, frozen=True):
    """A charge and how it stands."""

    payment_id: str
    order_id: str
    status: Literal["processing", "confirmed", "rejected"]
    amount: MoneyShape
    code: str | None = None
    gateway_ref: str | None = None


class RefundShape(msgspec.Struct, frozen=True):
    """A refund and how it stands."""

    refund_id: str
    payment_id: str
    status: Literal["processing", "refunded", "rejected"]
    amount: MoneyShape


class AddressShape(msgspec.Struct, frozen=True):
    """Where parcels may go."""

    address_id: str
    line1: str
    city: str
    postal_code: str
    country: str
    line2: str | None = None


class CustomerShape(msgspec.Struct, frozen=True):
    """A customer."""

    customer_id: str
    name: str
    email: str
    status: Literal["active", "blocked"]
    version: Int64
    addresses: list[AddressShape]


class HoldLineBody(msgspec.Struct, frozen=True):
    """A line to hold stock for."""

    sku: str
    quantity: int


class HoldBody(msgspec.Struct, frozen=True):
    """What is to be held, and until when."""

    revision: int
    expires_at: str
    lines: list[HoldLineBody]


class CommitBody(msgspec.Struct, frozen=True):
    """Which hold is to be made firm."""

    revision: int


class ChargeBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """A charge; ``token`` is left out where there is none."""

    payment_id: str
    order_id: str
    customer_id: str
    amount: MoneyShape
    method: str
    token: str | None = None


class RefundBody(msgspec.Struct, frozen=True):
    """A refund."""

    refund_id: str
    payment_id: str
    amount: MoneyShape
    reason: str


encode = msgspec.json.Encoder().encode


def instant(at: datetime) -> str:
    """Write a time as RFC 3339 UTC with milliseconds, finer parts cut off; ``ValueError`` when it has no zone."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def same_id(one: str, other: str) -> bool:
    """Compare two UUIDs as text; their letters may be of either case."""
    return one == other or one.lower() == other.lower()
