"""The look back on what was published finds what it looks for: real events of a whole life, and then broken ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.commands import ActorType, Deliver
from domain.events import Event
from messaging.asyncapi import build
from messaging.envelope import CONTENT_TYPE, encode_event, encode_notice
from sagas.decision import Decision
from tests.acceptance.broker import Heard
from tests.acceptance.published import faults_of
from tests.unit.sagas.builders import ORDER_ID, Story

DOCUMENT = build()


def message(exchange: str, routing_key: str, body: bytes) -> Heard:
    event = json.loads(body)
    return Heard(
        exchange=exchange,
        routing_key=routing_key,
        message_id=event["id"],
        content_type=CONTENT_TYPE,
        delivery_mode=2,
        type=event["type"],
        app_id="ordersvc",
        correlation_id=event["correlationid"],
        timestamp=datetime.fromisoformat(event["time"]).replace(microsecond=0),
        headers=headers_of(event),
        body=body,
    )


def headers_of(event: dict[str, Any]) -> dict[str, Any]:
    return {f"cloudEvents_{name}": value for name, value in event.items() if name != "data"}


class Told(Story):
    """A story of which everything that is published is kept, as it would come over the wire."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        super().__init__()
        first, self.heard = self.heard, []
        self._hear(self.decided)
        self.heard += first

    def _hear(self, decision: Decision) -> None:
        for event in decision.events:
            self._publish(event)

    def _publish(self, event: Event) -> None:
        self.heard.append(message("ordersvc.events", event.type.value, encode_event(ORDER_ID, event)))
        notice = encode_notice(ORDER_ID, event)
        if notice is not None:
            self.heard.append(message("notificationsvc.requests", "SolicitudNotificacion", notice))

    def _follow(self, decision: Decision) -> None:
        self._hear(decision)
        super()._follow(decision)


@pytest.fixture
def heard() -> list[Heard]:
    story = Told()
    story.held().pays().confirmed().committed().ships()
    story.says(Deliver(), by=ActorType.STAFF)
    return story.heard


def changed(original: Heard, change: Callable[[dict[str, Any]], object]) -> Heard:
    """The message with another body, whose ids and headers still agree."""
    event = original.event
    change(event)
    return replace(original, body=json.dumps(event).encode(), message_id=event.get("id"), headers=headers_of(event))


def place_of(heard: list[Heard], routing_key: str) -> int:
    return next(place for place, message in enumerate(heard) if message.routing_key == routing_key)


def test_a_whole_life_is_as_promised_and_so_is_what_is_delivered_again(heard: list[Heard]) -> None:
    assert len(heard) >= 10
    assert faults_of(heard, DOCUMENT) == []
    assert faults_of([*heard, *heard[2:5]], DOCUMENT) == []


@pytest.mark.parametrize(
    ("routing_key", "change", "about"),
    [
        ("PedidoCreado", lambda event: event.update(sequence="1"), "$.sequence"),
        ("PedidoCreado", lambda event: event.update(time="yesterday"), "$.time"),
        ("PedidoCreado", lambda event: event.pop("specversion"), "specversion"),
        ("PedidoCreado", lambda event: event["data"].pop("items"), "items"),
        ("PedidoConfirmado", lambda event: event["data"]["totals"].update(total=71.25), "$.data.totals.total"),
        ("PedidoConfirmado", lambda event: event["data"].update(number="7"), "$.data.number"),
        ("PagoRecibido", lambda event: event["data"].update(status="payed"), "$.data.status"),
        ("PedidoEnviado", lambda event: event.update(type="PedidoEntregado"), "$.type"),
        ("PedidoEnviado", lambda event: event["data"].update(order_id="0198f7a2-0000-7aa0-9a0e-000000000000"), "another order"),
        ("PedidoConfirmado", lambda event: event["data"].update(previous_status="validated"), "followed by"),
        ("PedidoEntregado", lambda event: event["data"].update(version=1), "version"),
        ("SolicitudNotificacion", lambda event: event["data"].update(template="order_lost"), "$.data.template"),
        ("SolicitudNotificacion", lambda event: event["data"].update(template="order_shipped"), "goes with PedidoCreado"),
        ("SolicitudNotificacion", lambda event: event.update(causationid="nothing"), "caused by no event"),
    ],
)  # fmt: skip
def test_a_broken_event_is_found(
    heard: list[Heard], routing_key: str, change: Callable[[dict[str, Any]], object], about: str
) -> None:
    place = place_of(heard, routing_key)
    heard[place] = changed(heard[place], change)
    assert any(about in fault for fault in faults_of(heard, DOCUMENT))


@pytest.mark.parametrize(
    ("properties", "about"),
    [
        ({"content_type": "application/json"}, "content type"),
        ({"delivery_mode": 1}, "outlive"),
        ({"message_id": None}, "message id"),
        ({"type": None}, "AMQP type"),
        ({"type": "PedidoCreado"}, "AMQP type"),
        ({"app_id": "another"}, "app id"),
        ({"correlation_id": None}, "correlation id"),
        ({"timestamp": None}, "AMQP timestamp"),
        ({"timestamp": datetime(2026, 1, 1, tzinfo=UTC)}, "AMQP timestamp"),
        ({"headers": {}}, "headers"),
        ({"headers": {"cloudEvents_type": "PedidoCreado"}}, "cloudEvents_id"),
        ({"routing_key": "PedidoPerdido"}, "tells of no such message"),
        ({"exchange": "notificationsvc.requests"}, "tells of no such message"),
    ],
)
def test_a_message_with_wrong_properties_is_found(heard: list[Heard], properties: Any, about: str) -> None:
    heard[3] = replace(heard[3], **properties)
    assert any(about in fault for fault in faults_of(heard, DOCUMENT))


@pytest.mark.parametrize("routing_key", ["PedidoCreado", "PagoRecibido", "SolicitudNotificacion"])
def test_a_gap_is_found_be_it_at_the_beginning(heard: list[Heard], routing_key: str) -> None:
    del heard[place_of(heard, routing_key)]
    assert any("in the sequence" in fault for fault in faults_of(heard, DOCUMENT))


def test_first_deliveries_out_of_order_are_found(heard: list[Heard]) -> None:
    one, other = place_of(heard, "PedidoEnviado"), place_of(heard, "PedidoEntregado")
    heard[one], heard[other] = heard[other], heard[one]
    assert any("in the sequence" in fault for fault in faults_of(heard, DOCUMENT))


def test_another_content_under_the_same_id_is_found(heard: list[Heard]) -> None:
    again = changed(heard[0], lambda event: event.update(time="2026-01-01T00:00:00.000Z"))
    assert any("again with other content" in fault for fault in faults_of([*heard, again], DOCUMENT))


def test_one_request_more_than_events_is_found(heard: list[Heard]) -> None:
    place = max(place for place, each in enumerate(heard) if each.routing_key == "SolicitudNotificacion")

    def as_next(event: dict[str, Any]) -> None:
        event.update(id="0198f7a2-0000-7aa0-9a0e-000000000000", sequence=str(int(event["sequence"]) + 1).zfill(20))

    again = changed(heard[place], as_next)
    assert any("several requests" in fault for fault in faults_of([*heard, again], DOCUMENT))


def test_of_an_order_that_began_before_only_the_rest_is_expected(heard: list[Heard]) -> None:
    notices = [each for each in heard if each.exchange == "notificationsvc.requests"]
    later = [each for each in heard if each.exchange == "ordersvc.events"][4:]
    assert faults_of([*later, *notices[2:]], DOCUMENT, {ORDER_ID}) == []
    del later[1]
    assert faults_of([*later, *notices[2:]], DOCUMENT, {ORDER_ID})
