"""The partners' JSON, shape by shape (contracts/partners.yaml), and the few values that several shapes share.

Types are checked strictly: a boolean or a fraction is no amount, a text no number; but 3, 3.0 and 3e0 are one number.
Bodies that we send are encoded here too; the same value always gives the same bytes, since a repeat must be the same
request.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec

from domain.money import Money
from domain.numbers import number

T_co = TypeVar("T_co", covariant=True)
Text = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]*\Z")]  # PostgreSQL can't keep a NUL in a text
Minor = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Currency = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]{3}\Z")]


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

    sku: Text
    name: Text
    unit_price: MoneyShape
    tax_rate: Text
    available: Int64
    version: Int64
    sellable: bool = True


class ProductsShape(msgspec.Struct, frozen=True):
    """The products that exist."""

    products: list[ProductShape]


class HoldShape(msgspec.Struct, frozen=True):
    """The state of an order's hold."""

    order_id: Text
    revision: Int64
    state: Literal["held", "committed", "released", "expired"]


class PaymentShape(msgspec.Struct, frozen=True):
    """A charge and how it stands."""

    payment_id: Text
    order_id: Text
    status: Literal["processing", "confirmed", "rejected"]
    amount: MoneyShape
    code: Text | None = None
    gateway_ref: Text | None = None


class RefundShape(msgspec.Struct, frozen=True):
    """A refund and how it stands."""

    refund_id: Text
    payment_id: Text
    status: Literal["processing", "refunded", "rejected"]
    amount: MoneyShape


class AddressShape(msgspec.Struct, frozen=True):
    """Where parcels may go."""

    address_id: Text
    line1: Text
    city: Text
    postal_code: Text
    country: Text
    line2: Text | None = None


class CustomerShape(msgspec.Struct, frozen=True):
    """A customer."""

    customer_id: Text
    name: Text
    email: Text
    status: Literal["active", "blocked"]
    version: Int64
    addresses: list[AddressShape]


class ShortageShape(msgspec.Struct, frozen=True):
    """A product of which there is less than was asked for."""

    sku: Text = ""
    available: Int64 = 0


class ProblemShape(msgspec.Struct, frozen=True):
    """Why a request was refused."""

    code: Text
    detail: Text | None = None
    shortages: tuple[ShortageShape, ...] | None = None


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


class Reader(Generic[T_co]):
    """Reads bodies of one shape."""

    _by_value: Final = msgspec.json.Decoder(float_hook=number)

    def __init__(self, shape: type[T_co]) -> None:
        self._shape = shape
        self._as_written: Final = msgspec.json.Decoder(shape)

    def read(self, content: bytes) -> T_co:
        """Read ``content`` (JSON, UTF-8). Raises ``ValueError`` with the reason where it does not fit the shape."""
        try:
            try:
                return self._as_written.decode(content)
            except msgspec.ValidationError:  # perhaps for an integer that is written 3.0
                return msgspec.convert(self._by_value.decode(content), self._shape)
        except RecursionError as error:
            raise ValueError("nested too deep") from error


def instant(at: datetime) -> str:
    """Write a time as RFC 3339 UTC with milliseconds, finer parts cut off; ``ValueError`` when it has no zone."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def same_id(one: str, other: str) -> bool:
    """Compare two UUIDs as text; their letters may be of either case."""
    return one == other or one.lower() == other.lower()
