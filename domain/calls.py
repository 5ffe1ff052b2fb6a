"""Calls: what we ask of partners, and what may come back. Each is keyed by its order and step, so a repeat is
harmless.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from domain.money import Money
from domain.order import Customer, Product


class Partner(StrEnum):
    """Whose service a call goes to."""

    PRODUCT = "product"
    PAYMENT = "payment"
    USER = "user"


class HoldLine(msgspec.Struct, frozen=True):
    """A product and how many pieces of it to hold."""

    sku: str
    quantity: int


class FetchProducts(msgspec.Struct, frozen=True):
    """Ask for availability and price of the skus in one currency."""

    skus: tuple[str, ...]
    currency: str


class FetchCustomer(msgspec.Struct, frozen=True):
    """Ask for the customer with the addresses."""

    customer_id: str


class Hold(msgspec.Struct, frozen=True):
    """Hold stock until ``expires_at``, in the place of what an earlier revision held."""

    revision: int
    expires_at: datetime
    lines: tuple[HoldLine, ...]


class CommitHold(msgspec.Struct, frozen=True):
    """Make the hold of that revision firm."""

    revision: int


class ReleaseHold(msgspec.Struct, frozen=True):
    """Give the stock back, held or committed, for good."""


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """Collect money; ``payment_id`` is the idempotency key."""

    payment_id: str
    customer_id: str
    amount: Money
    method: str
    token: str | None


class Verify(msgspec.Struct, frozen=True):
    """Ask what became of a payment."""

    payment_id: str


class RefundPayment(msgspec.Struct, frozen=True, kw_only=True):
    """Refund from a payment; ``refund_id`` is the idempotency key."""

    refund_id: str
    payment_id: str
    amount: Money
    reason: str


class VerifyRefund(msgspec.Struct, frozen=True):
    """Ask what became of a refund."""

    refund_id: str


# What two types are called outside: processes of the first release, and the metrics, know them by these names.
_OUTSIDE_NAMES = {"RefundPayment": "GiveBack", "NotFound": "NotKnown"}


def outside_name(kind: type) -> str:
    """The name of a request's or an outcome's type in the bytes between processes, and in the metrics."""
    return _OUTSIDE_NAMES.get(kind.__name__, kind.__name__)


Request = (
    FetchProducts | FetchCustomer | Hold | CommitHold | ReleaseHold | Charge | Verify | RefundPayment | VerifyRefund
)

PARTNER_OF: dict[type, Partner] = {
    FetchProducts: Partner.PRODUCT,
    Hold: Partner.PRODUCT,
    CommitHold: Partner.PRODUCT,
    ReleaseHold: Partner.PRODUCT,
    FetchCustomer: Partner.USER,
    Charge: Partner.PAYMENT,
    Verify: Partner.PAYMENT,
    RefundPayment: Partner.PAYMENT,
    VerifyRefund: Partner.PAYMENT,
}


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a partner on behalf of an order's step. ``attempt`` is echoed in the answer.

    ``may_have_happened``: an earlier sending of it was not answered, so that a refusal of this one need not be the whole truth.
    """

    order_id: str
    key: str
    attempt: int
    request: Request
    may_have_happened: bool = False


# Outcomes. A partner's word is one of the first group; the second says that there was none.


class ProductsFetched(msgspec.Struct, frozen=True):
    """The products that exist; an unknown sku is absent. ``age_s``: how long ago ProductSvc said so, where it is a copy."""

    products: tuple[Product, ...]
    age_s: float = 0.0


class CustomerFetched(msgspec.Struct, frozen=True):
    """The customer, as UserSvc knows it. ``age_s``: how long ago it said so, where it is a copy."""

    customer: Customer
    age_s: float = 0.0


class HoldAnswered(msgspec.Struct, frozen=True):
    """``state``: held, committed, released or expired."""

    revision: int
    state: str


class PaymentAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """``status``: processing, confirmed or rejected."""

    payment_id: str
    status: str
    amount: Money
    code: str | None = None
    gateway_ref: str | None = None


class RefundAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """``status``: processing, refunded or rejected."""

    refund_id: str
    status: str
    amount: Money


class Shortage(msgspec.Struct, frozen=True):
    """A product of which there is less than was asked for."""

    sku: str
    available: int


class Declined(msgspec.Struct, frozen=True):
    """A final 4xx other than 404: repeating it can't help. ``code`` is the partner's."""

    status: int
    code: str
    detail: str = ""
    shortages: tuple[Shortage, ...] = ()


class NotFound(msgspec.Struct, frozen=True):
    """404: the partner does not know it (customer, hold, payment, refund)."""


class NotSent(msgspec.Struct, frozen=True):
    """Nothing left us: circuit open, queue full, connection refused. Certainly no effect. ``detail`` for people.

    ``circuit_open``: the partner gets no calls for now; when it does again is not known.
    """

    detail: str
    circuit_open: bool = False


class Unknown(msgspec.Struct, frozen=True):
    """Timeout, 5xx, 429, dropped connection, an answer that the contract does not describe: it may have happened.

    ``credentials_refused``: 401 or 403. The services never say that; something between us does not take our credentials.
    """

    detail: str
    credentials_refused: bool = False


Outcome = (
    ProductsFetched
    | CustomerFetched
    | HoldAnswered
    | PaymentAnswered
    | RefundAnswered
    | Declined
    | NotFound
    | NotSent
    | Unknown
)
