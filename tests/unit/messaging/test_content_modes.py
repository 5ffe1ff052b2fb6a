"""CloudEvents' modes: what is the same event in each of them is read as the same."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from messaging.envelope import InboundEvent, UnreadableEvent, decode

ORDER_ID = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
PAYMENT_ID = "0198f7a2-8fff-7001-8f0e-2f8f6d3c1b77"
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/paymentsvc",
    "type": "PagoConfirmado",
    "time": "2026-11-24T10:15:30Z",
    "subject": "s",
}
DATA: dict[str, Any] = {"payment_id": PAYMENT_ID, "order_id": ORDER_ID, "amount": {"amount": 2154, "currency": "EUR"}}
BODY = json.dumps(DATA).encode()
STRUCTURED = json.dumps({**ATTRIBUTES, "data": DATA}).encode()
EVENT = decode(STRUCTURED)


def binary(body: bytes = BODY, content_type: str | None = "application/json", **changes: Any) -> InboundEvent:
    headers = {f"cloudEvents_{name}": value for name, value in {**ATTRIBUTES, **changes}.items() if value != ""}
    return decode(body, content_type=content_type, headers=headers)


@pytest.mark.parametrize("prefix", ["cloudEvents_", "cloudEvents:", "cloudevents_", "CloudEvents:"])
@pytest.mark.parametrize("content_type", [None, "application/json", "Application/JSON; charset=utf-8", "text/json"])
def test_a_binary_event_is_the_same_as_a_structured_one(prefix: str, content_type: str | None) -> None:
    headers = {"tenant": "t", **{f"{prefix}{name}": value for name, value in ATTRIBUTES.items()}}
    assert decode(BODY, content_type=content_type, headers=headers) == EVENT


@pytest.mark.parametrize(
    "content_type",
    [
        None, "", "application/cloudevents+json", "application/cloudevents+json; charset=utf-8",
        "Application/CloudEvents+JSON;charset=UTF-8", " application/cloudevents", "application/json",
    ],
)  # fmt: skip
def test_a_structured_event_is_one_whatever_parameters_its_content_type_has(content_type: str | None) -> None:
    assert decode(STRUCTURED, content_type=content_type, headers={"tenant": "t"}) == EVENT


def test_a_content_type_of_cloudevents_says_that_the_attributes_are_in_the_body() -> None:
    headers = {f"cloudEvents_{name}": "other" for name in ATTRIBUTES}
    assert decode(STRUCTURED, content_type="application/cloudevents+json", headers=headers) == EVENT


def test_data_may_be_in_base64() -> None:
    encoded = {**ATTRIBUTES, "data_base64": base64.b64encode(BODY).decode()}
    assert decode(json.dumps(encoded).encode()) == EVENT
    assert decode(json.dumps({**encoded, "datacontenttype": "application/json"}).encode()) == EVENT


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data_base64": "%%"}, "invalid_attribute"),
        ({"data_base64": 7}, "invalid_attribute"),
        ({"data_base64": ""}, "not_json"),
        ({"data_base64": base64.b64encode(b"no JSON").decode()}, "not_json"),
        ({"data_base64": base64.b64encode(BODY).decode(), "data": DATA}, "invalid_attribute"),
        ({"data_base64": base64.b64encode(BODY).decode(), "datacontenttype": "text/xml"}, "invalid_attribute"),
        ({"data_base64": None}, "invalid_data"),
    ],
)
def test_base64_that_is_none_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        decode(json.dumps({**ATTRIBUTES, **changes}).encode())
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": ""}, "invalid_attribute"),
        ({"specversion": ""}, "invalid_attribute"),
        ({"specversion": "0.3"}, "unsupported_version"),
        ({"type": "PagoOlvidado"}, "unknown_type"),
        ({"time": "yesterday"}, "invalid_attribute"),
        ({"id": b"\xff"}, "invalid_attribute"),
        ({"source": ["a"]}, "invalid_attribute"),
        ({"id": "x" * 256}, "invalid_attribute"),
        ({"content_type": "application/xml"}, "invalid_attribute"),
        ({"body": b"<xml/>"}, "not_json"),
        ({"body": b""}, "not_json"),
        ({"body": b"null"}, "invalid_data"),
        ({"content_type": "application/cloudevents-batch+json"}, "invalid_attribute"),
    ],
)
def test_a_binary_event_that_cannot_be_understood_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        binary(**changes)
    assert caught.value.reason == reason


def test_attributes_may_have_amqps_types() -> None:
    read = binary(id=7, time=datetime(2026, 11, 24, 10, 15, 30, tzinfo=UTC))
    assert (read.id, read.time) == ("7", EVENT.time)
    assert binary(time=None).time is None  # beyond every calendar


def test_an_events_own_time_may_lie_beyond() -> None:
    assert decode(STRUCTURED.replace(b"2026-11-24T10:15:30Z", b"0001-01-01T00:00:00+01:00")).time is None
    assert binary(time="9999-12-31T23:59:59-01:00").time is None


@pytest.mark.parametrize("text", ["2154", "2154.0", "2.154e3", "2.154E+3", "215400e-2"])
def test_an_amount_is_the_same_however_it_is_written(text: str) -> None:
    assert decode(STRUCTURED.replace(b"2154", text.encode())) == EVENT
    assert binary(BODY.replace(b"2154", text.encode())) == EVENT


@pytest.mark.parametrize(
    "text", ["2154.5", '"2154"', "true", "9007199254740992.0", "1e16", "1e400", "-1.0", "1e999999999999", "NaN", "0x10"]
)
def test_an_amount_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UnreadableEvent):
        decode(STRUCTURED.replace(b"2154", text.encode()))


@pytest.mark.parametrize(
    ("event_type", "name", "exact"),
    [
        ("InventarioActualizado", "version", 2**63 - 1),
        ("InventarioActualizado", "available", -(2**63) + 1),
        ("ClienteActualizado", "version", 2**53 + 1),
    ],
)
def test_versions_and_quantities_too_and_exactly(event_type: str, name: str, exact: int) -> None:
    data = {"sku": "pen", "available": 1, "version": 1, "customer_id": "c", name: "EXACT"}
    body = json.dumps({**ATTRIBUTES, "type": event_type, "data": data}).replace('"EXACT"', f"{exact}.0")
    assert getattr(decode(body.encode()).data, name) == exact


def test_ids_in_capitals_are_those_in_lower_case() -> None:
    """A ``PagoConfirmado`` whose ``payment_id`` was in capitals was never matched."""
    event_id = "0198f7a2-90aa-7d10-8a44-5f0f5f1a9b99"
    loud = json.dumps({**ATTRIBUTES, "id": event_id.upper(), "data": DATA})
    loud = loud.replace(ORDER_ID, ORDER_ID.upper()).replace(PAYMENT_ID, PAYMENT_ID.upper())
    quiet = json.dumps({**ATTRIBUTES, "id": event_id, "data": DATA})
    assert decode(loud.encode()) == decode(quiet.encode())
    rejected = {"payment_id": PAYMENT_ID.upper(), "order_id": ORDER_ID.upper(), "code": "NO"}
    read = decode(json.dumps({**ATTRIBUTES, "type": "PagoRechazado", "data": rejected}).encode()).data
    assert (read.payment_id, read.order_id, read.code) == (PAYMENT_ID, ORDER_ID, "NO")  # type: ignore[union-attr]
    lost = {"sku": "PEN", "available": 1, "version": 1, "lost_holds": [ORDER_ID.upper(), ORDER_ID]}
    read = decode(json.dumps({**ATTRIBUTES, "type": "InventarioActualizado", "data": lost}).encode()).data
    assert (read.sku, read.lost_holds) == ("PEN", (ORDER_ID, ORDER_ID))  # type: ignore[union-attr]
