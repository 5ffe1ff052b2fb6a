"""Payments, refunds and the ledger of money."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from domain.stored import Stored


class PaymentStatus(StrEnum):
    """How an attempt to collect money stands."""

    PROCESSING = "processing"
    IN_DOUBT = "in_doubt"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    MISMATCHED = "mismatched"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


class OrderPaymentStatus(StrEnum):
    """How much of an order is paid, all its payments together."""

    UNPAID = "unpaid"
    PENDING = "pending"
    IN_DOUBT = "in_doubt"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially_refunded"


class RefundStatus(StrEnum):
    """How a refund stands."""

    PROCESSING = "processing"
    REFUNDED = "refunded"
    REJECTED = "rejected"


REASON_CORRECTED = "corrected"  # of a refund that only takes back what the books said too much of a mismatched payment


class TransactionType(StrEnum):
    """Which way the money went."""

    CHARGE = "charge"
    REFUND = "refund"


class Refund(Stored, frozen=True, kw_only=True):
    """Money given back from one payment; ``refund_id`` is its idempotency key at PaymentSvc.

    ``amount`` is what was asked for, in the payment's currency; where something else was given back, it is that, in
    ``currency`` (None: the payment's), and ``asked`` is what had been asked for. ``reference`` is what staff gave with
    their word on it.
    """

    refund_id: str
    status: RefundStatus
    amount: int
    reason: str
    created_at: datetime
    asked: int | None = None
    currency: str | None = None
    reference: str | None = None


class Payment(Stored, frozen=True, kw_only=True):
    """One attempt to collect money. ``payment_id`` is its idempotency key at PaymentSvc for ever.

    ``amount`` and ``currency`` are what was asked for; once it is ``mismatched``, what was taken.
    ``token`` is the gateway's token, kept only while the charge may have to be sent again. ``recorded``: that money was taken is
    the staff's word.
    """

    payment_id: str
    status: PaymentStatus
    amount: int
    currency: str
    method: str
    created_at: datetime
    updated_at: datetime
    token: str | None = None
    code: str | None = None
    gateway_ref: str | None = None
    refunds: tuple[Refund, ...] = ()
    recorded: bool = False


class Transaction(Stored, frozen=True, kw_only=True):
    """An entry in the append-only ledger of money. ``refund_id`` is set on refunds only."""

    transaction_id: str
    type: TransactionType
    payment_id: str
    refund_id: str | None
    amount: int
    currency: str
    at: datetime
