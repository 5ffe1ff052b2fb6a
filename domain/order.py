"""The order: one frozen value that holds everything its actor needs to go on after a crash."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from domain.money import Money
from domain.payments import Payment, Transaction
from domain.promotions import Discount
from domain.shipments import Shipment
from domain.stored import Stored, known_fields


class Status(StrEnum):
    """How far the order is; docs/ has the drawing of the ways between."""

    CREATED = "created"
    VALIDATED = "validated"
    PAID = "paid"
    CONFIRMED = "confirmed"
    PREPARED = "prepared"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class Stage(StrEnum):
    """What the order is at, as its saga shows it."""

    CREATE = "create"
    VALIDATE = "validate"
    PAY = "pay"
    CONFIRM = "confirm"
    PREPARE = "prepare"
    SHIP = "ship"
    DELIVER = "deliver"
    COMPENSATE = "compensate"


class CancelReason(StrEnum):
    """Why an order is cancelled."""

    CUSTOMER = "customer"
    STAFF = "staff"
    EXPIRED = "expired"
    OUT_OF_STOCK = "out_of_stock"
    VALIDATION_FAILED = "validation_failed"


class HoldState(StrEnum):
    """What we know of the stock held for the order at ProductSvc."""

    NONE = "none"
    HELD = "held"
    LOST = "lost"
    COMMITTED = "committed"
    RELEASED = "released"


class StepKind(StrEnum):
    """What a step asks of a partner; one step is in the order while its answer is awaited or its next try is due."""

    FETCH_PRODUCTS = "fetch_products"
    FETCH_CUSTOMER = "fetch_customer"
    HOLD = "hold"
    COMMIT_HOLD = "commit_hold"
    RELEASE_HOLD = "release_hold"
    CHARGE = "charge"
    VERIFY = "verify"
    REFUND = "refund"
    VERIFY_REFUND = "verify_refund"


class StepState(StrEnum):
    """``running``: a call is out. ``retrying``: the last try failed, the next is due at ``next_try_at``.
    ``waiting``: nothing failed, but the partner's word is still to come; asked again at ``next_try_at``.
    """

    RUNNING = "running"
    RETRYING = "retrying"
    WAITING = "waiting"


class Step(Stored, frozen=True, kw_only=True):
    """One intent, committed before its call goes out. ``key`` names it within the order (``hold:3``,
    ``charge:<payment_id>``).

    ``subject`` is the id it is about (a payment, a refund), or empty. ``next_try_at`` is the next time something is
    done about it: for a running step, the time after which the call counts as lost and is made again.
    ``may_have_happened`` is set once a call was sent whose outcome is unknown. ``since`` is when the step began.
    ``not_found_at``: when the partner first said that it knows nothing of it. ``until``: when the stock that a hold
    asks for is free again; it is kept because a call made again must be the same, byte for byte. ``refused``: the code
    with which the partner refused a repeat of what may have happened; it counts once the partner knows of nothing.
    ``undecided_at``: when the payment or refund needs attention, should there be no final word on it by then. ``told``:
    the amount that an event said was taken, which PaymentSvc is being asked about. ``rounds``: how often the validation
    that the step belongs to was begun anew because events had announced newer products or a newer customer.
    """

    key: str
    kind: StepKind
    state: StepState
    since: datetime
    next_try_at: datetime
    subject: str = ""
    revision: int = 0
    attempts: int = 0
    last_error: str | None = None
    may_have_happened: bool = False
    not_found_at: datetime | None = None
    until: datetime | None = None
    refused: str | None = None
    undecided_at: datetime | None = None
    told: Money | None = None
    rounds: int = 0


class Address(Stored, frozen=True, kw_only=True):
    """One of a customer's addresses."""

    address_id: str
    line1: str
    line2: str | None
    city: str
    postal_code: str
    country: str


class Customer(Stored, frozen=True, kw_only=True):
    """A cached copy of what UserSvc says."""

    customer_id: str
    name: str
    email: str
    status: str
    version: int
    addresses: tuple[Address, ...]


class Product(Stored, frozen=True, kw_only=True):
    """What ProductSvc says of a sku in one currency. ``tax_rate`` is a decimal fraction as text."""

    sku: str
    name: str
    unit_price: int
    currency: str
    tax_rate: str
    available: int
    sellable: bool
    version: int


class OrderLine(Stored, frozen=True, kw_only=True):
    """A product in the order. ``name`` is None and the amounts are 0 until the first validation priced the line.

    ``unit_price`` is net; ``discount`` is the share of all discounts; ``tax`` is on net less discount, half-even.
    """

    id: str
    sku: str
    quantity: int
    name: str | None = None
    unit_price: int = 0
    tax_rate: str = "0"
    discount: int = 0
    tax: int = 0
    shipped: int = 0
    delivered: int = 0

    @property
    def net(self) -> int:
        """Net before discount, in minor units."""
        return self.unit_price * self.quantity


class ValidationError(Stored, frozen=True):
    """Why an order can't be validated; ``sku`` is None where it is not about a product."""

    code: str
    sku: str | None
    detail: str


class Attention(Stored, frozen=True):
    """Why staff should look: ``key`` is the step or the cause (so that it goes away with it), ``reason`` one of
    ``AttentionReason``, ``detail`` for people.
    """

    key: str
    reason: str
    detail: str


class Order(Stored, frozen=True, kw_only=True):
    """The aggregate. ``version`` grows by one a commit; ``revision`` with each new hold asked for.

    ``event_seq`` and ``notice_seq`` are the last numbers given to events and to notification requests.
    ``products`` and ``fetched_customer`` hold what validation has learnt so far; they are empty outside stage 2.
    ``hold_revision`` is the revision of the last hold asked for, 0 when none ever was. ``known_fields`` is what the release that
    wrote it knew of; of a later release where that one's unknown fields are kept.
    """

    id: str
    version: int
    revision: int
    status: Status
    customer_id: str
    currency: str
    lines: tuple[OrderLine, ...]
    shipping_method: str
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    number: str | None = None
    customer: Customer | None = None
    address_id: str | None = None
    shipping_address: Address | None = None
    shipping_amount: int = 0
    shipping_tax: int = 0
    shipping_discount: int = 0
    discounts: tuple[Discount, ...] = ()
    payments: tuple[Payment, ...] = ()
    ledger: tuple[Transaction, ...] = ()
    shipments: tuple[Shipment, ...] = ()
    steps: tuple[Step, ...] = ()
    hold: HoldState = HoldState.NONE
    hold_revision: int = 0
    rehold_tried: bool = False
    products: tuple[Product, ...] = ()
    fetched_customer: Customer | None = None
    validation_errors: tuple[ValidationError, ...] = ()
    attention: tuple[Attention, ...] = ()
    cancel_reason: CancelReason | None = None
    cancel_note: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    line_seq: int = 0
    refund_seq: int = 0
    event_seq: int = 0
    notice_seq: int = 0
    validated_at: datetime | None = None
    paid_at: datetime | None = None
    confirmed_at: datetime | None = None
    prepared_at: datetime | None = None
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    cancelled_at: datetime | None = None
    known_fields: int = msgspec.field(default_factory=known_fields)

    @property
    def is_closed(self) -> bool:
        """Delivered or cancelled, with no step left: the actor may leave memory and nothing is due."""
        return self.status in (Status.DELIVERED, Status.CANCELLED) and not self.steps
