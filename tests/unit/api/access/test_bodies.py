from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message as AsgiMessage

from api.access import bodies
from api.access.bodies import read_body
from api.problems import Problem
from tests.unit.api.harness import World

ITEMS = "/api/orders/0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00/items"
JSON = {"content-type": "application/json"}
BODY = b'{"sku":"S","quantity":1}'


async def test_a_body_may_come_in_pieces(world: World) -> None:
    answered = await world.ask("POST", ITEMS, headers=JSON, chunks=(BODY[:5], b"", BODY[5:]))
    assert answered.status == 201


async def test_a_body_that_is_announced_too_large_is_refused_unread(world: World) -> None:
    answered = await world.ask("POST", ITEMS, headers={**JSON, "content-length": "262145"}, chunks=(BODY,))
    assert (answered.status, answered.code) == (413, "body_too_large")


async def test_a_body_that_grows_too_large_is_refused_while_it_comes(world: World) -> None:
    answered = await world.ask("POST", ITEMS, headers=JSON, chunks=(b" " * 200_000, b" " * 62_145, b"never read"))
    assert (answered.status, answered.code) == (413, "body_too_large")


async def test_a_body_of_just_the_limit_is_read(world: World) -> None:
    answered = await world.ask("POST", ITEMS, headers=JSON, chunks=(BODY + b" " * (262_144 - len(BODY)),))
    assert answered.status == 201


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":NaN}', b"\xff", b'{"a":"\xff"}', b"[" * 100_000, b"{} {}"])
async def test_a_body_that_is_no_json_is_refused(world: World, body: bytes) -> None:
    answered = await world.ask("POST", ITEMS, headers=JSON, chunks=(body,))
    assert (answered.status, answered.code) == (400, "malformed_json")


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded", "json", "text/json+x"])
async def test_a_body_of_another_type_is_refused(world: World, media_type: str | None) -> None:
    headers = {} if media_type is None else {"content-type": media_type}
    answered = await world.ask("POST", ITEMS, headers=headers, chunks=(BODY,))
    assert (answered.status, answered.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"])
async def test_json_has_several_names(world: World, media_type: str) -> None:
    answered = await world.ask("POST", ITEMS, headers={"content-type": media_type}, chunks=(BODY,))
    assert answered.status == 201


async def never_heard() -> AsgiMessage:
    raise await asyncio.get_running_loop().create_future()


A_REQUEST = Request({"type": "http", "headers": []}, never_heard)


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_WAIT_MAX_S", 0.0)
    with pytest.raises(Problem, match="request_timeout"):
        await read_body(A_REQUEST, b"", 1)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_reading_a_body_can_be_cancelled_from_outside() -> None:
    reading = asyncio.create_task(read_body(A_REQUEST, b"", 1))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
