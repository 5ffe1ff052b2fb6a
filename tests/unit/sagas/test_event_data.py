"""What is told: the data that every event has, its cause, and the notices that go with it."""

from __future__ import annotations

import json

from msgspec.structs import replace

from domain.commands import ActorType, Deliver
from domain.order import Status
from sagas.decide import decide
from tests.unit.sagas.builders import CREATE, CUSTOMER, LOOKUPS, NOW, RULES, Story, at, message, prepared, validated

COMMON = {
    "order_id",
    "number",
    "version",
    "status",
    "previous_status",
    "payment_status",
    "customer_id",
    "currency",
    "totals",
}


def test_every_event_has_the_common_data_and_can_be_written_as_json() -> None:
    story = prepared().ships()
    story.says(Deliver())
    for told in (Story().decided, validated().decided, story.decided, at(Status.CANCELLED).decided):
        for event in told.events:
            assert set(event.data) >= COMMON
            assert json.loads(json.dumps(event.data)) == dict(event.data)
            totals = event.data["totals"]
            assert list(totals) == ["items", "discount", "shipping", "tax", "total", "paid", "refunded", "balance"]  # type: ignore[call-overload]


def test_an_event_names_its_cause_its_actor_and_its_trace() -> None:
    letter = replace(message(CREATE), traceparent="00-trace")
    event = decide(None, letter, NOW, RULES).events[0]
    assert (event.causation_id, event.traceparent, event.at) == (letter.id, "00-trace", NOW)
    assert (event.actor.type, event.actor.id) == (ActorType.CLIENT, "somebody")
    assert event.data["previous_status"] is None


def test_what_an_order_does_by_itself_is_done_by_the_saga() -> None:
    events = validated().pays().confirmed().decided.events
    assert [event.actor.type for event in events] == [ActorType.PARTNER, ActorType.SAGA]


def test_one_notice_of_each_kind_goes_with_its_event_and_is_numbered_on_its_own() -> None:
    story = Story()
    notices = [event.notice for event in story.decided.events]
    for step in (story.held, story.pays, story.confirmed, story.committed, story.ships):
        step()
        notices += [event.notice for event in story.decided.events]
    story.says(Deliver())
    notices += [event.notice for event in story.decided.events]
    told = [notice for notice in notices if notice is not None]
    assert [notice.template.value for notice in told] == [
        "order_created",
        "order_confirmed",
        "order_shipped",
        "order_delivered",
    ]
    assert [notice.sequence for notice in told] == [1, 2, 3, 4]
    assert story.order.notice_seq == 4


def test_a_notice_is_in_the_language_of_the_order_and_names_nobody() -> None:
    story = Story(replace(CREATE, metadata={"locale": "fr"}))
    notice = story.decided.events[0].notice
    assert notice is not None
    assert set(notice.data) == {"customer_id", "order_id", "number", "template", "locale", "params"}
    assert notice.data["locale"] == "fr"
    other = Story().decided.events[0].notice
    assert other is not None
    assert other.data["locale"] == "es"


def test_nothing_personal_is_told() -> None:
    secrets = (CUSTOMER.name, CUSTOMER.email, CUSTOMER.addresses[0].line1, "tok")
    assert LOOKUPS.customer == CUSTOMER
    story = Story()
    for step in (story.held, story.pays, story.confirmed, story.committed, story.ships):
        step()
        for event in story.decided.events:
            text = json.dumps([dict(event.data), dict(event.notice.data) if event.notice else None])
            assert not any(secret in text.split('"') for secret in secrets)
