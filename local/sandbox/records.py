"""What the sandbox remembers: one record for each product, hold, payment, refund and customer.

The records are the state in memory and the lines of the journal alike; a later record of the same key replaces the
earlier one. How much of a product is held or committed is not kept: it follows from the holds. ``changed_at_us``:
microseconds since 1970; 0 in what an earlier sandbox wrote.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

HoldWord = Literal["none", "held", "committed", "released", "expired"]
PaymentWord = Literal["processing", "confirmed", "rejected"]
RefundWord = Literal["processing", "refunded", "rejected"]


class ProductRecord(msgspec.Struct, tag="product"):
    """``prices``: currency -> net minor units. ``stock``: all there is, held and committed included."""

    sku: str
    name: str
    prices: dict[str, int]
    tax_rate: str
    stock: int
    sellable: bool = True
    version: int = 1


class HoldRecord(msgspec.Struct, tag="hold"):
    """What is held for an order, and what was asked for last (``asked_``…), which may have been refused.

    ``state`` is ``none`` until something was held. ``shortages``: sku -> available, where the last asking was refused.
    """

    order_id: str
    state: HoldWord = "none"
    revision: int = 0
    expires_at_ms: int = 0
    lines: dict[str, int] = {}
    asked_revision: int = 0
    asked_expires_at_ms: int = 0
    asked_lines: dict[str, int] = {}
    shortages: dict[str, int] | None = None
    changed_at_us: int = 0


class PaymentRecord(msgspec.Struct, tag="payment", kw_only=True):
    """A charge as it was asked for (``asked``: the request's content), and what was taken and given back.

    ``settles_as`` and ``settles_at_ms`` say what a payment that is processing will become; None: nothing by itself.
    """

    payment_id: str
    order_id: str
    asked: dict[str, Any]
    status: PaymentWord
    amount: int
    currency: str
    refunded: int = 0
    code: str | None = None
    settles_as: PaymentWord | None = None
    settles_at_ms: int = 0
    at_ms: int
    changed_at_us: int = 0


class RefundRecord(msgspec.Struct, tag="refund", kw_only=True):
    """Money given back, or on its way; ``settles_at_ms`` 0: it stays on its way. ``asked`` 0: ``amount`` was asked for."""

    refund_id: str
    payment_id: str
    amount: int
    asked: int = 0
    currency: str
    reason: str
    status: RefundWord
    settles_at_ms: int = 0
    at_ms: int
    changed_at_us: int = 0


class CustomerRecord(msgspec.Struct, tag="customer", kw_only=True):
    """A customer as UserSvc answers it."""

    customer_id: str
    name: str
    email: str
    status: Literal["active", "blocked"] = "active"
    version: int = 1
    addresses: list[dict[str, str]]


class RefusalRecord(msgspec.Struct, tag="refusal", kw_only=True):
    """A request that a partner itself refused: for those who check whether somebody took anything else for its word.

    ``subject``: the sku, customer, payment or refund that it was about, else the order.
    """

    operation: str
    subject: str
    order_id: str | None
    status: int
    code: str
    at_ms: int


Record = ProductRecord | HoldRecord | PaymentRecord | RefundRecord | CustomerRecord | RefusalRecord
