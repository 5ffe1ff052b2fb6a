"""Messages: all that may change an order. They enter its mailbox in one place.

Imperatives come from clients and staff; ``…Answered`` are partners' answers to our calls; the rest are partners' events
and the order's own timer.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from domain.calls import Outcome, Partner
from domain.money import Money
from domain.order import CancelReason, Customer, Product
from domain.promotions import Promotion
from domain.shipments import ShipmentLine


class ActorType(StrEnum):
    """What sort of actor caused a change."""

    CLIENT = "client"
    STAFF = "staff"
    PARTNER = "partner"
    SAGA = "saga"
    TIMER = "timer"


class Actor(msgspec.Struct, frozen=True):
    """Who caused a change; shown in the timeline."""

    type: ActorType
    id: str

    @property
    def reads_answers(self) -> bool:
        """Clients and staff get a document in reply; partners, timers and the saga need none."""
        return self.type in (ActorType.CLIENT, ActorType.STAFF)


class NewLine(msgspec.Struct, frozen=True):
    """A product to order, and how many pieces."""

    sku: str
    quantity: int


# Commands of clients and staff.


class CreateOrder(msgspec.Struct, frozen=True, kw_only=True):
    """``order_id`` names the order that is to be made; the same creation asked again names the same."""

    customer_id: str
    currency: str
    lines: tuple[NewLine, ...]
    discount_codes: tuple[str, ...] = ()
    address_id: str | None = None
    shipping_method: str = "standard"
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    order_id: str = ""


class AddItem(msgspec.Struct, frozen=True):
    """Put more of a product into the order."""

    sku: str
    quantity: int


class ChangeQuantity(msgspec.Struct, frozen=True):
    """Give a line another quantity."""

    item_id: str
    quantity: int


class RemoveItem(msgspec.Struct, frozen=True):
    """Take a line out of the order."""

    item_id: str


class ApplyDiscount(msgspec.Struct, frozen=True):
    """Put a discount code on the order."""

    code: str


class RemoveDiscount(msgspec.Struct, frozen=True):
    """Take a discount code off the order."""

    code: str


class Pay(msgspec.Struct, frozen=True):
    """``amount`` None: the balance. ``token`` is the gateway's token, never a card number."""

    method: str
    token: str | None = None
    amount: int | None = None


class Cancel(msgspec.Struct, frozen=True):
    """Cancel the order; ``note`` is the text given."""

    reason: CancelReason
    note: str | None = None


class Ship(msgspec.Struct, frozen=True, kw_only=True):
    """``lines`` empty: everything that is left."""

    carrier: str
    tracking_number: str
    tracking_url: str | None = None
    lines: tuple[ShipmentLine, ...] = ()


class Deliver(msgspec.Struct, frozen=True):
    """``shipment_id`` None: every shipment under way."""

    shipment_id: str | None = None


# Staff verbs for an order that needs attention.


class RetryNow(msgspec.Struct, frozen=True):
    """Try every step again at once (a rejected refund under a new id); a note goes into the timeline."""

    note: str | None = None


class SkipToCompensation(msgspec.Struct, frozen=True):
    """Give up going forward: cancel as staff, in any stage that the order stands still in (before the first shipment)."""

    note: str


class MarkSettled(msgspec.Struct, frozen=True):
    """Staff say that stock which needs attention was settled outside; its step ends, the note goes into the timeline."""

    note: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Staff's word on a payment or a refund that PaymentSvc leaves undecided, or whose word did not fit.

    ``subject``: the payment's or refund's id, in any case. ``outcome``: ``confirmed`` or ``rejected`` of a payment,
    ``refunded`` or ``rejected`` of a refund. ``amount`` in minor units of ``currency`` (None: the payment's own).
    ``reference``: where it can be looked up outside; ``note`` goes into the timeline with it.
    """

    subject: str
    outcome: str
    amount: int
    reference: str
    note: str
    currency: str | None = None


# Partners' words and the timer.


class CallAnswered(msgspec.Struct, frozen=True):
    """A partner's answer to the call of step ``key``, or that none came. ``attempt`` is the one of the call.

    ``may_have_happened``: an earlier sending of the same call was not answered and may have been done all the same.
    """

    key: str
    attempt: int
    outcome: Outcome
    may_have_happened: bool = False


class PaymentConfirmed(msgspec.Struct, frozen=True, kw_only=True):
    """PaymentSvc says by an event that it took the money."""

    payment_id: str
    amount: Money
    gateway_ref: str | None = None


class PaymentRejected(msgspec.Struct, frozen=True):
    """PaymentSvc says by an event that the attempt is closed."""

    payment_id: str
    code: str


class HoldLost(msgspec.Struct, frozen=True):
    """ProductSvc lost the order's hold of ``sku``."""

    sku: str


class Wake(msgspec.Struct, frozen=True):
    """The order's deadline has come, its shard has just started, or it seems to stand still."""


class AskAgain(msgspec.Struct, frozen=True):
    """What waits to ask this partner again need not wait for its time: the partner answers again, or that is to be seen."""

    partner: Partner


Body = (
    CreateOrder
    | AddItem
    | ChangeQuantity
    | RemoveItem
    | ApplyDiscount
    | RemoveDiscount
    | Pay
    | Cancel
    | Ship
    | Deliver
    | RetryNow
    | SkipToCompensation
    | MarkSettled
    | Record
    | CallAnswered
    | PaymentConfirmed
    | PaymentRejected
    | HoldLost
    | Wake
    | AskAgain
)


class Lookups(msgspec.Struct, frozen=True, kw_only=True):
    """What the shard looked up for a decision, so that deciding needs no I/O.

    ``products`` and ``customer``: cached copies fresh enough to validate with, where all that is needed is known; else
    None. ``promotions``: the definitions that the message's discount codes name (a code that is absent does not exist).
    ``number``: the next order number, digits only, used when the order is confirmed in this decision. ``is_outdated``:
    a decision on this message could not be committed, as events announced newer versions of the products or the
    customer that the order was judged by.
    """

    products: tuple[Product, ...] | None = None
    customer: Customer | None = None
    promotions: tuple[Promotion, ...] = ()
    number: int = 0
    is_outdated: bool = False


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message in an order's mailbox.

    ``id`` is unique within the order: a repeat has the same. ``keyed``: the id stands for a client's idempotency key or
    a partner's event id, so it is remembered with its reply; ``fingerprint`` then shows whether a repeat has the same
    content. ``former_ids``: ids that earlier releases would have given it, under which its first delivery may be remembered,
    with ``former_fingerprint`` where theirs was another (else empty).
    ``expected_version``: from ``If-Match``. ``customer_scope``: a token's ``customer_id``; another customer's
    order does not exist for it. ``traceparent``: W3C trace context.
    """

    id: str
    body: Body
    actor: Actor
    keyed: bool = False
    fingerprint: str = ""
    expected_version: int | None = None
    customer_scope: str | None = None
    traceparent: str | None = None
    former_ids: tuple[str, ...] = ()
    former_fingerprint: str = ""
    lookups: Lookups = Lookups()
