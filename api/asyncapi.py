"""The AsyncAPI 3.0 document: what the service says on RabbitMQ, and what it listens to.

It describes what ``messaging`` does (contracts/events.md) and does nothing itself.
"""

from __future__ import annotations

from typing import Any

import msgspec

from api.lists import PaymentStatusName
from api.order_documents import ItemDocument, TotalsDocument
from domain.events import EventType, Template
from domain.order import CancelReason, Status
from messaging.envelope import (
    CONTENT_TYPE,
    NOTICE_TYPE,
    CustomerUpdatedData,
    InventoryUpdatedData,
    PaymentConfirmedData,
    PaymentRejectedData,
)
from messaging.topology import CONSUMED, EVENTS, INBOX, NOTIFICATIONS

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_ID: Json = {"type": "string", "format": "uuid"}
_AMOUNT: Json = {"type": "integer", "format": "int64", "description": "minor units"}
_TIME: Json = {"type": "string", "format": "date-time"}
_SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/components/messages/"
_LINES: Json = {
    "type": "array",
    "items": {"type": "object", "properties": {"item_id": _ID, "quantity": {"type": "integer"}}},
}
_CHANGED = ["items", "discounts", "totals", "status", "validation", "payments", "shipments", "hold", "needs_attention"]

_SAID: dict[EventType, tuple[str, Json]] = {
    EventType.CREATED: ("An order was created", {"items": {"type": "array", "items": {"$ref": _SCHEMAS + "Item"}}}),
    EventType.UPDATED: (
        "Something visible changed that has no event of its own",
        {"changed": {"type": "array", "items": {"enum": _CHANGED}}},
    ),
    EventType.CONFIRMED: (
        "It is paid in full and has its number",
        {"items": {"type": "array", "items": {"$ref": _SCHEMAS + "Item"}}},
    ),
    EventType.CANCELLED: (
        "Money and stock are settled; never before",
        {"reason": {"enum": [*CancelReason]}, "refunds": {"type": "array", "items": {"type": "object"}}},
    ),
    EventType.PAYMENT_RECEIVED: (
        "A payment was confirmed",
        {"payment_id": _ID, "amount": _AMOUNT, "method": _TEXT},
    ),
    EventType.SHIPPED: (
        "A shipment left",
        {
            "shipment_id": _ID,
            "lines": _LINES,
            "carrier": _TEXT,
            "tracking_number": _TEXT,
            "final": {"type": "boolean", "description": "nothing is left to ship"},
        },
    ),
    EventType.DELIVERED: ("The last shipment arrived", {"shipment_id": _ID}),
}
_HEARD: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "PagoConfirmado": ("The payment is confirmed", PaymentConfirmedData),
    "PagoRechazado": ("That attempt is closed", PaymentRejectedData),
    "InventarioActualizado": ("A product changed, and orders that lost their hold", InventoryUpdatedData),
    "ClienteActualizado": ("A customer changed", CustomerUpdatedData),
}


def asyncapi_document() -> Json:
    """Make the whole document."""
    heard_schemas = _heard_schemas()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "OrderSvc",
            "version": "1",
            "description": "CloudEvents 1.0 in structured JSON, one event a message, persistent. Published at least once, "
            "first deliveries of one order's events in the order of their sequence.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {
            "events": _channel(EVENTS, "topic", [kind.value for kind in EventType]),
            "notifications": _channel(NOTIFICATIONS, "direct", [NOTICE_TYPE]),
            **{
                exchange: _channel(exchange, "topic", [kind for kind, at in CONSUMED.items() if at == exchange])
                for exchange in sorted(set(CONSUMED.values()))
            },
        },
        "operations": {
            "tell": {"action": "send", "channel": {"$ref": "#/channels/events"}},
            "notify": {"action": "send", "channel": {"$ref": "#/channels/notifications"}},
            **{
                f"hear-{exchange}": {
                    "action": "receive",
                    "channel": {"$ref": f"#/channels/{exchange}"},
                    "description": f"Through the durable quorum queue {INBOX}; what can't be handled is dead-lettered.",
                }
                for exchange in sorted(set(CONSUMED.values()))
            },
        },
        "components": {
            "messages": {
                **{kind.value: _message(kind.value, *_SAID[kind], common=True) for kind in EventType},
                NOTICE_TYPE: _message(NOTICE_TYPE, "A request to tell the customer", _notice(), common=False),
                **{kind: _heard(kind, summary, data) for kind, (summary, data) in _HEARD.items()},
            },
            "schemas": {
                "Item": ItemDocument.model_json_schema(),
                "Totals": TotalsDocument.model_json_schema(),
                "EventData": _event_data(),
                **heard_schemas,
            },
        },
    }


def _channel(exchange: str, kind: str, types: list[str]) -> Json:
    return {
        "address": exchange,
        "description": "The routing key is the event's type.",
        "messages": {each: {"$ref": _MESSAGES + each} for each in types},
        "bindings": {"amqp": {"is": "routingKey", "exchange": {"name": exchange, "type": kind, "durable": True}}},
    }


def _envelope(kind: str, data: Json, *, said: bool) -> Json:
    """What all events have around their data; of those that we hear, most attributes may be missing."""
    attributes: Json = {
        "specversion": {"const": "1.0"},
        "id": _TEXT,
        "source": {"type": "string", "format": "uri-reference"},
        "type": {"const": kind},
        "subject": _TEXT,
        "time": _TIME,
        "datacontenttype": {"const": "application/json"},
        "sequence": {"type": "string", "pattern": "^[0-9]{20}$"},
        "correlationid": _TEXT,
        "causationid": _TEXT,
        "traceparent": _TEXT,
    }
    needed = [name for name in attributes if said and name != "traceparent"] or ["specversion", "id", "source", "type"]
    return {"type": "object", "required": [*needed, "data"], "properties": {**attributes, "data": data}}


def _message(kind: str, summary: str, properties: Json, *, common: bool) -> Json:
    own: Json = {"type": "object", "required": list(properties), "properties": properties}
    data = {"allOf": [{"$ref": _SCHEMAS + "EventData"}, own]} if common else own
    return {"name": kind, "summary": summary, "payload": _envelope(kind, data, said=True)}


def _heard(kind: str, summary: str, data: type[msgspec.Struct]) -> Json:
    payload = _envelope(kind, {"$ref": _SCHEMAS + data.__name__}, said=False)
    return {"name": kind, "summary": summary, "payload": payload}


def _heard_schemas() -> Json:
    _, components = msgspec.json.schema_components(
        [data for _, data in _HEARD.values()], ref_template=_SCHEMAS + "{name}"
    )
    return dict(components)


def _notice() -> Json:
    return {
        "customer_id": _TEXT,
        "order_id": _ID,
        "number": {"type": ["string", "null"]},
        "template": {"enum": [*Template]},
        "locale": _TEXT,
        "params": {"type": "object"},
    }


def _event_data() -> Json:
    """What the data of each of our events has."""
    properties: Json = {
        "order_id": _ID,
        "number": {"type": ["string", "null"]},
        "version": {"type": "integer"},
        "status": {"enum": [*Status]},
        "previous_status": {"enum": [*Status, None]},
        "payment_status": {"enum": [*PaymentStatusName.__args__]},  # type: ignore[attr-defined]
        "customer_id": _TEXT,
        "currency": _TEXT,
        "totals": {"$ref": _SCHEMAS + "Totals"},
    }
    return {"type": "object", "required": list(properties), "properties": properties}
