from __future__ import annotations

from typing import Any

import pytest

from domain.promotions import Promotion, PromotionKind
from storage.answers import KeptAnswer
from tests.unit.api.driving import World

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
    assert world.promotions.rows["WELCOME10"].kind is PromotionKind.PERCENTAGE


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
