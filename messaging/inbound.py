"""Who hears what: a partner's event becomes letters to orders, or news for our copies of products and customers.

One table, one pure function a type. Nothing is sent from here, and no rule of an order is known here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import msgspec

from domain.commands import Actor, ActorType, Body, HoldLost, Message, PaymentConfirmed, PaymentRejected
from domain.money import Money
from domain.order import Address
from messaging.envelope import (
    CustomerUpdatedData,
    Data,
    InboundEvent,
    InventoryUpdatedData,
    PaymentConfirmedData,
    PaymentRejectedData,
)

_canonical = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductChanged:
    """What ProductSvc told of a sku; what is None was not told. ``unit_price`` replaces the price in its own currency
    and drops the others. It counts only if ``version`` is higher than the copy's.
    """

    sku: str
    version: int
    available: int
    unit_price: Money | None
    tax_rate: str | None
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerChanged:
    """What UserSvc told of a customer; what is None was not told. It counts only if ``version`` is higher than the
    copy's.
    """

    customer_id: str
    version: int
    name: str | None
    email: str | None
    status: str | None
    addresses: tuple[Address, ...] | None


@dataclass(frozen=True, slots=True)
class Letter:
    """A message for one order's mailbox."""

    order_id: str
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """All that an event means to us."""

    letters: tuple[Letter, ...] = ()
    product: ProductChanged | None = None
    customer: CustomerChanged | None = None


def hear(event: InboundEvent) -> Heard:
    """Translate an event that ``messaging.envelope.decode`` understood. Pure; raises nothing for those."""
    return HEARD_BY[type(event.data)](event)


def _payment_confirmed(event: InboundEvent) -> Heard:
    data = cast("PaymentConfirmedData", event.data)
    body = PaymentConfirmed(
        payment_id=data.payment_id,
        amount=Money(data.amount.amount, data.amount.currency),
        gateway_ref=data.gateway_ref,
    )
    return Heard(letters=(_letter(event, data.order_id, body),))


def _payment_rejected(event: InboundEvent) -> Heard:
    data = cast("PaymentRejectedData", event.data)
    return Heard(letters=(_letter(event, data.order_id, PaymentRejected(data.payment_id, data.code)),))


def _inventory_updated(event: InboundEvent) -> Heard:
    data = cast("InventoryUpdatedData", event.data)
    losers = dict.fromkeys(data.lost_holds or ())
    price = data.unit_price
    return Heard(
        letters=tuple(_letter(event, order_id, HoldLost(data.sku)) for order_id in losers),
        product=ProductChanged(
            sku=data.sku,
            version=data.version,
            available=data.available,
            unit_price=None if price is None else Money(price.amount, price.currency),
            tax_rate=data.tax_rate,
            name=data.name,
        ),
    )


def _customer_updated(event: InboundEvent) -> Heard:
    data = cast("CustomerUpdatedData", event.data)
    addresses = None
    if data.addresses is not None:
        addresses = tuple(
            Address(
                address_id=address.address_id,
                line1=address.line1,
                line2=address.line2,
                city=address.city,
                postal_code=address.postal_code,
                country=address.country,
            )
            for address in data.addresses
        )
    return Heard(
        customer=CustomerChanged(
            customer_id=data.customer_id,
            version=data.version,
            name=data.name,
            email=data.email,
            status=data.status,
            addresses=addresses,
        )
    )


HEARD_BY: dict[type[Data], Callable[[InboundEvent], Heard]] = {
    PaymentConfirmedData: _payment_confirmed,
    PaymentRejectedData: _payment_rejected,
    InventoryUpdatedData: _inventory_updated,
    CustomerUpdatedData: _customer_updated,
}


def _letter(event: InboundEvent, order_id: str, body: Body) -> Letter:
    """The id is the event's, which is unique within its source; so a repeat of the event is a repeat of the letter."""
    message = Message(
        id=f"{event.source}/{event.id}",
        body=body,
        actor=Actor(ActorType.PARTNER, event.source),
        keyed=True,
        fingerprint=_fingerprint(event),
        traceparent=event.traceparent,
    )
    return Letter(order_id, message)


def _fingerprint(event: InboundEvent) -> str:
    """Equal for equal content: 32 hexadecimal digits over the type and the data that was understood."""
    return hashlib.blake2b(event.type.encode() + b"\n" + _canonical(event.data), digest_size=16).hexdigest()
