"""The schemas of all event types, published and consumed: JSON Schema (draft 7) that each message on the wire is
valid against.

They say what contracts/events.md says, for machines. Objects are open, since attributes and fields may be added. Each object
and each closed list of words has a name, ``SCHEMAS``, so that generated code has a class for each of them, and only one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from domain.events import EventType, Template
from domain.limits import AMOUNT_MAX_MINOR
from domain.order import CancelReason, Status
from domain.payments import OrderPaymentStatus
from messaging.envelope import NOTICE_TYPE
from messaging.publishing.event_properties import HEADER_PREFIX

Schema = dict[str, Any]

CHANGES = (
    "items", "discounts", "totals", "status", "validation", "payments", "shipments", "hold", "needs_attention",
)  # fmt: skip

TEXT: Schema = {"type": "string"}
WORD: Schema = {"type": "string", "minLength": 1, "maxLength": 255}
ORDER_ID: Schema = {
    "type": "string",
    "format": "uuid",
    "pattern": "^[0-9a-fA-F-]{36}$",
    "description": "Written in lower case; read in either.",
}
COUNT: Schema = {"type": "integer", "format": "int64", "minimum": 0}
POSITIVE: Schema = {"type": "integer", "format": "int64", "minimum": 1}
AMOUNT: Schema = {**COUNT, "maximum": AMOUNT_MAX_MINOR, "description": "Minor units."}
SIGNED_AMOUNT: Schema = {"type": "integer", "format": "int64", "description": "Minor units."}
CURRENCY: Schema = {"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217."}
TRACEPARENT: Schema = {**TEXT, "description": "W3C's trace context; only if the cause brought one."}
NUMBER: Schema = {"type": "string", "pattern": "^ORD-[0-9]{9,}$", "description": "Given when the order is confirmed."}


def ref(name: str) -> Schema:
    """Refer to one of ``SCHEMAS``."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _one_of(names: Iterable[str]) -> Schema:
    return {"type": "string", "enum": list(names)}


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


SHARED: dict[str, Schema] = {
    "Money": _object({"amount": AMOUNT, "currency": CURRENCY}),
    "OrderStatus": _one_of(Status),
    "PaymentStatus": _one_of(OrderPaymentStatus),
    "CancelReason": _one_of(CancelReason),
    "ChangedPart": _one_of(CHANGES),
    "NotificationTemplate": _one_of(Template),
    "NotificationParams": {
        "type": "object",
        "additionalProperties": True,
        "description": "What the text of the template needs.",
    },
    "Item": _object(
        {
            "id": TEXT,
            "sku": TEXT,
            "name": _or_null(TEXT),
            "quantity": POSITIVE,
            "unit_price": AMOUNT,
            "discount": AMOUNT,
            "tax": AMOUNT,
            "total": AMOUNT,
            "shipped": COUNT,
            "delivered": COUNT,
        }
    ),
    "Totals": _object(
        {
            "items": AMOUNT,
            "discount": AMOUNT,
            "shipping": AMOUNT,
            "tax": AMOUNT,
            "total": AMOUNT,
            "paid": AMOUNT,
            "refunded": AMOUNT,
            "balance": SIGNED_AMOUNT,
        }
    ),
    "ShippedLine": _object({"item_id": TEXT, "quantity": POSITIVE}),
    "Refund": _object({"refund_id": TEXT, "payment_id": TEXT, "amount": AMOUNT, "currency": CURRENCY}),
    "Address": _object(
        {"address_id": WORD, "line1": TEXT, "city": TEXT, "postal_code": TEXT, "country": TEXT},
        {"line2": _or_null(TEXT)},
    ),
}

COMMON: dict[str, Schema] = {
    "order_id": ORDER_ID,
    "number": _or_null(NUMBER),
    "version": POSITIVE,
    "status": ref("OrderStatus"),
    "previous_status": _or_null(ref("OrderStatus")),
    "payment_status": ref("PaymentStatus"),
    "customer_id": TEXT,
    "currency": CURRENCY,
    "totals": ref("Totals"),
}

PUBLISHED: dict[str, Schema] = {
    EventType.CREATED.value: _object({**COMMON, "items": _list(ref("Item"))}),
    EventType.UPDATED.value: _object({**COMMON, "changed": _list(ref("ChangedPart"))}, {"note": TEXT}),
    EventType.CONFIRMED.value: _object({**COMMON, "items": _list(ref("Item"))}),
    EventType.CANCELLED.value: _object({**COMMON, "reason": ref("CancelReason"), "refunds": _list(ref("Refund"))}),
    EventType.PAYMENT_RECEIVED.value: _object({**COMMON, "payment_id": TEXT, "amount": AMOUNT, "method": TEXT}),
    EventType.SHIPPED.value: _object(
        {
            **COMMON,
            "shipment_id": TEXT,
            "lines": _list(ref("ShippedLine")),
            "carrier": TEXT,
            "tracking_number": TEXT,
            "final": {"type": "boolean"},
        }
    ),
    EventType.DELIVERED.value: _object({**COMMON, "shipment_id": TEXT}),
}

REQUESTED: dict[str, Schema] = {
    NOTICE_TYPE: _object(
        {
            "customer_id": TEXT,
            "order_id": ORDER_ID,
            "number": COMMON["number"],
            "template": ref("NotificationTemplate"),
            "locale": TEXT,
            "params": ref("NotificationParams"),
        }
    )
}

CONSUMED: dict[str, Schema] = {
    "PagoConfirmado": _object(
        {"payment_id": WORD, "order_id": ORDER_ID, "amount": ref("Money")}, {"gateway_ref": _or_null(WORD)}
    ),
    "PagoRechazado": _object({"payment_id": WORD, "order_id": ORDER_ID, "code": WORD}, {"message": _or_null(TEXT)}),
    "InventarioActualizado": _object(
        {"sku": WORD, "available": {"type": "integer", "format": "int64"}, "version": COUNT},
        {
            "unit_price": _or_null(ref("Money")),
            "tax_rate": _or_null({"type": "string", "description": "A decimal fraction, such as 0.2100."}),
            "name": _or_null(TEXT),
            "lost_holds": _or_null(_list(ORDER_ID)),
        },
    ),
    "ClienteActualizado": _object(
        {"customer_id": WORD, "version": COUNT},
        {
            "name": _or_null(TEXT),
            "email": _or_null(TEXT),
            "status": _or_null(WORD),
            "addresses": _or_null(_list(ref("Address"))),
        },
    ),
}


def _data(event_type: str) -> str:
    """The name of the schema of a type's data."""
    return f"{event_type}Data"


def _attributes(event_type: Schema) -> dict[str, Schema]:
    """The attributes that every message of ours has, given the schema of its type."""
    return {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "format": "uuid", "description": "No redelivery changes it."},
        "source": {"type": "string", "pattern": "^/ordersvc/orders/[^/]+(/notifications)?$"},
        "type": event_type,
        "subject": ORDER_ID,
        "time": {"type": "string", "format": "date-time", "pattern": "Z$", "description": "When it was decided."},
        "datacontenttype": {"const": "application/json"},
        "sequence": {
            "type": "string",
            "pattern": "^[0-9]{20}$",
            "description": "Counts what its source tells, from 1 without a gap.",
        },
        "correlationid": ORDER_ID,
        "causationid": {**WORD, "description": "The id of the command or event that led to it."},
    }


def _outgoing_envelope(event_type: str) -> Schema:
    """The whole message of a type that we send."""
    return _object({**_attributes({"const": event_type}), "data": ref(_data(event_type))}, {"traceparent": TRACEPARENT})


def _headers() -> Schema:
    """The headers of what we send: its attributes once more, for brokers that route by them."""
    required, optional = _attributes(ref(PUBLISHED_TYPE)), {"traceparent": TRACEPARENT}
    return _object(*({f"{HEADER_PREFIX}{name}": of for name, of in each.items()} for each in (required, optional)))


def _incoming_envelope(event_type: str) -> Schema:
    """The whole message of a type that we read in structured mode; ``id`` is unique within ``source``."""
    attributes: dict[str, Schema] = {
        "specversion": {"const": "1.0"},
        "id": WORD,
        "source": WORD,
        "type": {"const": event_type},
        "time": {
            "type": "string",
            "description": "RFC 3339. One outside of the years 1 to 9999 is counted, and changes nothing.",
        },
    }
    optional: dict[str, Schema] = {
        "data": ref(_data(event_type)),
        "data_base64": _or_null({"type": "string", "description": "The JSON of `data` in base64, instead of it."}),
        "subject": _or_null(TEXT),
        "datacontenttype": _or_null(TEXT),
        "traceparent": {},
    }
    # Said so that generators make one class of it, which they don't of alternatives.
    is_either = {"if": {"not": {"required": ["data_base64"]}}, "then": {"required": ["data"]}}
    return {**_object(attributes, optional), **is_either}


HEADERS = "CloudEventHeaders"
PUBLISHED_TYPE = "PublishedType"
_SENT = {**PUBLISHED, **REQUESTED}
SCHEMAS: dict[str, Schema] = {
    **SHARED,
    **{_data(name): schema for name, schema in {**_SENT, **CONSUMED}.items()},
    **{name: _outgoing_envelope(name) for name in _SENT},
    **{name: _incoming_envelope(name) for name in CONSUMED},
    PUBLISHED_TYPE: _one_of(_SENT),
    HEADERS: _headers(),
}
