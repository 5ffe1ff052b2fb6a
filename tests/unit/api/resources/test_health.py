from __future__ import annotations

import pytest

from api.ports import Health
from tests.unit.api.harness import World, token


async def test_it_lives(world: World) -> None:
    answered = await world.ask("GET", "/health/live", token=None)
    assert (answered.status, answered.json) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("down", "status", "said"),
    [
        ([], 200, "ok"),
        (["redis"], 200, "degraded"),
        (["rabbitmq", "payment"], 200, "degraded"),
        (["postgresql"], 503, "unavailable"),
        (["shards", "redis"], 503, "unavailable"),
    ],
)
async def test_it_is_ready_while_orders_can_be_taken(world: World, down: list[str], status: int, said: str) -> None:
    names = ("postgresql", "shards", "redis", "rabbitmq", "payment")
    world.health.found = {
        name: Health("down", 1000, "no answer") if name in down else Health("ok", 0.5) for name in names
    }
    answered = await world.ask("GET", "/health/ready", token=None)
    assert answered.status == status
    assert answered.json["status"] == said
    assert set(answered.json["dependencies"]) == set(names)
    for name in down:
        assert answered.json["dependencies"][name] == {"status": "down", "latency_ms": 1000, "detail": "no answer"}
    assert ("retry-after" in answered.headers) == (status == 503)


async def test_metrics_want_their_scope(world: World) -> None:
    """They were open on loopback: to everybody, behind a proxy on the same machine."""
    assert (await world.ask("GET", "/metrics", token=None)).code == "unauthorized"
    assert (await world.ask("GET", "/metrics")).code == "insufficient_scope"
    for scope in ("metrics:read", "admin"):
        answered = await world.ask("GET", "/metrics", token=token(scope))
        assert answered.status == 200
        assert answered.headers["content-type"].startswith("text/plain")
        assert answered.body == b"figures 1\n"


async def test_metrics_come_in_the_form_that_is_asked_for(world: World) -> None:
    headers = {"accept": "application/openmetrics-text; version=1.0.0"}
    answered = await world.ask("GET", "/metrics", token=token("metrics:read"), headers=headers)
    assert (answered.status, answered.headers["content-type"]) == (200, "application/openmetrics-text")
    assert answered.headers["vary"] == "accept"
