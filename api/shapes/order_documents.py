"""The shapes of orders and payments as they are answered, for the OpenAPI document alone.

What is answered is rendered by ``domain.representation`` and not checked again; a test compares the two.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.order import CancelReason, Stage, Status
from domain.payments import OrderPaymentStatus, PaymentStatus, RefundStatus, TransactionType
from domain.shipments import FulfillmentStatus, ShipmentStatus

Amount = Annotated[int, Field(description="int64 minor units", examples=[7125])]
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]


class Document(BaseModel):
    """What all answers have in common."""

    model_config = ConfigDict(extra="forbid")


class CustomerDocument(Document):
    """``name`` and ``email`` are null until UserSvc has said them."""

    id: str
    name: str | None
    email: str | None


class ItemDocument(Document):
    """LineaPedido. ``total`` is its net less its discount share, with tax."""

    id: Id
    sku: str
    name: str | None
    quantity: int
    unit_price: Amount
    discount: Amount
    tax: Amount
    total: Amount
    shipped: int
    delivered: int


class DiscountDocument(Document):
    """``reason`` tells why it takes nothing off."""

    code: str
    amount: Amount
    reason: str | None = None


class ShippingDocument(Document):
    """How it travels, and for how much."""

    method: str
    amount: Amount


class TotalsDocument(Document):
    """``total = items - discount + shipping + tax``."""

    items: Amount
    discount: Amount
    shipping: Amount
    tax: Amount
    total: Amount
    paid: Amount
    refunded: Amount
    balance: Amount


class AddressDocument(Document):
    """Frozen once the order is confirmed."""

    address_id: str
    line1: str
    line2: str | None
    city: str
    postal_code: str
    country: str


class RefundDocument(Document):
    """Money given back from a payment."""

    refund_id: Id
    status: RefundStatus
    amount: Amount
    reason: str


class PaymentDocument(Document):
    """Pago: one attempt to collect money, and its refunds."""

    payment_id: Id
    status: PaymentStatus
    amount: Amount
    currency: str
    method: str
    code: str | None
    created_at: datetime
    updated_at: datetime
    refunds: list[RefundDocument]


class ShipmentLineDocument(Document):
    """How many of a line are in the parcel."""

    item_id: Id
    quantity: int


class ShipmentDocument(Document):
    """Envío: one parcel."""

    shipment_id: Id
    status: ShipmentStatus
    carrier: str
    tracking_number: str
    tracking_url: str | None
    lines: list[ShipmentLineDocument]
    shipped_at: datetime
    delivered_at: datetime | None


class SagaDocument(Document):
    """Where the order is on its way, and how its steps are doing. ``last_error`` is null for all but staff."""

    stage: Stage
    state: Literal["running", "waiting", "retrying", "needs_attention"]
    attempts: int
    next_try_at: datetime | None
    last_error: str | None


class ValidationErrorDocument(Document):
    """Why the order can't be validated. Where ``detail`` is a partner's own text, it is empty for all but staff."""

    code: str
    sku: str | None
    detail: str


class AttentionDocument(Document):
    """Why somebody should look. ``subject``: the payment or refund that it is about, for the verb ``record``."""

    reason: str
    subject: Id | None
    detail: str


class OrderDocument(Document):
    """Pedido. ``attention`` is empty for all but staff."""

    id: Id
    number: Annotated[str | None, Field(examples=["ORD-000000042"])]
    version: int
    revision: int
    status: Status
    payment_status: OrderPaymentStatus
    fulfillment_status: FulfillmentStatus
    cancel_reason: CancelReason | None
    cancel_note: str | None
    needs_attention: bool
    attention: list[AttentionDocument]
    customer: CustomerDocument
    currency: str
    items: list[ItemDocument]
    discounts: list[DiscountDocument]
    shipping: ShippingDocument
    totals: TotalsDocument
    shipping_address: AddressDocument | None
    payments: list[PaymentDocument]
    shipments: list[ShipmentDocument]
    saga: SagaDocument
    metadata: dict[str, str]
    validation_errors: list[ValidationErrorDocument]
    expires_at: datetime
    created_at: datetime
    updated_at: datetime
    validated_at: datetime | None
    paid_at: datetime | None
    confirmed_at: datetime | None
    prepared_at: datetime | None
    shipped_at: datetime | None
    delivered_at: datetime | None
    cancelled_at: datetime | None


class LedgerEntryDocument(Document):
    """Transacción."""

    transaction_id: Id
    type: TransactionType
    payment_id: Id
    refund_id: Id | None
    amount: Amount
    currency: str
    at: datetime


class PaymentsDocument(Document):
    """Payments with their refunds, and the append-only ledger."""

    payments: list[PaymentDocument]
    ledger: list[LedgerEntryDocument]


class AttemptDocument(Document):
    """A payment in short."""

    payment_id: Id
    status: PaymentStatus
    amount: Amount
    code: str | None
    updated_at: datetime


class PaymentStatusDocument(Document):
    """VerificarEstadoPago."""

    payment_status: OrderPaymentStatus
    total: Amount
    paid: Amount
    refunded: Amount
    balance: Amount
    in_doubt: bool
    attempts: list[AttemptDocument]


class ActorDocument(Document):
    """Who caused it. Which of the ``staff`` it was is shown to staff only."""

    type: Literal["client", "staff", "partner", "saga", "timer"]
    id: str | None = None


class TimelineEntryDocument(Document):
    """An event; ``changed`` is filled for updates. ``note`` is what staff noted with it, and shown to staff only."""

    sequence: int
    type: str
    at: datetime
    version: int
    actor: ActorDocument
    changed: list[str]
    note: str | None = None


class StageDocument(Document):
    """How long a stage took; ``finished_at`` is null while it lasts."""

    stage: Stage
    started_at: datetime
    finished_at: datetime | None
    duration_ms: int | None


class TimelineDocument(Document):
    """Every event of an order, oldest first."""

    data: list[TimelineEntryDocument]
    stages: list[StageDocument]
