from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.commands import Actor, ActorType, HoldLost, PaymentConfirmed, PaymentRejected
from domain.money import Money
from domain.order import Address
from domain.reference_data import ReferenceKind, ReferenceVersion
from messaging.consuming.consumed_events import TRANSLATED_BY, ReferenceChanged, Translated, translate
from messaging.envelope import (
    DATA_OF,
    AddressData,
    CustomerUpdatedData,
    Data,
    InboundEvent,
    InventoryUpdatedData,
    MoneyData,
    PaymentConfirmedData,
    PaymentRejectedData,
)

ORDER_ID = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
OTHER_ID = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b01"


def event(data: Data, *, event_id: str = "e-1", at: datetime = datetime(2026, 11, 24, tzinfo=UTC)) -> InboundEvent:
    name = next(name for name, kind in DATA_OF.items() if isinstance(data, kind))
    return InboundEvent(source="paymentsvc", id=event_id, type=name, time=at, data=data, traceparent="t")


def confirmation(amount: int = 7125, order_id: str = ORDER_ID) -> PaymentConfirmedData:
    return PaymentConfirmedData(payment_id="p-1", order_id=order_id, amount=MoneyData(amount, "EUR"), gateway_ref="g-1")


def stock(**changes: object) -> InventoryUpdatedData:
    return InventoryUpdatedData(**{"sku": "pen", "available": 3, "version": 8, **changes})  # type: ignore[arg-type]


def test_everything_that_is_consumed_is_heard_by_somebody() -> None:
    assert set(TRANSLATED_BY) == set(DATA_OF.values())


def test_a_confirmation_is_a_letter_to_its_order() -> None:
    translated = translate(event(confirmation()))
    assert translated.change is None
    (order_message,) = translated.messages
    assert order_message.order_id == ORDER_ID
    message = order_message.message
    assert message.body == PaymentConfirmed(payment_id="p-1", amount=Money(7125, "EUR"), gateway_ref="g-1")
    assert message.id == "paymentsvc/e-1"
    assert message.actor == Actor(ActorType.PARTNER, "paymentsvc")
    assert message.keyed
    assert message.traceparent == "t"


def test_the_order_id_is_written_as_we_write_it() -> None:
    (order_message,) = translate(event(confirmation(order_id=ORDER_ID.upper()))).messages
    assert order_message.order_id == ORDER_ID


def test_a_rejection_is_a_letter_to_its_order() -> None:
    (order_message,) = translate(
        event(PaymentRejectedData(payment_id="p-1", order_id=ORDER_ID, code="card_declined"))
    ).messages
    assert order_message.message.body == PaymentRejected("p-1", "card_declined")


def test_the_fingerprint_is_that_of_the_content() -> None:
    def fingerprint(data: Data, event_id: str = "e-1", year: int = 2026) -> str:
        (order_message,) = translate(event(data, event_id=event_id, at=datetime(year, 1, 1, tzinfo=UTC))).messages
        return order_message.message.fingerprint

    assert fingerprint(confirmation()) == fingerprint(confirmation(), "e-2", 2027)
    assert fingerprint(confirmation()) != fingerprint(confirmation(amount=7126))


def test_each_order_that_lost_its_hold_hears_of_it_once_and_what_is_in_stock_changes_nothing_else() -> None:
    translated = translate(event(stock(lost_holds=(ORDER_ID, OTHER_ID, ORDER_ID.upper()))))
    assert [(order_message.order_id, order_message.message.body) for order_message in translated.messages] == [
        (ORDER_ID, HoldLost("pen")),
        (OTHER_ID, HoldLost("pen")),
    ]
    assert translated.change is None


@pytest.mark.parametrize(
    ("named", "heard_as"),
    [
        ({"unit_price": MoneyData(0, "EUR")}, {"unit_price": Money(0, "EUR")}),
        ({"tax_rate": "0"}, {"tax_rate": "0"}),
        ({"name": ""}, {"name": ""}),
    ],
)
def test_what_orders_are_priced_with_changes_the_product(named: dict[str, Any], heard_as: dict[str, Any]) -> None:
    changed = ReferenceVersion(ReferenceKind.PRODUCT, "pen", 8)
    assert translate(event(stock(**named))) == Translated(change=ReferenceChanged(changed=changed, **heard_as))


def test_a_changed_customer_is_heard_with_what_changed() -> None:
    home = AddressData(address_id="home", line1="Calle 1", city="Lugo", postal_code="27001", country="ES")
    translated = translate(
        event(CustomerUpdatedData(customer_id="c-1", version=2, status="blocked", addresses=(home,)))
    )
    address = Address(address_id="home", line1="Calle 1", line2=None, city="Lugo", postal_code="27001", country="ES")
    changed = ReferenceVersion(ReferenceKind.CUSTOMER, "c-1", 2)
    assert translated == Translated(change=ReferenceChanged(changed=changed, status="blocked", addresses=(address,)))
