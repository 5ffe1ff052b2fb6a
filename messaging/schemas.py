"""The schemas of all event types, published and consumed: JSON Schema (draft 7) that each message on the wire is
valid against.

They say what contracts/events.md says, for machines. Objects are open, since attributes and fields may be added.
"""

from __future__ import annotations

from typing import Any

from domain.events import EventType, Template
from domain.money import AMOUNT_MAX_MINOR
from domain.order import CancelReason, Status
from messaging.envelope import NOTICE_TYPE

Schema = dict[str, Any]

CHANGES = (
    "items", "discounts", "totals", "status", "validation", "payments", "shipments", "hold", "needs_attention",
)  # fmt: skip
PAYMENT_STATUSES = (
    "unpaid", "pending", "in_doubt", "partially_paid", "paid", "refunded", "partially_refunded",
)  # fmt: skip

TEXT: Schema = {"type": "string"}
WORD: Schema = {"type": "string", "minLength": 1, "maxLength": 255}
ORDER_ID: Schema = {
    "type": "string",
    "format": "uuid",
    "pattern": "^[0-9a-fA-F-]{36}$",
    "description": "Written in lower case; read in either.",
}
COUNT: Schema = {"type": "integer", "minimum": 0}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
AMOUNT: Schema = {"type": "integer", "minimum": 0, "maximum": AMOUNT_MAX_MINOR, "description": "Minor units."}
SIGNED_AMOUNT: Schema = {"type": "integer", "description": "Minor units."}
CURRENCY: Schema = {"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217."}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _one_of(*names: str) -> Schema:
    return {"type": "string", "enum": list(names)}


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


MONEY = _object({"amount": AMOUNT, "currency": CURRENCY})
STATUS = _one_of(*Status)
ITEM = _object(
    {
        "id": TEXT,
        "sku": TEXT,
        "name": _or_null(TEXT),
        "quantity": POSITIVE,
        "unit_price": AMOUNT,
        "discount": AMOUNT,
        "tax": AMOUNT,
        "total": AMOUNT,
    }
)
TOTALS = _object(
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
)
SHIPPED_LINE = _object({"item_id": TEXT, "quantity": POSITIVE})
REFUND = _object({"refund_id": TEXT, "payment_id": TEXT, "amount": AMOUNT, "currency": CURRENCY})
ADDRESS = _object(
    {"address_id": WORD, "line1": TEXT, "city": TEXT, "postal_code": TEXT, "country": TEXT}, {"line2": _or_null(TEXT)}
)

COMMON: dict[str, Schema] = {
    "order_id": ORDER_ID,
    "number": _or_null({"type": "string", "pattern": "^ORD-[0-9]{9,}$"}),
    "version": POSITIVE,
    "status": STATUS,
    "previous_status": _or_null(STATUS),
    "payment_status": _one_of(*PAYMENT_STATUSES),
    "customer_id": TEXT,
    "currency": CURRENCY,
    "totals": TOTALS,
}

PUBLISHED: dict[str, Schema] = {
    EventType.CREATED.value: _object({**COMMON, "items": _list(ITEM)}),
    EventType.UPDATED.value: _object({**COMMON, "changed": _list(_one_of(*CHANGES))}, {"note": TEXT}),
    EventType.CONFIRMED.value: _object({**COMMON, "items": _list(ITEM)}),
    EventType.CANCELLED.value: _object({**COMMON, "reason": _one_of(*CancelReason), "refunds": _list(REFUND)}),
    EventType.PAYMENT_RECEIVED.value: _object({**COMMON, "payment_id": TEXT, "amount": AMOUNT, "method": TEXT}),
    EventType.SHIPPED.value: _object(
        {
            **COMMON,
            "shipment_id": TEXT,
            "lines": _list(SHIPPED_LINE),
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
            "template": _one_of(*Template),
            "locale": TEXT,
            "params": {"type": "object"},
        }
    )
}

CONSUMED: dict[str, Schema] = {
    "PagoConfirmado": _object(
        {"payment_id": WORD, "order_id": ORDER_ID, "amount": MONEY}, {"gateway_ref": _or_null(WORD)}
    ),
    "PagoRechazado": _object({"payment_id": WORD, "order_id": ORDER_ID, "code": WORD}, {"message": _or_null(TEXT)}),
    "InventarioActualizado": _object(
        {"sku": WORD, "available": {"type": "integer"}, "version": COUNT},
        {
            "unit_price": _or_null(MONEY),
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
            "addresses": _or_null(_list(ADDRESS)),
        },
    ),
}


def outgoing_envelope(event_type: str, data: Schema) -> Schema:
    """The whole message of a type that we send."""
    attributes: dict[str, Schema] = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "format": "uuid"},
        "source": {"type": "string", "pattern": "^/ordersvc/orders/[^/]+(/notifications)?$"},
        "type": {"const": event_type},
        "subject": ORDER_ID,
        "time": {"type": "string", "format": "date-time", "pattern": "Z$"},
        "datacontenttype": {"const": "application/json"},
        "sequence": {"type": "string", "pattern": "^[0-9]{20}$"},
        "correlationid": ORDER_ID,
        "causationid": WORD,
        "data": data,
    }
    return _object(attributes, {"traceparent": TEXT})


def incoming_envelope(event_type: str, data: Schema) -> Schema:
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
        "data": data,
        "data_base64": _or_null({"type": "string", "description": "The JSON of `data` in base64, instead of it."}),
        "subject": _or_null(TEXT),
        "datacontenttype": _or_null(TEXT),
        "traceparent": {},
    }
    is_either = [{"required": ["data"]}, {"required": ["data_base64"]}]
    return {**_object(attributes, optional), "anyOf": is_either}


def message_schemas() -> dict[str, Schema]:
    """The schema of the whole message, for each type in both directions."""
    outgoing = {name: outgoing_envelope(name, data) for name, data in {**PUBLISHED, **REQUESTED}.items()}
    incoming = {name: incoming_envelope(name, data) for name, data in CONSUMED.items()}
    return outgoing | incoming
