from __future__ import annotations

import json
from datetime import UTC, datetime
from struct import pack
from typing import Any

import pamqp.frame
import pytest
from pamqp import commands as spec
from pamqp.header import ContentHeader

from messaging.envelope import CONTENT_TYPE
from messaging.publishing.event_properties import encode_properties

ATTRIBUTES = {
    "specversion": "1.0",
    "id": "1870c4f9-ab55-5c29-8867-6f7b9f79e9a7",
    "source": "/ordersvc/orders/o-1",
    "type": "PedidoActualizado",
    "subject": "o-1",
    "time": "2026-11-24T10:15:30.999Z",
    "datacontenttype": "application/json",
    "sequence": "00000000000000000004",
    "correlationid": "o-1",
    "causationid": "paymentsvc/número-ñ",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}


def read(properties: bytes) -> spec.Basic.Properties:
    """What pamqp, which has nothing of ours, reads in a content header with these properties."""
    payload = pack(">HHQ", spec.Basic.frame_id, 0, 7) + properties
    _, channel, header = pamqp.frame.unmarshal(pack(">BHI", 2, 1, len(payload)) + payload + b"\xce")
    assert channel == 1
    assert isinstance(header, ContentHeader)
    assert header.body_size == 7
    return header.properties


def body(**changes: Any) -> bytes:
    return json.dumps({**ATTRIBUTES, **changes, "data": {"id": "another"}}).encode()


def test_they_repeat_the_attributes_of_the_envelope() -> None:
    found = read(encode_properties(body()))
    assert dict(found) == {
        **dict.fromkeys(spec.Basic.Properties.attributes()),
        "content_type": CONTENT_TYPE,
        "headers": {f"cloudEvents_{name}": value for name, value in ATTRIBUTES.items()},
        "delivery_mode": 2,
        "correlation_id": "o-1",
        "message_id": ATTRIBUTES["id"],
        "timestamp": datetime(2026, 11, 24, 10, 15, 30, tzinfo=UTC),
        "message_type": "PedidoActualizado",
        "app_id": "ordersvc",
        "cluster_id": "",
    }


def test_what_an_envelope_does_not_have_is_no_header() -> None:
    without = {name: value for name, value in ATTRIBUTES.items() if name != "traceparent"}
    headers = read(encode_properties(json.dumps(without).encode())).headers
    assert headers is not None
    assert "cloudEvents_traceparent" not in headers
    assert len(headers) == len(without)


def test_a_text_that_is_too_long_for_a_property_is_cut_and_whole_in_its_header() -> None:
    found = read(encode_properties(body(id="x" * 300)))
    assert found.message_id == "x" * 255
    assert found.headers is not None
    assert found.headers["cloudEvents_id"] == "x" * 300


@pytest.mark.parametrize("other", [b"", b"\xff", b"[]", b"{}", b'{"time": "never"}', b'{"id": 1}'])
def test_a_body_that_is_no_envelope_has_properties_all_the_same(other: bytes) -> None:
    found = read(encode_properties(other))
    assert (found.content_type, found.message_id, found.headers, found.app_id) == (CONTENT_TYPE, "", {}, "ordersvc")
