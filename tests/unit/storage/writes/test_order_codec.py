from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from msgspec import NODEFAULT
from msgspec.structs import fields, replace

from domain.money import Money
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
from domain.stored import Stored
from storage.errors import UndecodableSnapshot
from storage.writes import order_codec
from storage.writes.order_codec import KNOWN_FIELDS, SCHEMA_NUMBER, decode_order, encode_order

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


class LaterDiscount(Discount, frozen=True, kw_only=True):
    stacks: int = 0


class LaterRefund(Refund, frozen=True, kw_only=True):
    fee: Money | None = None


class LaterPayment(Payment, frozen=True, kw_only=True):
    refunds: tuple[LaterRefund, ...] = ()
    wallet: dict[str, list[datetime]] = msgspec.field(default_factory=dict)


class LaterOrder(Order, frozen=True, kw_only=True):
    """The order of a later release, that knows more of it and of the values in it."""

    discounts: tuple[LaterDiscount, ...] = ()
    payments: tuple[LaterPayment, ...] = ()
    gift_note: str | None = None
    known_fields: int = msgspec.field(default_factory=lambda: KNOWN_FIELDS + 4)


def as_later(order: Order, **changes: Any) -> LaterOrder:
    """The same order, as a later release has it that has not used its new fields yet."""
    written = msgspec.msgpack.decode(encode_order(order))
    del written["known_fields"]
    return replace(msgspec.convert(written, LaterOrder), **changes)


def a_later_order() -> LaterOrder:
    """The full order with something in every field that only the later release knows."""
    later = as_later(full_order(), gift_note="¡Felicidades!")
    refund = replace(later.payments[0].refunds[0], fee=Money(7, "EUR"))
    return replace(
        later,
        discounts=(replace(later.discounts[0], stacks=2),),
        payments=(replace(later.payments[0], wallet={"opened": [AT]}, refunds=(refund,)),),
    )


def stored_by_the_later(order: LaterOrder) -> bytes:
    return msgspec.msgpack.encode(order)


def read_by_the_later(snapshot: bytes) -> LaterOrder:
    return msgspec.msgpack.decode(snapshot, type=LaterOrder)


def test_what_a_later_release_wrote_is_still_there_after_a_commit_of_this_one() -> None:
    later = a_later_order()
    order = decode_order(stored_by_the_later(later), SCHEMA_NUMBER)
    changed = replace(order, version=10, metadata={"unknown_fields": "x"}, cancel_note=None)
    assert read_by_the_later(encode_order(changed)) == replace(
        later, version=10, metadata={"unknown_fields": "x"}, cancel_note=None
    )


def test_it_stays_with_the_value_that_it_was_written_in_however_that_is_changed_and_moved() -> None:
    later = a_later_order()
    order = decode_order(stored_by_the_later(later), SCHEMA_NUMBER)
    another = replace(full_order().payments[0], payment_id="p-2", refunds=())
    refunds = (replace(order.payments[0].refunds[0], status=RefundStatus.REJECTED),)
    changed = replace(order, payments=(another, replace(order.payments[0], amount=1, refunds=refunds)), discounts=())
    new, old = read_by_the_later(encode_order(changed)).payments
    assert (new.wallet, new.refunds) == ({}, ())
    assert old.wallet == later.payments[0].wallet
    assert old.refunds == (replace(later.payments[0].refunds[0], status=RefundStatus.REJECTED),)


def test_it_survives_many_commits_and_restarts_of_this_release() -> None:
    later = a_later_order()
    snapshot = stored_by_the_later(later)
    for version in range(10, 15):
        order = replace(decode_order(snapshot, SCHEMA_NUMBER), version=version)
        snapshot = encode_order(order)
        assert decode_order(snapshot, SCHEMA_NUMBER) == order
    assert read_by_the_later(snapshot) == replace(later, version=14)


def test_a_snapshot_of_a_later_release_without_anything_unknown_is_like_one_of_this() -> None:
    later = as_later(full_order())
    assert later.known_fields > KNOWN_FIELDS
    assert decode_order(stored_by_the_later(later), SCHEMA_NUMBER) == full_order()


def test_a_snapshot_of_an_earlier_release_becomes_one_of_this() -> None:
    earlier = replace(full_order(), known_fields=KNOWN_FIELDS - 1)
    assert decode_order(encode_order(earlier), SCHEMA_NUMBER) == full_order()


def test_the_parts_of_an_order_are_all_values_that_keep_what_they_do_not_know() -> None:
    def parts(kind: type[msgspec.Struct]) -> set[type[msgspec.Struct]]:
        hints = [field.type for field in fields(kind)]
        found = set()
        while hints:
            hint = hints.pop()
            hints += get_args(hint)
            if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
                found |= {hint} | parts(hint)
        return found

    assert all(issubclass(part, Stored) for part in parts(Order))
    assert sum(len(part.__struct_fields__) for part in {Order} | parts(Order)) == KNOWN_FIELDS


def is_at_default(order: Order, field: Any) -> bool:
    default = field.default_factory() if field.default_factory is not NODEFAULT else field.default
    return bool(getattr(order, field.name) == default)


def test_the_full_order_is_full() -> None:
    at_default = [field.name for field in fields(Order) if is_at_default(full_order(), field)]
    assert at_default == ["unknown_fields", "known_fields"]


def test_an_order_is_read_back_equal_and_of_the_same_types() -> None:
    order = full_order()
    again = decode_order(encode_order(order), SCHEMA_NUMBER)
    assert again == order
    assert repr(again) == repr(order)


def test_what_is_at_its_default_takes_no_space_and_is_read_back() -> None:
    bare = replace(
        full_order(),
        **{f.name: f.default for f in fields(Order) if f.default is not NODEFAULT},
        metadata={},
    )
    snapshot = encode_order(bare)
    assert decode_order(snapshot, SCHEMA_NUMBER) == bare
    required = {f.name for f in fields(Order) if f.required}
    assert set(msgspec.msgpack.decode(snapshot)) == required | {"known_fields"}


def first_release() -> list[tuple[int, bytes]]:
    """Orders in every status and with every kind of step, payment, refund and discount, with their shapes, as the first release
    stored them.
    """
    return msgspec.msgpack.decode((SAMPLES / "first_release.msgpack").read_bytes(), type=list[tuple[int, bytes]])


def as_written(value: Any) -> Any:
    """A value as it stands in a snapshot, with the fields that are at their defaults."""
    if isinstance(value, msgspec.Struct):
        return {name: as_written(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [as_written(each) for each in value]
    return value


def assert_holds(read: Any, written: Any) -> None:
    """Every field that was written is there, with its value; there may be fields that the writer did not know."""
    if isinstance(written, dict):
        for name, value in written.items():
            assert_holds(read[name], value)
    elif isinstance(written, list):
        for mine, value in zip(read, written, strict=True):
            assert_holds(mine, value)
    else:
        assert read == written


@pytest.mark.parametrize(("number", "snapshot"), first_release())
def test_what_the_first_release_stored_is_read_to_the_last_field(number: int, snapshot: bytes) -> None:
    order = decode_order(snapshot, number)
    assert_holds(as_written(order), msgspec.msgpack.decode(snapshot))
    assert decode_order(encode_order(order), SCHEMA_NUMBER) == order


def test_the_orders_of_the_first_release_are_in_every_state() -> None:
    orders = [decode_order(snapshot, number) for number, snapshot in first_release()]
    assert {order.status for order in orders} == set(Status)
    assert {step.kind for order in orders for step in order.steps} == set(StepKind)
    assert {payment.status for order in orders for payment in order.payments} == set(PaymentStatus)


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

    monkeypatch.setattr(order_codec, "SCHEMA_NUMBER", 3)
    monkeypatch.setattr(order_codec, "UPGRADES", {1: to_2, 2: to_3})
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
