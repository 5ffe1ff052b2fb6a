from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from domain.commands import ActorType, MarkSettled, Record, RetryNow, SkipToCompensation
from messaging.consuming.dead_letters import DeadLetter
from tests.unit.api.harness import ORDER_ID, PAYMENT_ID, World, token

ATTENTION = f"/api/orders/{ORDER_ID}/attention"
ADMIN = token("admin")
RECORD = {
    "action": "record",
    "subject": PAYMENT_ID,
    "outcome": "confirmed",
    "amount": 7125,
    "reference": "statement 7",
    "note": "the bank has it",
}
SAID = Record(
    subject=PAYMENT_ID, outcome="confirmed", amount=7125, reference="statement 7", note="the bank has it", currency=None
)


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ({"action": "retry"}, RetryNow()),
        ({"action": "retry", "note": "the gateway is back"}, RetryNow("the gateway is back")),
        ({"action": "skip_to_compensation", "note": "lost"}, SkipToCompensation("lost")),
        ({"action": "mark_settled", "note": "by bank"}, MarkSettled("by bank")),
        (RECORD, SAID),
        ({**RECORD, "subject": PAYMENT_ID.upper()}, SAID),
        ({**RECORD, "amount": 7125.0}, SAID),
        ({**RECORD, "amount": 0, "outcome": "rejected"}, replace(SAID, amount=0, outcome="rejected")),
        ({**RECORD, "outcome": "refunded", "currency": "CHF"}, replace(SAID, outcome="refunded", currency="CHF")),
    ],
)
async def test_each_verb_becomes_its_command(world: World, body: dict[str, Any], command: object) -> None:
    answered = await world.ask("POST", ATTENTION, json=body, token=ADMIN)
    assert answered.status == 200
    assert world.router.message.body == command
    assert world.router.message.actor.type is ActorType.STAFF


@pytest.mark.parametrize(
    "body", [{"action": "mark_settled"}, {"action": "skip_to_compensation"}, {"action": "pray"}, {}]
)
async def test_a_verb_has_to_be_known_and_explained(world: World, body: dict[str, Any]) -> None:
    answered = await world.ask("POST", ATTENTION, json=body, token=ADMIN)
    assert (answered.status, answered.code) == (422, "invalid_request")
    assert not world.router.asked


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"subject": "the last one"}, "invalid_request", "/subject"),
        ({"subject": None}, "invalid_request", "/subject"),
        ({"outcome": "lost"}, "invalid_request", "/outcome"),
        ({"amount": -1}, "invalid_amount", "/amount"),
        ({"amount": 2**53}, "invalid_amount", "/amount"),
        ({"amount": 0.5}, "invalid_amount", "/amount"),
        ({"amount": "7125"}, "invalid_amount", "/amount"),
        ({"amount": True}, "invalid_amount", "/amount"),
        ({"currency": "ZZZ"}, "invalid_currency", "/currency"),
        ({"reference": ""}, "invalid_request", "/reference"),
        ({"reference": "r" * 501}, "invalid_request", "/reference"),
        ({"reference": "a\nb"}, "invalid_request", "/reference"),
        ({"note": ""}, "invalid_request", "/note"),
        ({"note": "n" * 501}, "invalid_request", "/note"),
        ({"note": "a\0b"}, "invalid_request", "/note"),
        ({"paid_at": "yesterday"}, "invalid_request", "/paid_at"),
    ],
)
async def test_what_staff_record_is_whole_and_within_its_bounds(
    world: World, change: dict[str, Any], code: str, pointer: str
) -> None:
    answered = await world.ask("POST", ATTENTION, json={**RECORD, **change}, token=ADMIN)
    assert (answered.status, answered.code) == (422, code)
    assert [fault["pointer"] for fault in answered.json["errors"]] == [pointer]
    assert not world.router.asked


@pytest.mark.parametrize("missing", ["subject", "outcome", "amount", "reference", "note"])
async def test_what_staff_record_leaves_nothing_out(world: World, missing: str) -> None:
    body = {name: value for name, value in RECORD.items() if name != missing}
    answered = await world.ask("POST", ATTENTION, json=body, token=ADMIN)
    assert answered.status == 422
    assert answered.json["errors"][0]["pointer"] == f"/{missing}"
    assert not world.router.asked


def a_letter(**changes: Any) -> DeadLetter:
    values: dict[str, Any] = {
        "key": "0a1b",
        "message_id": "m-1",
        "reason": "unreadable",
        "detail": "not JSON",
        "attempts": 1,
        "exchange": "paymentsvc.events",
        "routing_key": "PagoConfirmado",
        "first_received": "2026-11-24T10:15:30Z",
        "body": b"\xff{",
        **changes,
    }
    return DeadLetter(**{"size_bytes": len(values["body"]), **values})


async def test_dead_letters_are_listed_and_shown_with_bodies_that_may_be_anything(world: World) -> None:
    world.dead_letters.rows["0a1b"] = a_letter(body=b"\xff" + b"x" * 20_000)
    (listed,) = (await world.ask("GET", "/api/dead-letters", token=ADMIN)).json["data"]
    assert (await world.ask("GET", "/api/dead-letters/0a1b", token=ADMIN)).json == listed
    assert listed["id"] == "0a1b"
    assert listed["size_bytes"] == 20_001
    assert len(listed["body"]) == 8192
    assert listed["body"].startswith("\ufffdx")


async def test_a_dead_letter_is_sent_again_once(world: World) -> None:
    world.dead_letters.rows["0a1b"] = a_letter()
    assert (await world.ask("POST", "/api/dead-letters/0a1b/resend", token=ADMIN)).status == 204
    for method, path in (("POST", "/api/dead-letters/0a1b/resend"), ("GET", "/api/dead-letters/0a1b")):
        answered = await world.ask(method, path, token=ADMIN)
        assert (answered.status, answered.code) == (404, "dead_letter_not_found")


async def test_a_repeat_of_sending_again_sends_nothing(world: World) -> None:
    world.dead_letters.rows["0a1b"] = a_letter()
    path = "/api/dead-letters/0a1b/resend"
    assert (await world.ask("POST", path, token=ADMIN, key="k")).status == 204
    world.dead_letters.rows["0a1b"] = a_letter()  # it came back
    again = await world.ask("POST", path, token=ADMIN, key="k")
    assert (again.status, again.headers["idempotent-replayed"]) == (204, "true")
    assert "0a1b" in world.dead_letters.rows


async def test_how_many_dead_letters_are_listed_is_bounded(world: World) -> None:
    answered = await world.ask("GET", "/api/dead-letters", query="limit=201", token=ADMIN)
    assert (answered.status, answered.code) == (422, "invalid_parameter")
