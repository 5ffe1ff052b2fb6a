"""What is wrong with what was published: every message against the AsyncAPI document that the service serves, and all of
them together against the promises of contracts/events.md. Pure, so that it can be shown to find what it looks for.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from typing import Any

import jsonschema

from tests.acceptance.broker import Heard

Json = dict[str, Any]

APP_ID = "ordersvc"
# Which event each request to NotificationSvc goes with.
CAUSE_OF = {
    "order_created": "PedidoCreado",
    "order_confirmed": "PedidoConfirmado",
    "payment_rejected": "PedidoActualizado",
    "order_shipped": "PedidoEnviado",
    "order_delivered": "PedidoEntregado",
    "order_cancelled": "PedidoCancelado",
}


def faults_of(heard: Sequence[Heard], document: Json, begun_before: Container[str] = ()) -> list[str]:
    """What is wrong, a sentence each. ``begun_before``: orders whose first events nobody could hear."""
    contract = _Contract(document)
    found: list[str] = []
    firsts: dict[str, dict[str, Heard]] = {}
    for message in heard:
        found += contract.faults(message)
        event = message.event
        first = firsts.setdefault(str(event.get("source")), {}).setdefault(str(event.get("id")), message)
        if first.body != message.body:
            found.append(f"{event['id']} was delivered again with other content")
    for source, messages in firsts.items():
        events = [message.event for message in messages.values()]
        found += _of_source(source, events, begun_before)
    for source, messages in firsts.items():
        if source.endswith("/notifications"):
            causes = firsts.get(source.removesuffix("/notifications"), {})
            found += _of_notices([message.event for message in messages.values()], causes, begun_before)
    return found


class _Contract:
    """The document, by what a message shows of itself: exchange and routing key."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._sent: dict[tuple[str, str], tuple[Json, Json]] = {}
        for operation in document["operations"].values():
            if operation["action"] == "send":
                channel = self._at(operation["channel"])
                (message,) = channel["messages"].values()
                place = (channel["bindings"]["amqp"]["exchange"]["name"], channel["address"])
                self._sent[place] = (self._at(message), operation["bindings"]["amqp"])

    def faults(self, message: Heard) -> Iterator[str]:
        """What is wrong with one message."""
        place = (message.exchange, message.routing_key)
        event = message.event
        name = f"{message.routing_key} {event.get('id')}"
        if place not in self._sent:
            yield f"{name}: the document tells of no such message on {message.exchange}"
            return
        described, binding = self._sent[place]
        if message.content_type != described["contentType"]:
            yield f"{name}: its content type is {message.content_type}"
        if message.delivery_mode != binding["deliveryMode"]:
            yield f"{name}: it would not outlive a restart of the broker"
        if message.message_id != event.get("id"):
            yield f"{name}: its message id is {message.message_id}"
        if message.type != described["bindings"]["amqp"]["messageType"]:
            yield f"{name}: its AMQP type is {message.type}"
        if message.app_id != APP_ID:
            yield f"{name}: its app id is {message.app_id}"
        if message.correlation_id != event.get("correlationid"):
            yield f"{name}: its correlation id is {message.correlation_id}"
        yield from (f"{name}: {fault}" for fault in self._against(described["payload"], event))
        yield from (f"{name}: headers: {fault}" for fault in self._against(described["headers"], message.headers))
        yield from (f"{name}: {fault}" for fault in _unlike(message, event))

    def _against(self, schema: Json, value: Json) -> Iterator[str]:
        # A reference is read within the document that it is in.
        whole = {**schema, "components": self._document["components"]}
        validator = jsonschema.Draft7Validator(whole, format_checker=jsonschema.FormatChecker())
        for error in validator.iter_errors(value):
            yield f"{error.json_path}: {error.message}"

    def _at(self, reference: Json) -> Json:
        place: Any = self._document
        for part in reference["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        found: Json = place
        return found


def _unlike(message: Heard, event: Json) -> Iterator[str]:
    """Where the properties of a message say something else than its envelope."""
    attributes = {f"cloudEvents_{name}": value for name, value in event.items() if name != "data"}
    if message.headers != attributes:
        differing = {name for name, _ in message.headers.items() ^ attributes.items()}
        yield f"its headers are not its attributes: {', '.join(sorted(differing))}"
    with suppress(ValueError):  # a time that is none is a fault of the envelope
        told = datetime.fromisoformat(event["time"]).replace(microsecond=0)
        if message.timestamp != told:
            yield f"its AMQP timestamp is {message.timestamp}"


def _of_source(source: str, events: list[Json], begun_before: Container[str]) -> Iterator[str]:
    """First deliveries of one source: about one order, and in sequence without a gap."""
    order_id = source.removeprefix("/ordersvc/orders/").removesuffix("/notifications")
    sequences = [int(event["sequence"]) for event in events]
    begin = sequences[0] if order_id in begun_before else 1
    if sequences != list(range(begin, begin + len(events))):
        yield f"{source}: first deliveries came in the sequence {sequences}"
    for event in events:
        if {event["subject"], event["correlationid"], event["data"]["order_id"]} != {order_id}:
            yield f"{source}: {event['id']} is about another order"
    if source.endswith("/notifications"):
        return
    if sequences[0] == 1 and (events[0]["type"], events[0]["data"]["previous_status"]) != ("PedidoCreado", None):
        yield f"{source}: it begins with {events[0]['type']}"
    for before, after in pairwise(event["data"] for event in events):
        if after["previous_status"] != before["status"]:
            yield f"{source}: {before['status']} is followed by a change from {after['previous_status']}"
        if after["version"] < before["version"]:
            yield f"{source}: version {before['version']} is followed by {after['version']}"


def _of_notices(notices: list[Json], causes: dict[str, Heard], begun_before: Container[str]) -> Iterator[str]:
    """Each request goes with its own event, which caused it."""
    for notice in notices:
        template = notice["data"]["template"]
        cause = causes.get(notice["causationid"])
        if cause is None:
            if notice["subject"] not in begun_before:
                yield f"{template} of {notice['subject']} is caused by no event of the order"
        elif cause.event["type"] != CAUSE_OF.get(template):
            yield f"{template} of {notice['subject']} goes with {cause.event['type']}"
    if len({notice["causationid"] for notice in notices}) < len(notices):
        yield f"{notices[0]['source']}: one event caused several requests"
