from __future__ import annotations

import asyncio

import pytest

from actors.replies import Reply
from api.edge import REQUESTS
from domain.commands import Message
from tests.unit.api.driving import ORDER_ID, FakeRouter, World

ORDER = f"/api/orders/{ORDER_ID}"


async def test_more_requests_than_the_bound_are_turned_away_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(under_way_max_requests=2)
    held = asyncio.Event()

    async def ask(router: FakeRouter, order_id: str, message: Message, *, timeout_s: float | None = None) -> Reply:
        router.asked.append((order_id, message))
        await held.wait()
        return Reply(document=b"{}", version=1)

    monkeypatch.setattr(FakeRouter, "ask", ask)
    first = [asyncio.create_task(world.ask("DELETE", ORDER)) for _ in range(2)]
    async with asyncio.timeout(5):
        while len(world.router.asked) < 2:
            await asyncio.sleep(0)
    refused = await world.ask("DELETE", ORDER)
    assert (refused.status, refused.code) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
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
