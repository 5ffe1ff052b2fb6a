from __future__ import annotations

import asyncio

import pytest

from actors.order.replies import Reply
from api.http.middleware import REQUESTS
from domain.commands import Message
from tests.unit.api.harness import ORDER_ID, Answered, FakeRouter, World

ORDER = f"/api/orders/{ORDER_ID}"
NEW_ORDER = {"customer_id": "c-1", "currency": "EUR", "items": [{"sku": "sku-1", "quantity": 1}]}


def hold_up(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Have every order answer only once the event is set."""
    held = asyncio.Event()

    async def ask(router: FakeRouter, order_id: str, message: Message, *, timeout_s: float | None = None) -> Reply:
        router.asked.append((order_id, message))
        await held.wait()
        return Reply(document=b"{}", version=1)

    monkeypatch.setattr(FakeRouter, "ask", ask)
    return held


async def under_way(world: World, count: int) -> list[asyncio.Task[Answered]]:
    """Give requests that all have got as far as their order."""
    requests = [asyncio.create_task(world.ask("DELETE", ORDER)) for _ in range(count)]
    async with asyncio.timeout(5):
        while len(world.router.asked) < count:
            await asyncio.sleep(0)
    return requests


async def test_more_requests_than_the_bound_are_turned_away_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(under_way_max_requests=2)
    held = hold_up(monkeypatch)
    first = await under_way(world, 2)
    refused = await world.ask("DELETE", ORDER)
    assert (refused.status, refused.code) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-content-type-options"] == "nosniff"
    held.set()
    assert [(await each).status for each in first] == [200, 200]
    assert (await world.ask("DELETE", ORDER)).status == 200


async def test_answers_are_counted_by_route_and_not_by_path(world: World) -> None:
    def counted(route: str, status: str) -> float:
        method = "unmatched" if route == "unmatched" else "GET"
        value: float = REQUESTS.labels(method, route, status)._value.get()
        return value

    before = counted("/api/orders/{order_id}", "404"), counted("unmatched", "404")
    await world.ask("GET", ORDER)
    await world.ask("GET", f"{ORDER}/nowhere")
    assert counted("/api/orders/{order_id}", "404") == before[0] + 1
    assert counted("unmatched", "404") == before[1] + 1


async def test_a_client_that_goes_away_is_nobodys_error(world: World) -> None:
    with pytest.raises(IndexError):  # the driver finds no answer
        await world.ask("POST", f"{ORDER}/items", headers={"content-type": "application/json"}, chunks=())
    assert not world.router.asked


async def test_new_orders_are_turned_away_before_those_that_were_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(under_way_max_requests=4)
    held = hold_up(monkeypatch)
    first = await under_way(world, 2)
    refused = await world.ask("POST", "/api/orders", json=NEW_ORDER, key="one-more")
    assert (refused.status, refused.code) == (503, "overloaded")
    let_in = asyncio.create_task(world.ask("DELETE", ORDER))
    held.set()
    assert [(await each).status for each in (*first, let_in)] == [200, 200, 200]
    assert (await world.ask("POST", "/api/orders", json=NEW_ORDER, key="one-more")).status == 201


async def test_whoever_waits_for_an_order_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(under_way_max_requests=1)
    held = asyncio.Event()
    waiting = asyncio.Event()

    async def wait(_router: FakeRouter, _order_id: str, _until: str, _seconds: float) -> None:
        waiting.set()
        await held.wait()

    monkeypatch.setattr(FakeRouter, "wait", wait)
    creation = asyncio.create_task(
        world.ask("POST", "/api/orders", json=NEW_ORDER, key="k", headers={"prefer": "wait=10"})
    )
    async with asyncio.timeout(5):
        await waiting.wait()
        assert (await world.ask("DELETE", ORDER)).status == 200
        held.set()
        assert (await creation).status == 201


async def test_an_overloaded_process_still_says_how_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(under_way_max_requests=1)
    held = hold_up(monkeypatch)
    [busy] = await under_way(world, 1)
    assert (await world.ask("DELETE", ORDER)).status == 503
    assert (await world.ask("GET", "/health/live")).status == 200
    held.set()
    assert (await busy).status == 200
