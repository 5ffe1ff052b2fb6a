"""The AsyncAPI 3.1 document of both directions: what is published, requested and consumed, where, and in which shape.

Built from the topology and the schemas, so that it can't differ from them. Served as ``/asyncapi.json``.
"""

from __future__ import annotations

from typing import Any

from messaging import schemas, topology
from messaging.envelope import CONTENT_TYPE
from messaging.publishing.event_properties import APP_ID, HEADER_PREFIX

Json = dict[str, Any]

DESCRIPTION = (
    "Events of orders, as CloudEvents 1.0 in structured JSON mode. An event is written in the same transaction as the "
    "change that it tells of and published at least once; the first deliveries of one order's events are in `sequence` "
    "order. It goes with AMQP's `message_id`, `correlation_id`, `timestamp` (whole seconds), `type` and `app_id` "
    f"(`{APP_ID}`), and with each attribute as a header `{HEADER_PREFIX}<name>`. What is consumed may come twice, late and in "
    "any order; in structured mode as shown, or in binary mode: attributes in the headers with the prefix `cloudEvents_` or "
    "`cloudEvents:`, `datacontenttype` as the content type, `data` as the body. It counts from the exchange of its channel only."
)

SUMMARIES = {
    "PedidoCreado": "an order was created",
    "PedidoActualizado": "something visible of an order changed that has no event of its own",
    "PedidoConfirmado": "an order is paid in full and has its number",
    "PedidoCancelado": "an order is cancelled, and its money and stock are settled",
    "PagoRecibido": "a payment was confirmed",
    "PedidoEnviado": "a shipment left",
    "PedidoEntregado": "the last shipment arrived",
    "SolicitudNotificacion": "a customer is to be told something",
    "PagoConfirmado": "PaymentSvc has the money of a payment",
    "PagoRechazado": "PaymentSvc did not get the money of a payment",
    "InventarioActualizado": "a product's stock, price or name changed, or holds of it were lost",
    "ClienteActualizado": "a customer's name, status or addresses changed",
}
CONTACT = {"name": "The operators of this OrderSvc"}
SERVER = {
    "host": "{host}",
    "protocol": "amqp",
    "description": "The RabbitMQ that the service and its partners share.",
    "variables": {"host": {"default": "localhost:5672", "description": "Host and port, as your operators tell them."}},
    "security": [{"$ref": "#/components/securitySchemes/account"}],
    "bindings": {"amqp": {}},
}
ACCOUNT = {
    "type": "userPassword",
    "description": "An account of RabbitMQ: each partner writes to its own exchange, and reads from queues of its own.",
}
ORDER_ID = {"description": "The order's id, for all that belongs to it.", "location": "$message.payload#/correlationid"}
TAGS = {
    "published": "Events that OrderSvc publishes, and its requests to NotificationSvc.",
    "consumed": "Events of its partners that OrderSvc consumes.",
}


def build(version: str = "1.0.0") -> Json:
    """Give the document as JSON values; a new one each time."""
    sent = dict.fromkeys(schemas.PUBLISHED, (topology.EVENTS, "topic"))
    sent |= dict.fromkeys(schemas.REQUESTED, (topology.NOTIFICATIONS, "direct"))
    received = {name: (exchange, "topic") for name, exchange in topology.CONSUMED.items()}
    return {
        "asyncapi": "3.1.0",
        "id": "urn:ordersvc:events",
        "info": {
            "title": "OrderSvc",
            "version": version,
            "description": DESCRIPTION,
            "contact": CONTACT,
            "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        },
        "servers": {"rabbitmq": SERVER},
        "defaultContentType": CONTENT_TYPE,
        "channels": {name: _channel(name, *where) for name, where in (sent | received).items()},
        "operations": {
            **{f"publish{name}": _operation(name, "send", "published") for name in sent},
            **{f"consume{name}": _operation(name, "receive", "consumed") for name in received},
        },
        "components": {
            "messages": {name: _message(name, is_sent=name in sent) for name in sent | received},
            "schemas": schemas.SCHEMAS,
            "securitySchemes": {"account": ACCOUNT},
            "correlationIds": {"orderId": ORDER_ID},
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


def _operation(name: str, action: str, tag: str) -> Json:
    operation: Json = {
        "action": action,
        "title": name,
        "summary": f"{'Published' if action == 'send' else 'Consumed'}: {SUMMARIES[name]}",
        "tags": [{"name": tag}],
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
    }
    if action == "send":
        operation["bindings"] = {"amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": "0.3.0"}}
    return operation


def _message(name: str, *, is_sent: bool) -> Json:
    message: Json = {
        "name": name,
        "title": name,
        "summary": SUMMARIES[name],
        "contentType": CONTENT_TYPE,
        "payload": schemas.ref(name),
    }
    if is_sent:
        message["headers"] = schemas.ref(schemas.HEADERS)
        message["correlationId"] = {"$ref": "#/components/correlationIds/orderId"}
        message["bindings"] = {"amqp": {"messageType": name, "bindingVersion": "0.3.0"}}
    return message
