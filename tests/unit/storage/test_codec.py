from __future__ import annotations

from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.amending import amended
from domain.order import (
    Address,
    Attention,
    CancelReason,
    Customer,
    HoldState,
    Order,
    OrderLine,
    Product,
    Status,
    Step,
    StepKind,
    StepState,
    ValidationError,
)
from domain.payments import Payment, PaymentStatus, Refund, RefundStatus, Transaction, TransactionType
from domain.promotions import Discount, Promotion, PromotionKind
from domain.shipments import Shipment, ShipmentLine, ShipmentStatus
from storage import codec
from storage.codec import SCHEMA_NUMBER, decode_order, encode_order
from storage.errors import UndecodableSnapshot

SAMPLES = Path(__file__).parent / "samples"
AT = datetime(2026, 1, 5, 10, 0, 0, 123_456, tzinfo=UTC)
PAYMENT = "018f0000-0000-8000-8000-000000000002"
REFUND = "018f0000-0000-8000-8000-000000000003"


def full_order() -> Order:
    """An order in which no field is at its default, so that a shape that loses one can't pass."""
    address = Address(
        address_id="a-1", line1="Calle Mayor 1", line2="2º", city="Madrid", postal_code="28013", country="ES"
    )
    customer = Customer(
        customer_id="c-1", name="Ana Pérez", email="ana@example.org", status="active", version=3, addresses=(address,)
    )
    promotion = Promotion(
        code="TEN", kind=PromotionKind.PERCENTAGE, fraction="0.1000", skus=("sku-1",), starts_at=AT, combinable=True
    )
    refund = Refund(refund_id=REFUND, status=RefundStatus.REFUNDED, amount=100, reason="surplus", created_at=AT)
    return Order(
        id="018f0000-0000-8000-8000-000000000001",
        version=9,
        revision=2,
        status=Status.CANCELLING,
        customer_id="c-1",
        currency="EUR",
        lines=(
            OrderLine(
                id="018f0000-0000-8000-8000-000000000004",
                sku="sku-1",
                quantity=3,
                name="Uno",
                unit_price=2**53 - 1,
                tax_rate="0.2100",
                discount=5,
                tax=7,
                shipped=2,
                delivered=1,
            ),
        ),
        shipping_method="express",
        created_at=AT,
        updated_at=AT + timedelta(microseconds=1),
        expires_at=AT + timedelta(minutes=30),
        number="ORD-000000001",
        customer=customer,
        address_id="a-1",
        shipping_address=address,
        shipping_amount=490,
        shipping_tax=103,
        shipping_discount=10,
        discounts=(Discount(code="TEN", promotion=promotion, amount=5, reason="no_matching_items"),),
        payments=(
            Payment(
                payment_id=PAYMENT,
                status=PaymentStatus.PARTIALLY_REFUNDED,
                amount=1000,
                currency="EUR",
                method="card",
                created_at=AT,
                updated_at=AT,
                token="tok",
                code="c",
                gateway_ref="g",
                refunds=(refund,),
            ),
        ),
        ledger=(
            Transaction(
                transaction_id="018f0000-0000-8000-8000-000000000005",
                type=TransactionType.REFUND,
                payment_id=PAYMENT,
                refund_id=REFUND,
                amount=100,
                currency="EUR",
                at=AT,
            ),
        ),
        shipments=(
            Shipment(
                shipment_id="018f0000-0000-8000-8000-000000000006",
                status=ShipmentStatus.DELIVERED,
                carrier="SEUR",
                tracking_number="t",
                tracking_url="https://t.example",
                lines=(ShipmentLine("i", 1),),
                shipped_at=AT,
                delivered_at=AT,
            ),
        ),
        steps=(
            Step(
                key="hold:2",
                kind=StepKind.HOLD,
                state=StepState.RETRYING,
                since=AT,
                next_try_at=AT,
                subject="s",
                revision=2,
                attempts=3,
                last_error="timeout",
                may_have_happened=True,
                not_found_at=AT,
                until=AT,
            ),
        ),
        hold=HoldState.HELD,
        hold_revision=2,
        rehold_tried=True,
        products=(
            Product(
                sku="sku-1",
                name="Uno",
                unit_price=10,
                currency="EUR",
                tax_rate="0.2100",
                available=4,
                sellable=False,
                version=8,
            ),
        ),
        fetched_customer=customer,
        validation_errors=(ValidationError("not_sellable", "sku-1", "is not sold"),),
        attention=(Attention("hold:2", "slow", "tried six times"),),
        cancel_reason=CancelReason.STAFF,
        cancel_note="nota",
        metadata={"k": "ñ"},
        line_seq=1,
        refund_seq=1,
        event_seq=11,
        notice_seq=2,
        validated_at=AT,
        paid_at=AT,
        confirmed_at=AT,
        prepared_at=AT,
        shipped_at=AT,
        delivered_at=AT,
        cancelled_at=AT,
    )


def is_at_default(order: Order, field: Any) -> bool:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return bool(getattr(order, field.name) == default)


def test_the_full_order_is_full() -> None:
    assert [field.name for field in fields(Order) if is_at_default(full_order(), field)] == []


def test_an_order_is_read_back_equal_and_of_the_same_types() -> None:
    order = full_order()
    again = decode_order(encode_order(order), SCHEMA_NUMBER)
    assert again == order
    assert repr(again) == repr(order)


def test_what_is_at_its_default_takes_no_space_and_is_read_back() -> None:
    bare = amended(
        full_order(),
        **{f.name: f.default for f in fields(Order) if f.default is not MISSING},
        metadata={},
    )
    snapshot = encode_order(bare)
    assert decode_order(snapshot, SCHEMA_NUMBER) == bare
    assert set(msgspec.msgpack.decode(snapshot)) == {f.name for f in fields(Order) if f.default is MISSING} - {
        "metadata"
    }


@pytest.mark.parametrize("number", range(1, SCHEMA_NUMBER + 1))
def test_every_shape_that_was_ever_stored_is_read(number: int) -> None:
    sample = (SAMPLES / f"{number:04}.msgpack").read_bytes()
    order = decode_order(sample, number)
    assert order.id == full_order().id
    assert order.lines[0].sku == "sku-1"
    assert order.ledger[0].amount == 100
    if number == SCHEMA_NUMBER:
        assert order == full_order(), (
            "the shape changed: raise SCHEMA_NUMBER, write an upgrade, keep a sample of the new one"
        )


def test_an_old_shape_goes_through_every_upgrade_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    document = msgspec.msgpack.decode(encode_order(full_order()))
    document["money_unit"] = document.pop("currency")
    old = msgspec.msgpack.encode(document)

    def to_2(given: dict[str, Any]) -> dict[str, Any]:
        return given | {"coin": given.pop("money_unit")}

    def to_3(given: dict[str, Any]) -> dict[str, Any]:
        return given | {"currency": given.pop("coin")}

    monkeypatch.setattr(codec, "SCHEMA_NUMBER", 3)
    monkeypatch.setattr(codec, "UPGRADES", {1: to_2, 2: to_3})
    assert decode_order(old, 1) == full_order()


@pytest.mark.parametrize(
    ("snapshot", "number"),
    [
        (b"", SCHEMA_NUMBER),
        (b"rubbish", SCHEMA_NUMBER),
        (encode_order(full_order())[:-9], SCHEMA_NUMBER),
        (msgspec.msgpack.encode({"id": "x"}), SCHEMA_NUMBER),
        (encode_order(full_order()), SCHEMA_NUMBER + 1),
        (encode_order(full_order()), 0),
    ],
)
def test_what_can_not_be_read_is_told_as_such(snapshot: bytes, number: int) -> None:
    with pytest.raises(UndecodableSnapshot):
        decode_order(snapshot, number)
