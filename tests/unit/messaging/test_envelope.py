from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from domain.commands import Actor, ActorType
from domain.events import Event, EventType, Notice, Template
from messaging.envelope import (
    CustomerUpdatedData,
    InventoryUpdatedData,
    PaymentConfirmedData,
    UnreadableEvent,
    decode,
    encode_event,
    encode_notice,
    event_id,
    notice_id,
)

ORDER_ID = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
AT = datetime(2026, 11, 24, 10, 15, 30, 123456, tzinfo=UTC)


def event(*, notice: Notice | None = None, traceparent: str | None = None, at: datetime = AT) -> Event:
    return Event(
        sequence=4,
        type=EventType.PAYMENT_RECEIVED,
        at=at,
        version=4,
        actor=Actor(ActorType.PARTNER, "paymentsvc"),
        causation_id="paymentsvc/e-1",
        data={"order_id": ORDER_ID, "number": None, "amount": 7125},
        traceparent=traceparent,
        notice=notice,
    )


def incoming(**changes: Any) -> dict[str, Any]:
    """A partner's event as JSON values; a change to None takes the attribute away."""
    whole = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "paymentsvc",
        "type": "PagoConfirmado",
        "time": "2026-11-24T10:15:30Z",
        "data": {"payment_id": "p-1", "order_id": ORDER_ID, "amount": {"amount": 7125, "currency": "EUR"}},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def confirmed(**changes: Any) -> bytes:
    data = {"payment_id": "p-1", "order_id": ORDER_ID, "amount": {"amount": 7125, "currency": "EUR"}, **changes}
    return json.dumps(incoming(data=data)).encode()


def refusal_of(body: bytes, **options: Any) -> UnreadableEvent:
    with pytest.raises(UnreadableEvent) as caught:
        decode(body, **options)
    return caught.value


def test_an_event_is_written_as_the_contract_shows_it() -> None:
    assert json.loads(encode_event(ORDER_ID, event())) == {
        "specversion": "1.0",
        "id": event_id(ORDER_ID, 4),
        "source": f"/ordersvc/orders/{ORDER_ID}",
        "type": "PagoRecibido",
        "subject": ORDER_ID,
        "time": "2026-11-24T10:15:30.123Z",
        "datacontenttype": "application/json",
        "sequence": "00000000000000000004",
        "correlationid": ORDER_ID,
        "causationid": "paymentsvc/e-1",
        "data": {"order_id": ORDER_ID, "number": None, "amount": 7125},
    }


def test_the_trace_goes_with_an_event_whose_cause_carried_one() -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    assert json.loads(encode_event(ORDER_ID, event(traceparent=trace)))["traceparent"] == trace


def test_time_is_told_in_utc_whatever_zone_it_came_in() -> None:
    there = AT.astimezone(timezone(timedelta(hours=-5)))
    assert json.loads(encode_event(ORDER_ID, event(at=there)))["time"] == "2026-11-24T10:15:30.123Z"


def test_a_notice_has_a_source_and_a_sequence_of_its_own_and_names_its_event_as_the_cause() -> None:
    notice = Notice(sequence=2, template=Template.ORDER_CONFIRMED, data={"template": "order_confirmed"})
    body = encode_notice(ORDER_ID, event(notice=notice))
    assert body is not None
    written = json.loads(body)
    assert written["source"] == f"/ordersvc/orders/{ORDER_ID}/notifications"
    assert written["type"] == "SolicitudNotificacion"
    assert written["sequence"] == "00000000000000000002"
    assert written["id"] == notice_id(ORDER_ID, 2)
    assert written["causationid"] == event_id(ORDER_ID, 4)
    assert written["data"] == {"template": "order_confirmed"}


def test_an_event_without_a_notice_has_none() -> None:
    assert encode_notice(ORDER_ID, event()) is None


def test_ids_are_the_same_each_time_and_differ_between_orders_sequences_and_streams() -> None:
    # Written down: another derivation would give every event that is being redelivered a second id.
    assert event_id(ORDER_ID, 4) == "1870c4f9-ab55-5c29-8867-6f7b9f79e9a7"
    other = ORDER_ID.replace("0", "1")
    assert len({event_id(ORDER_ID, 4), event_id(ORDER_ID, 5), event_id(other, 4), notice_id(ORDER_ID, 4)}) == 4


def test_a_confirmation_is_read_with_its_types() -> None:
    read = decode(confirmed(gateway_ref="g-1"))
    assert (read.source, read.id, read.type) == ("paymentsvc", "e-1", "PagoConfirmado")
    assert read.time == datetime(2026, 11, 24, 10, 15, 30, tzinfo=UTC)
    assert isinstance(read.data, PaymentConfirmedData)
    assert (read.data.order_id, read.data.amount.amount, read.data.amount.currency) == (ORDER_ID, 7125, "EUR")
    assert read.data.gateway_ref == "g-1"
    assert read.subject is None


def test_what_may_be_missing_may_be_missing() -> None:
    stock = decode(
        json.dumps(incoming(type="InventarioActualizado", data={"sku": "s", "available": -1, "version": 3})).encode()
    )
    assert isinstance(stock.data, InventoryUpdatedData)
    assert (stock.data.unit_price, stock.data.lost_holds) == (None, None)
    customer = decode(json.dumps(incoming(type="ClienteActualizado", data={"customer_id": "c", "version": 1})).encode())
    assert isinstance(customer.data, CustomerUpdatedData)


def test_unknown_attributes_and_fields_are_passed_over() -> None:
    body = json.dumps(incoming(newer={"x": [1]}, datacontenttype="application/json; charset=utf-8")).encode()
    assert decode(body).id == "e-1"
    assert decode(confirmed(newer=1)).id == "e-1"


def test_a_trace_that_is_none_is_left_out() -> None:
    assert decode(json.dumps(incoming(traceparent="nonsense")).encode()).traceparent is None
    assert decode(json.dumps(incoming(traceparent=7)).encode()).traceparent is None


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type", "time"])
def test_a_required_attribute_that_is_missing_is_named(missing: str) -> None:
    error = refusal_of(json.dumps(incoming(**{missing: None})).encode())
    assert error.reason == "invalid_attribute"
    assert missing in error.detail


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[]", "invalid_attribute"),
        (b"[" * 100_000, "invalid_attribute"),
        (json.dumps(incoming(specversion="0.3")).encode(), "unsupported_version"),
        (json.dumps(incoming(datacontenttype="text/xml")).encode(), "invalid_attribute"),
        (json.dumps(incoming(type="PagoOlvidado")).encode(), "unknown_type"),
        (json.dumps(incoming(id="")).encode(), "invalid_attribute"),
        (json.dumps(incoming(id="nul\x00")).encode(), "invalid_attribute"),
        (json.dumps(incoming(id="x" * 256)).encode(), "invalid_attribute"),
        (json.dumps(incoming(time="2026-11-24T10:15:30")).encode(), "invalid_attribute"),
        (json.dumps(incoming(data=None)).encode(), "invalid_data"),
        (confirmed(order_id="17"), "invalid_data"),
        (confirmed(payment_id=None), "invalid_data"),
        (confirmed(amount={"amount": 71.25, "currency": "EUR"}), "invalid_data"),
        (confirmed(amount={"amount": True, "currency": "EUR"}), "invalid_data"),
        (confirmed(amount={"amount": "7125", "currency": "EUR"}), "invalid_data"),
        (confirmed(amount={"amount": -1, "currency": "EUR"}), "invalid_data"),
        (confirmed(amount={"amount": 2**53, "currency": "EUR"}), "invalid_data"),
        (confirmed(amount={"amount": 1, "currency": "euro"}), "invalid_data"),
        (confirmed(gateway_ref="nul\x00"), "invalid_data"),
        (confirmed().replace(b'"e-1"', b'"e-1","deep":' + b"[" * 50_000), "not_json"),
    ],
)
def test_what_cannot_be_understood_says_why(body: bytes, reason: str) -> None:
    error = refusal_of(body)
    assert error.reason == reason
    assert 0 < len(error.detail) <= 500


def test_a_body_that_is_too_large_is_not_even_parsed() -> None:
    assert refusal_of(b"{" * 11, max_bytes=10).reason == "too_large"
    assert refusal_of(b"{" * 10, max_bytes=10).reason == "not_json"
