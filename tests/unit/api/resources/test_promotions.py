from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from domain.promotions import Promotion, PromotionKind
from storage.writes.kept_answers import KeptAnswer
from storage.writes.promotions import UnreadablePromotion
from tests.unit.api.harness import World

NEW: dict[str, Any] = {"code": "WELCOME10", "kind": "percentage", "fraction": "0.1000"}
PROMOTION = "/api/promotions/WELCOME10"


async def test_a_promotion_is_made_and_shown_without_what_it_does_not_use(world: World) -> None:
    body = {**NEW, "starts_at": "2026-11-24T00:00:00+01:00", "skus": ["SKU-1"], "max_uses": 5}
    made = await world.ask("POST", "/api/promotions", json=body)
    assert made.status == 201
    assert made.headers["location"] == PROMOTION
    shown = (await world.ask("GET", PROMOTION)).json
    assert shown == made.json
    assert shown == {
        "code": "WELCOME10",
        "kind": "percentage",
        "fraction": "0.1000",
        "starts_at": "2026-11-23T23:00:00.000Z",
        "skus": ["SKU-1"],
        "max_uses": 5,
        "combinable": False,
        "active": True,
    }
    kept = world.promotions.rows["WELCOME10"]
    assert isinstance(kept, Promotion)
    assert kept.kind is PromotionKind.PERCENTAGE


@pytest.mark.parametrize(
    "terms",
    [
        {"kind": "fixed_amount", "amount": 500, "currency": "EUR"},
        {"kind": "buy_x_get_y", "buy_quantity": 2, "get_quantity": 1},
        {"kind": "free_shipping"},
    ],
)
async def test_there_are_other_kinds(world: World, terms: dict[str, Any]) -> None:
    answered = await world.ask("POST", "/api/promotions", json={"code": "P", **terms})
    assert answered.status == 201
    assert answered.json == {"code": "P", "skus": [], "combinable": False, "active": True, **terms}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"fraction": None}, "invalid_request"),
        ({"fraction": "1.5"}, "invalid_request"),
        ({"fraction": 0.1}, "invalid_request"),
        ({"amount": 500, "currency": "EUR"}, "invalid_request"),
        ({"kind": "gift"}, "invalid_request"),
        ({"code": "a/b"}, "invalid_request"),
        ({"code": ""}, "invalid_request"),
        ({"starts_at": "2026-11-24T00:00:00Z", "ends_at": "2026-11-24T00:00:00Z"}, "invalid_promotion"),
        ({"starts_at": "2026-11-24T00:00:00"}, "invalid_request"),
        ({"starts_at": 0}, "invalid_request"),
        ({"ends_at": "1795508135"}, "invalid_request"),
        ({"ends_at": "2026-11-24"}, "invalid_request"),
        ({"max_uses": 0}, "invalid_request"),
        ({"kind": "fixed_amount", "fraction": None, "amount": 1, "currency": "ZZZ"}, "invalid_currency"),
        ({"kind": "fixed_amount", "fraction": None, "amount": 0, "currency": "EUR"}, "invalid_amount"),
        ({"surprise": 1}, "invalid_request"),
    ],
)
async def test_a_promotion_that_is_none_is_refused(world: World, change: dict[str, Any], code: str) -> None:
    answered = await world.ask("POST", "/api/promotions", json={**NEW, **change})
    assert (answered.status, answered.code) == (422, code)
    assert not world.promotions.rows


async def test_a_code_is_taken_once(world: World) -> None:
    await world.ask("POST", "/api/promotions", json=NEW)
    answered = await world.ask("POST", "/api/promotions", json=NEW)
    assert (answered.status, answered.code) == (409, "promotion_exists")


async def test_a_repeat_is_answered_as_the_first_time_and_does_nothing(world: World) -> None:
    for method, path, body, status in (
        ("POST", "/api/promotions", NEW, 201),
        ("PATCH", PROMOTION, {"active": False}, 200),
        ("DELETE", PROMOTION, None, 204),
    ):
        first = await world.ask(method, path, json=body, key="k")
        after = dict(world.promotions.rows)
        again = await world.ask(method, path, json=body, key="k")
        assert (first.status, again.status) == (status, status)
        assert again.body == first.body
        assert again.headers.get("location") == first.headers.get("location")
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert world.promotions.rows == after


async def test_a_key_that_stood_for_other_content_is_refused(world: World) -> None:
    await world.ask("POST", "/api/promotions", json=NEW, key="k")
    other = await world.ask("POST", "/api/promotions", json={**NEW, "code": "OTHER"}, key="k")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert set(world.promotions.rows) == {"WELCOME10"}


async def test_a_refusal_leaves_the_key_unused(world: World) -> None:
    await world.ask("POST", "/api/promotions", json=NEW)
    assert (await world.ask("POST", "/api/promotions", json={**NEW, "fraction": "0.2"}, key="k")).status == 409
    assert (await world.ask("POST", "/api/promotions", json={**NEW, "code": "OTHER"}, key="k")).status == 201


async def test_a_repeat_that_comes_while_the_first_is_running_is_answered_as_the_first(world: World) -> None:
    find = world.answers.find

    async def find_late(answer_id: str) -> KeptAnswer | None:
        """Nothing yet when it is looked for; it is there when the work turns out to be done."""
        world.answers.find = find  # type: ignore[method-assign]
        return None

    for method, path, body in (("POST", "/api/promotions", NEW), ("DELETE", PROMOTION, None)):
        first = await world.ask(method, path, json=body, key="k")
        world.answers.find = find_late  # type: ignore[method-assign]
        again = await world.ask(method, path, json=body, key="k")
        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["idempotent-replayed"] == "true"


async def test_answers_are_kept_with_a_key_only_and_old_ones_forgotten_on_the_way(world: World) -> None:
    await world.ask("POST", "/api/promotions", json=NEW)
    assert (world.answers.rows, world.answers.forgets) == ({}, 0)
    await world.ask("PATCH", PROMOTION, json={"active": False}, key="k")
    await world.ask("PATCH", PROMOTION, json={"active": False}, key="k")
    assert (len(world.answers.rows), world.answers.forgets) == (1, 1)


async def test_a_change_changes_what_it_names_and_null_takes_away(world: World) -> None:
    await world.ask("POST", "/api/promotions", json={**NEW, "max_uses": 5, "skus": ["A"]})
    changed = await world.ask("PATCH", PROMOTION, json={"active": False, "max_uses": None, "skus": ["B"]})
    assert changed.status == 200
    assert world.promotions.rows["WELCOME10"] == Promotion(
        code="WELCOME10", kind=PromotionKind.PERCENTAGE, fraction="0.1000", skus=("B",), active=False
    )


@pytest.mark.parametrize(
    "change", [{"fraction": None}, {"amount": 5}, {"code": "X"}, {"kind": "free_shipping"}, {"combinable": None}]
)
async def test_a_change_that_leaves_no_promotion_is_refused(world: World, change: dict[str, Any]) -> None:
    await world.ask("POST", "/api/promotions", json=NEW)
    before = dict(world.promotions.rows)
    assert (await world.ask("PATCH", PROMOTION, json=change)).status == 422
    assert world.promotions.rows == before


TERMS: dict[str, dict[str, Any]] = {
    "percentage": {"fraction": "0.1000"},
    "fixed_amount": {"amount": 500, "currency": "EUR"},
    "buy_x_get_y": {"buy_quantity": 2, "get_quantity": 1},
    "free_shipping": {},
}
EVERYTHING: dict[str, Any] = {
    "skus": ["A", "B"],
    "starts_at": "2026-01-01T00:00:00.000Z",
    "ends_at": "2027-01-01T00:00:00.000Z",
    "min_subtotal": 1000,
    "max_uses": 5,
    "max_uses_per_customer": 1,
    "combinable": True,
    "active": False,
}
OTHER: dict[str, Any] = {
    "fraction": "0.2000",
    "amount": 700,
    "currency": "JPY",
    "buy_quantity": 3,
    "get_quantity": 2,
    "skus": ["C"],
    "starts_at": "2026-02-01T00:00:00.000Z",
    "ends_at": "2027-02-01T00:00:00.000Z",
    "min_subtotal": 0,
    "max_uses": 6,
    "max_uses_per_customer": 2,
    "combinable": False,
    "active": True,
}
MAY_BE_ABSENT = {"starts_at", "ends_at", "min_subtotal", "max_uses", "max_uses_per_customer"}


@pytest.mark.parametrize("name", sorted(OTHER))
@pytest.mark.parametrize("kind", sorted(TERMS))
async def test_a_change_of_one_field_leaves_every_other_as_it_was(world: World, kind: str, name: str) -> None:
    """A client that wanted to set ``max_uses`` switched a promotion on again that was switched off."""
    made = (
        await world.ask("POST", "/api/promotions", json={"code": "P", "kind": kind, **TERMS[kind], **EVERYTHING})
    ).json
    assert made == {"code": "P", "kind": kind, **TERMS[kind], **EVERYTHING}
    of_kind = name in made
    changed = await world.ask("PATCH", "/api/promotions/P", json={name: OTHER[name]})
    assert changed.status == (200 if of_kind else 422)
    after = (await world.ask("GET", "/api/promotions/P")).json
    assert after == ({**made, name: OTHER[name]} if of_kind else made)


@pytest.mark.parametrize("name", sorted(OTHER))
@pytest.mark.parametrize("kind", sorted(TERMS))
async def test_null_takes_away_what_may_be_absent_and_nothing_else(world: World, kind: str, name: str) -> None:
    made = (
        await world.ask("POST", "/api/promotions", json={"code": "P", "kind": kind, **TERMS[kind], **EVERYTHING})
    ).json
    changed = await world.ask("PATCH", "/api/promotions/P", json={name: None})
    after = (await world.ask("GET", "/api/promotions/P")).json
    if name in MAY_BE_ABSENT:
        assert changed.status == 200
        assert after == {key: value for key, value in made.items() if key != name}
    else:
        # What the kind does not use is absent already; the rest is never absent.
        assert changed.status == (422 if name in made else 200)
        assert after == made


async def test_a_body_with_every_field_null_changes_nothing_at_all(world: World) -> None:
    """A generator that writes what was not set as null wiped ``min_subtotal``, ``skus`` and the limit of a customer."""
    made = (await world.ask("POST", "/api/promotions", json={**NEW, **EVERYTHING})).json
    answered = await world.ask("PATCH", PROMOTION, json={**dict.fromkeys(OTHER), "max_uses": 9})
    assert answered.status == 422
    assert {each["pointer"] for each in answered.json["errors"]} >= {"/skus", "/combinable", "/active"}
    assert (await world.ask("GET", PROMOTION)).json == made


async def test_an_empty_change_changes_nothing(world: World) -> None:
    made = (await world.ask("POST", "/api/promotions", json={**NEW, **EVERYTHING})).json
    assert (await world.ask("PATCH", PROMOTION, json={})).json == made


async def test_the_schema_of_a_change_has_no_default_for_a_client_to_send(world: World) -> None:
    schema = (await world.ask("GET", "/openapi.json")).json["components"]["schemas"]["PromotionChange"]
    assert set(schema["properties"]) == set(OTHER)
    assert not schema.get("required")
    for name, of_field in schema["properties"].items():
        assert "default" not in of_field
        may_be_null = {"type": "null"} in of_field.get("anyOf", [])
        assert may_be_null is (name not in {"skus", "combinable", "active"})


async def test_what_was_stored_before_a_rule_came_does_not_keep_a_promotion_from_being_switched_off(
    world: World,
) -> None:
    old = Promotion(
        code="WELCOME10", kind=PromotionKind.PERCENTAGE, fraction="0.1", starts_at=datetime(1960, 1, 1, tzinfo=UTC)
    )
    world.promotions.rows["WELCOME10"] = old
    assert (await world.ask("PATCH", PROMOTION, json={"active": False})).status == 200
    assert world.promotions.rows["WELCOME10"] == replace(old, active=False)


@pytest.mark.parametrize("name", ["starts_at", "ends_at"])
@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("1970-01-01T00:00:00Z", 200),
        ("1970-01-01T05:00:00+05:00", 200),
        ("9000-12-31T23:59:59Z", 200),
        ("1969-12-31T23:59:59.999999Z", 422),
        ("1970-01-01T00:00:00+00:01", 422),
        ("9001-01-01T00:00:00Z", 422),
        ("9000-12-31T23:59:59-00:01", 422),
        ("0001-01-01T00:00:00Z", 422),
        ("0001-01-01T00:00:00+01:00", 422),
        ("0000-12-31T23:00:00-01:00", 422),
        ("9999-12-31T23:59:59.999999Z", 422),
        ("9999-12-31T23:59:59-12:00", 422),
    ],
)
async def test_a_promotions_times_lie_between_1970_and_9000(world: World, name: str, text: str, status: int) -> None:
    """At the ends of Python's range PostgreSQL keeps infinity, which nobody could read again."""
    await world.ask("POST", "/api/promotions", json={**NEW, "code": "OTHER"})
    for method, path, body, made in (
        ("POST", "/api/promotions", NEW, 201),
        ("PATCH", "/api/promotions/OTHER", {}, 200),
    ):
        answered = await world.ask(method, path, json={**body, name: text})
        assert answered.status == (made if status == 200 else 422)
        if status != 200:
            assert answered.code == "time_out_of_range"
            assert [each["pointer"] for each in answered.json["errors"]] == [f"/{name}"]


async def test_a_change_that_lost_a_race_is_made_on_what_is_there_then(world: World) -> None:
    await world.ask("POST", "/api/promotions", json=NEW)
    world.promotions.lose_races = 2
    assert (await world.ask("PATCH", PROMOTION, json={"active": False})).status == 200
    world.promotions.lose_races = 3
    answered = await world.ask("PATCH", PROMOTION, json={"active": True})
    assert (answered.status, answered.code) == (409, "promotion_changing")


async def test_a_promotion_is_deleted_once(world: World) -> None:
    await world.ask("POST", "/api/promotions", json=NEW)
    gone = await world.ask("DELETE", PROMOTION)
    assert (gone.status, gone.body) == (204, b"")
    for method, body in (("DELETE", None), ("GET", None), ("PATCH", {"active": True})):
        answered = await world.ask(method, PROMOTION, json=body)
        assert (answered.status, answered.code) == (404, "promotion_not_found")


async def test_promotions_are_listed_a_page_at_a_time(world: World) -> None:
    for code in ("C", "A", "B"):
        await world.ask("POST", "/api/promotions", json={**NEW, "code": code})
    first = (await world.ask("GET", "/api/promotions", query="limit=2")).json
    assert [each["code"] for each in first["data"]] == ["A", "B"]
    rest = (await world.ask("GET", "/api/promotions", query=f"cursor={first['page']['next_cursor']}")).json
    assert [each["code"] for each in rest["data"]] == ["C"]
    assert rest["page"] == {"next_cursor": None, "has_more": False}


async def test_a_code_means_the_same_promotion_in_any_case(world: World) -> None:
    made = (await world.ask("POST", "/api/promotions", json=NEW)).json
    for code in ("welcome10", "Welcome10", "WELCOME10"):
        taken = await world.ask("POST", "/api/promotions", json={**NEW, "code": code})
        assert (taken.status, taken.code) == (409, "promotion_exists")
        assert (await world.ask("GET", f"/api/promotions/{code}")).json == made
        changed = await world.ask("PATCH", f"/api/promotions/{code}", json={"active": True})
        assert (changed.status, changed.json) == (200, made)
    assert (await world.ask("GET", "/api/promotions/welcome1\u212a")).status == 404  # Kelvin's sign is no k
    assert (await world.ask("DELETE", "/api/promotions/wELCOME10")).status == 204
    assert not world.promotions.rows


async def test_a_promotion_that_can_not_be_read_is_shown_as_such_beside_the_others(world: World) -> None:
    """One that began in the year 1 made the whole list 500."""
    readable = Promotion(code="OLD", kind=PromotionKind.PERCENTAGE, fraction="0.1", max_uses=5)
    world.promotions.rows["OLD"] = UnreadablePromotion(readable, ("starts_at", "ends_at"))
    await world.ask("POST", "/api/promotions", json=NEW)
    listed = (await world.ask("GET", "/api/promotions")).json["data"]
    shown = {
        "code": "OLD",
        "kind": "percentage",
        "fraction": "0.1",
        "skus": [],
        "max_uses": 5,
        "combinable": False,
        "active": True,
    }
    assert listed[0] == {**shown, "unreadable": ["starts_at", "ends_at"]}
    assert "unreadable" not in listed[1]
    off = await world.ask("PATCH", "/api/promotions/OLD", json={"active": False, "ends_at": "2027-01-01T00:00:00Z"})
    assert off.json == {**shown, "active": False, "ends_at": "2027-01-01T00:00:00.000Z", "unreadable": ["starts_at"]}
    mended = await world.ask("PATCH", "/api/promotions/old", json={"starts_at": None})
    assert mended.json == {**shown, "active": False, "ends_at": "2027-01-01T00:00:00.000Z"}
