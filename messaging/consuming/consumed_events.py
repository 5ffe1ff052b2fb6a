"""What consumed events mean: a partner's event becomes messages to orders, or makes copies of a product or a customer old.

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
from domain.reference_data import ReferenceKind, ReferenceVersion
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
class ReferenceChanged:
    """What a partner announced of a product or a customer; what is None was not named, and stays as it was.

    ``unit_price`` replaces the price in its own currency and drops the others.
    """

    changed: ReferenceVersion
    name: str | None = None
    unit_price: Money | None = None
    tax_rate: str | None = None
    email: str | None = None
    status: str | None = None
    addresses: tuple[Address, ...] | None = None


@dataclass(frozen=True, slots=True)
class OrderMessage:
    """A message for one order's mailbox."""

    order_id: str
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """All that an event means to us. ``change``: what orders are validated with has changed."""

    messages: tuple[OrderMessage, ...] = ()
    change: ReferenceChanged | None = None


def translate(event: InboundEvent) -> Translated:
    """Translate an event that ``messaging.envelope.decode`` understood. Pure; raises nothing for those."""
    return TRANSLATED_BY[type(event.data)](event)


def _payment_confirmed(event: InboundEvent) -> Translated:
    data = cast("PaymentConfirmedData", event.data)
    body = PaymentConfirmed(
        payment_id=data.payment_id,
        amount=Money(data.amount.amount, data.amount.currency),
        gateway_ref=data.gateway_ref,
    )
    return Translated(messages=(_order_message(event, data.order_id, body),))


def _payment_rejected(event: InboundEvent) -> Translated:
    data = cast("PaymentRejectedData", event.data)
    return Translated(messages=(_order_message(event, data.order_id, PaymentRejected(data.payment_id, data.code)),))


def _inventory_updated(event: InboundEvent) -> Translated:
    """What is in stock changes no order's price, and whether there is enough is said by the hold alone."""
    data = cast("InventoryUpdatedData", event.data)
    losers = dict.fromkeys(data.lost_holds or ())
    messages = tuple(_order_message(event, order_id, HoldLost(data.sku)) for order_id in losers)
    price = data.unit_price
    if price is None and data.tax_rate is None and data.name is None:
        return Translated(messages=messages)
    change = ReferenceChanged(
        changed=ReferenceVersion(ReferenceKind.PRODUCT, data.sku, data.version),
        name=data.name,
        unit_price=None if price is None else Money(price.amount, price.currency),
        tax_rate=data.tax_rate,
    )
    return Translated(messages=messages, change=change)


def _customer_updated(event: InboundEvent) -> Translated:
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
    change = ReferenceChanged(
        changed=ReferenceVersion(ReferenceKind.CUSTOMER, data.customer_id, data.version),
        name=data.name,
        email=data.email,
        status=data.status,
        addresses=addresses,
    )
    return Translated(change=change)


TRANSLATED_BY: dict[type[Data], Callable[[InboundEvent], Translated]] = {
    PaymentConfirmedData: _payment_confirmed,
    PaymentRejectedData: _payment_rejected,
    InventoryUpdatedData: _inventory_updated,
    CustomerUpdatedData: _customer_updated,
}


def _order_message(event: InboundEvent, order_id: str, body: Body) -> OrderMessage:
    """The id is the event's, which is unique within its source; so a repeat of the event is a repeat of the message."""
    message = Message(
        id=f"{event.source}/{event.id}",
        body=body,
        actor=Actor(ActorType.PARTNER, event.source),
        keyed=True,
        fingerprint=_fingerprint(event),
        traceparent=event.traceparent,
    )
    return OrderMessage(order_id, message)


def _fingerprint(event: InboundEvent) -> str:
    """Equal for equal content: 32 hexadecimal digits over the type and the data that was understood."""
    return hashlib.blake2b(event.type.encode() + b"\n" + _canonical(event.data), digest_size=16).hexdigest()
