from __future__ import annotations

import asyncio

from api.access.rate_limit import RateLimits
from api.access.security import Caller
from api.problems import Problem
from tests.unit.api.harness import FakeRedis, World, token

LIVE = "/api/orders"


def a_caller(digest: str = "d") -> Caller:
    return Caller(subject="s", scopes=frozenset(), customer_id=None, token_id=digest, is_admin=False)


async def allowed(limits: RateLimits, caller: Caller) -> bool:
    try:
        await limits.count(caller)
    except Problem as problem:
        return problem.code != "rate_limited"
    return True


async def test_a_token_that_asks_too_often_is_told_when_to_come_again() -> None:
    world = World(rate_limit_per_min=2)
    first, second, third = [await world.ask("GET", LIVE) for _ in range(3)]
    assert (first.status, second.status) == (200, 200)
    assert (third.status, third.code) == (429, "rate_limited")
    assert [each.headers["ratelimit-remaining"] for each in (first, second, third)] == ["1", "0", "0"]
    assert third.headers["ratelimit-limit"] == "2"
    assert third.headers["retry-after"] == third.headers["ratelimit-reset"]
    assert (await world.ask("GET", LIVE, token=token(sub="another"))).status == 200


async def test_admins_have_no_limit_and_zero_is_none() -> None:
    limited = World(rate_limit_per_min=1)
    for _ in range(3):
        answered = await limited.ask("GET", LIVE, token=token("admin"))
        assert answered.status == 200
        assert "ratelimit-limit" not in answered.headers
    unlimited = World(rate_limit_per_min=0)
    for _ in range(3):
        assert (await unlimited.ask("GET", LIVE)).status == 200


async def test_two_processes_share_a_limit_and_ask_redis_seldom() -> None:
    redis = FakeRedis()
    asked = 0
    count = redis.count

    async def counted(name: str, amount: int, *, keep_s: int) -> int | None:
        nonlocal asked
        asked += 1
        return await count(name, amount, keep_s=keep_s)

    redis.count = counted  # type: ignore[method-assign]
    two = [RateLimits(redis, per_min=6000, clock=lambda: 600.0) for _ in range(2)]
    through = [await allowed(two[n % 2], a_caller()) for n in range(6600)]
    assert sum(through) == 6000
    assert asked <= 330  # one in twenty


async def test_a_request_that_goes_away_while_it_waits_holds_up_no_other() -> None:
    redis, go_on = FakeRedis(), asyncio.Event()
    count = redis.count

    async def slow(name: str, amount: int, *, keep_s: int) -> int | None:
        await go_on.wait()
        return await count(name, amount, keep_s=keep_s)

    redis.count = slow  # type: ignore[method-assign]
    limits = RateLimits(redis, per_min=10, clock=lambda: 600.0)
    waiting = [asyncio.create_task(allowed(limits, a_caller())) for _ in range(8)]
    await asyncio.sleep(0)
    for task in waiting[:4]:
        task.cancel()
    go_on.set()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert told[4:] == [True] * 4
    assert redis.counts["d:10"] <= 10


async def test_a_new_minute_begins_anew() -> None:
    now_s = 600.0
    limits = RateLimits(FakeRedis(), per_min=1, clock=lambda: now_s)
    assert await allowed(limits, a_caller())
    assert not await allowed(limits, a_caller())
    now_s = 660.0
    assert await allowed(limits, a_caller())


async def test_with_redis_away_everything_is_allowed() -> None:
    limits = RateLimits(FakeRedis(away=True), per_min=1)
    assert all([await allowed(limits, a_caller()) for _ in range(5)])


async def test_what_is_remembered_of_tokens_is_bounded() -> None:
    limits = RateLimits(FakeRedis(), per_min=5, max_tokens=2)
    for name in ("a", "b", "c"):
        await allowed(limits, a_caller(name))
    assert len(limits._leases) == 2
