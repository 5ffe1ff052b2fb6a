from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from domain.commands import ActorType, Deliver
from domain.events import EventType
from messaging import topology
from messaging.asyncapi import build
from messaging.envelope import DATA_OF, NOTICE_TYPE, decode, encode_event, encode_notice
from messaging.schemas import CONSUMED, PUBLISHED, ref
from sagas.decision import Decision
from tests.unit.sagas.builders import ORDER_ID, Story, answered

SCHEMA_OF_ASYNCAPI = Path(__file__).parent / "asyncapi-3.1.0" / "schema.json"


def of_message(name: str) -> dict[str, Any]:
    """The schema of a message, in the document that its references lead into."""
    return {**ref(name), "components": build()["components"]}


def faults(schema: dict[str, Any], value: object) -> list[str]:
    validator = jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def written(decisions: list[Decision]) -> list[dict[str, Any]]:
    """Every message that these decisions put on the wire."""
    bodies = []
    for decision in decisions:
        for event in decision.events:
            bodies += [encode_event(ORDER_ID, event), encode_notice(ORDER_ID, event)]
    return [json.loads(body) for body in bodies if body is not None]


def test_the_document_is_valid_asyncapi() -> None:
    assert faults(json.loads(SCHEMA_OF_ASYNCAPI.read_text()), build()) == []


def test_the_document_names_every_type_in_its_direction_and_place() -> None:
    document = build()
    actions = {
        operation["channel"]["$ref"].rsplit("/", 1)[1]: operation["action"]
        for operation in document["operations"].values()
    }
    assert actions == {
        **{event_type.value: "send" for event_type in EventType},
        NOTICE_TYPE: "send",
        **dict.fromkeys(DATA_OF, "receive"),
    }
    exchanges = {name: channel["bindings"]["amqp"]["exchange"] for name, channel in document["channels"].items()}
    assert exchanges["PedidoCreado"]["name"] == topology.EVENTS
    assert exchanges[NOTICE_TYPE] == {
        "name": topology.NOTIFICATIONS,
        "type": "direct",
        "durable": True,
        "autoDelete": False,
    }
    assert exchanges["ClienteActualizado"]["name"] == "usersvc.events"


def test_every_reference_in_the_document_leads_somewhere() -> None:
    document = build()

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [found for each in value.values() for found in references(each)]
        return [found for each in value for found in references(each)] if isinstance(value, list) else []

    found = references(document)
    assert found
    for reference in found:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


@pytest.mark.parametrize("name", [*CONSUMED])
def test_what_is_consumed_has_the_same_required_fields_in_the_document_and_in_the_code(name: str) -> None:
    fields = {field.name: field.required for field in msgspec.structs.fields(DATA_OF[name])}
    assert {field for field, required in fields.items() if required} == set(CONSUMED[name]["required"])
    assert set(fields) == set(CONSUMED[name]["properties"])


class Recorded(Story):
    """A story of which every message on the wire is kept."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        super().__init__()
        self.decisions.insert(0, self.decided)

    def _follow(self, decision: Decision) -> None:
        self.decisions.append(decision)
        super()._follow(decision)


def life_to_delivery() -> Recorded:
    story = Recorded()
    story.held().pays()
    story.answer(answered(story, "rejected", "card_declined"))
    story.pays().confirmed().committed().ships()
    story.says(Deliver(), by=ActorType.STAFF)
    return story


def life_to_cancellation() -> Recorded:
    story = Recorded()
    story.held().pays().confirmed().cancels()
    story.refunded().released()
    return story


def test_every_message_of_whole_lives_is_valid_against_its_schema() -> None:
    messages = written([*life_to_delivery().decisions, *life_to_cancellation().decisions])
    assert {message["type"] for message in messages} == {*PUBLISHED, NOTICE_TYPE}
    for message in messages:
        assert faults(of_message(message["type"]), message) == [], message["type"]


def test_nothing_is_written_that_the_schemas_do_not_name() -> None:
    """What they leave out, classes that are generated from them leave out as well."""

    def closed(value: Any) -> Any:
        if isinstance(value, dict):
            inner = {name: closed(each) for name, each in value.items()}
            return {**inner, "additionalProperties": False} if "properties" in value else inner
        return [closed(each) for each in value] if isinstance(value, list) else value

    for message in written([*life_to_delivery().decisions, *life_to_cancellation().decisions]):
        assert faults(closed(of_message(message["type"])), message) == [], message["type"]


def test_the_schemas_refuse_what_is_not_as_agreed() -> None:
    schema = of_message("PedidoCreado")
    (created, *_), *_ = [written([decision]) for decision in life_to_delivery().decisions]
    assert faults(schema, {**created, "sequence": "1"})
    assert faults(schema, {**created, "data": {**created["data"], "version": "1"}})
    without_items = {name: value for name, value in created["data"].items() if name != "items"}
    assert faults(schema, {**created, "data": without_items})


IN_MODES = {"specversion": "1.0", "id": "e", "source": "/s", "time": "0001-01-01T00:00:00+01:00"}


@pytest.mark.parametrize("name", [*CONSUMED])
def test_an_event_that_is_read_is_valid_against_its_schema(name: str) -> None:
    order_id = ORDER_ID.upper()
    data: dict[str, dict[str, Any]] = {
        "PagoConfirmado": {"payment_id": "p", "order_id": order_id, "amount": {"amount": 7125.0, "currency": "EUR"}},
        "PagoRechazado": {"payment_id": "p", "order_id": order_id, "code": "declined"},
        "InventarioActualizado": {"sku": "s", "available": 1.0, "version": 1, "lost_holds": [order_id]},
        "ClienteActualizado": {"customer_id": "c", "version": 2.0},
    }
    event = {**IN_MODES, "type": name, "data": data[name]}
    encoded = base64.b64encode(json.dumps(data[name]).encode()).decode()
    in_base64 = {**IN_MODES, "type": name, "data_base64": encoded}
    schema = of_message(name)
    assert decode(json.dumps(event).encode()) == decode(json.dumps(in_base64).encode())
    assert (faults(schema, event), faults(schema, in_base64)) == ([], [])
    assert faults(schema, {**IN_MODES, "type": name})


def test_the_document_tells_of_both_modes_and_of_the_exchange_that_counts() -> None:
    description = build()["info"]["description"]
    for told in ("structured", "binary", "cloudEvents_", "cloudEvents:", "exchange"):
        assert told in description
