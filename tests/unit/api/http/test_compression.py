"""Browsers of other origins, and answers that are worth compressing."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from storage.reads.order_queries import OrderPage
from tests.unit.api.harness import ORDER_ID, World, an_order

ORDER = f"/api/orders/{ORDER_ID}"
ORIGIN = "https://shop.example"


def full(world: World) -> None:
    world.queries.page = OrderPage(tuple(an_order() for _ in range(20)), None)


@pytest.mark.parametrize("coding", ["gzip", "br, gzip;q=0.5"])
async def test_a_large_answer_is_compressed_for_those_that_accept_it(world: World, coding: str) -> None:
    full(world)
    plain = await world.ask("GET", "/api/orders")
    packed = await world.ask("GET", "/api/orders", headers={"accept-encoding": coding})
    assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert plain.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed.body) == plain.body
    assert int(packed.headers["content-length"]) == len(packed.body) < len(plain.body)


async def test_a_small_answer_stays_as_it_is(world: World) -> None:
    world.queries.keep(an_order())
    answered = await world.ask("GET", ORDER, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answered.headers
    assert answered.json["id"] == ORDER_ID


async def test_entity_tags_take_no_notice_of_the_coding(world: World) -> None:
    full(world)
    packed = await world.ask("GET", "/api/orders", headers={"accept-encoding": "gzip"})
    plain = await world.ask("GET", "/api/orders")
    assert packed.headers["etag"] == plain.headers["etag"]
    for more in ({}, {"accept-encoding": "gzip"}):
        headers = {"if-none-match": packed.headers["etag"], **more}
        assert (await world.ask("GET", "/api/orders", headers=headers)).status == 304


@pytest.mark.parametrize("path", ["/api/promotions", "/api/promotions/P"])
async def test_promotions_have_an_entity_tag(world: World, path: str) -> None:
    terms: dict[str, Any] = {"code": "P", "kind": "free_shipping"}
    assert (await world.ask("POST", "/api/promotions", json=terms)).status == 201
    first = await world.ask("GET", path)
    assert (await world.ask("GET", path, headers={"if-none-match": first.headers["etag"]})).status == 304
    assert (await world.ask("PATCH", "/api/promotions/P", json={"active": False})).status == 200
    changed = await world.ask("GET", path, headers={"if-none-match": first.headers["etag"]})
    assert changed.status == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_no_origin_is_let_in_unless_it_is_told() -> None:
    answered = await World().ask("GET", "/health/live", headers={"origin": ORIGIN})
    assert "access-control-allow-origin" not in answered.headers


async def test_a_browser_of_an_origin_that_is_told_may_ask_and_read_our_headers() -> None:
    world = World(cors_origins=(ORIGIN,))
    preflight = await world.ask(
        "OPTIONS",
        "/api/orders",
        token=None,
        headers={
            "origin": ORIGIN,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,idempotency-key,content-type,if-match,prefer",
        },
    )
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (200, ORIGIN)
    answered = await world.ask("GET", ORDER, headers={"origin": ORIGIN})
    assert answered.headers["access-control-allow-origin"] == ORIGIN
    assert "ETag" in answered.headers["access-control-expose-headers"]
    other = await world.ask("GET", ORDER, headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers
