"""The AsyncAPI 3 document of both directions: what is published, requested and consumed, where, and in which shape.

Built from the topology and the schemas, so that it can't tell anything else than they do. Served as ``/asyncapi.json``.
"""

from __future__ import annotations

from typing import Any

from messaging import schemas, topology
from messaging.envelope import CONTENT_TYPE

Json = dict[str, Any]

DESCRIPTION = (
    "Events of orders, as CloudEvents 1.0 in structured JSON mode. An event is written in the same transaction as the "
    "change that it tells of and published at least once; the first deliveries of one order's events are in `sequence` "
    "order. What is consumed may come twice, late and in any order; in structured mode as shown, or in binary mode: attributes "
    "in the headers with the prefix `cloudEvents_` or `cloudEvents:`, `datacontenttype` as the content type, `data` as the body. "
    "It counts from the exchange of its channel only."
)


def build(version: str = "1.0.0") -> Json:
    """Give the document as JSON values; a new one each time."""
    sent = dict.fromkeys(schemas.PUBLISHED, (topology.EVENTS, "topic"))
    sent |= dict.fromkeys(schemas.REQUESTED, (topology.NOTIFICATIONS, "direct"))
    received = {name: (exchange, "topic") for name, exchange in topology.CONSUMED.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "OrderSvc", "version": version, "description": DESCRIPTION},
        "defaultContentType": CONTENT_TYPE,
        "channels": {name: _channel(name, *where) for name, where in (sent | received).items()},
        "operations": {
            **{f"publish{name}": _operation(name, "send") for name in sent},
            **{f"consume{name}": _operation(name, "receive") for name in received},
        },
        "components": {
            "messages": {name: _message(name) for name in sent | received},
            "schemas": schemas.message_schemas(),
        },
    }


def _channel(name: str, exchange: str, kind: str) -> Json:
    """One routing key of an exchange."""
    return {
        "address": name,
        "description": f"Routing key `{name}` of the exchange `{exchange}`.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": exchange, "type": kind, "durable": True, "autoDelete": False},
                "bindingVersion": "0.3.0",
            }
        },
    }


def _operation(name: str, action: str) -> Json:
    operation: Json = {
        "action": action,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
    }
    if action == "send":
        operation["bindings"] = {"amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": "0.3.0"}}
    return operation


def _message(name: str) -> Json:
    return {
        "name": name,
        "title": name,
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }
