from __future__ import annotations

from typing import Any

import jsonschema
import msgspec
import pytest

from domain.commands import Actor, ActorType, CreateOrder, Message, NewLine
from domain.events import EventType
from messaging.asyncapi import build
from messaging.envelope import encode_event, encode_notice
from messaging.topology import CONSUMED
from sagas.decide import decide
from sagas.decision import OrderRules
from tests.unit.api.harness import NOW, ORDER_ID
from tests.unit.api.openapi.test_document import references

DOCUMENT = build()


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        node: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node


def test_every_event_that_is_said_or_heard_is_described() -> None:
    messages = set(DOCUMENT["components"]["messages"])
    assert messages == {*(kind.value for kind in EventType), "SolicitudNotificacion", *CONSUMED}


def valid(kind: str, payload: Any) -> None:
    schema = {**DOCUMENT["components"]["messages"][kind]["payload"], "components": DOCUMENT["components"]}
    jsonschema.validate(payload, schema)


def test_what_is_said_is_what_is_described() -> None:
    body = CreateOrder(order_id=ORDER_ID, customer_id="c", currency="EUR", lines=(NewLine("S", 1),))
    message = Message(id="m", body=body, actor=Actor(ActorType.CLIENT, "s"))
    (event, *_) = decide(None, message, NOW, OrderRules()).events
    valid("PedidoCreado", msgspec.json.decode(encode_event(ORDER_ID, event)))
    notice = encode_notice(ORDER_ID, event)
    assert notice is not None
    valid("SolicitudNotificacion", msgspec.json.decode(notice))


def test_what_is_heard_is_what_is_described() -> None:
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": "1",
        "source": "/paymentsvc",
        "type": "PagoConfirmado",
        "time": "2026-11-24T10:15:30.123Z",
        "data": {"payment_id": ORDER_ID, "order_id": ORDER_ID, "amount": {"amount": 7125, "currency": "EUR"}},
    }
    valid("PagoConfirmado", event)
    with pytest.raises(jsonschema.ValidationError):
        valid("PagoConfirmado", {**event, "data": {"payment_id": ORDER_ID}})
