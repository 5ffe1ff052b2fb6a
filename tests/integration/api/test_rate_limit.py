"""The rate limit over several processes' worth of limiters, against a real Redis."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from api.access.rate_limit import RateLimits
from api.access.security import Caller
from api.problems import Problem
from storage.redis_cache import RedisCache
from storage.redis_connection import QuietRedis

CALLER = Caller(subject="s", scopes=frozenset(), customer_id=None, token_id="t", is_admin=False)
EXACTNESS = 0.05


class CountingCache(RedisCache):
    """Counts how often Redis is asked."""

    asked = 0

    async def count(self, name: str, amount: int, *, keep_s: int) -> int | None:
        self.asked += 1
        return await super().count(name, amount, keep_s=keep_s)


@pytest.fixture
async def make(redis_url: str) -> AsyncIterator[Callable[[int, int], list[tuple[RateLimits, CountingCache]]]]:
    """Makes as many limiters as there would be processes, each with connections of its own, in one window."""
    caches: list[CountingCache] = []

    def processes(number: int, per_min: int) -> list[tuple[RateLimits, CountingCache]]:
        made = [CountingCache(QuietRedis(redis_url, timeout_s=20.0, max_connections=2)) for _ in range(number)]
        caches.extend(made)
        return [(RateLimits(cache, per_min=per_min, clock=lambda: 600.0), cache) for cache in made]

    yield processes
    for cache in caches:
        await cache.close()


async def is_let_in(limits: RateLimits) -> bool:
    try:
        await limits.count(CALLER)
    except Problem:
        return False
    return True


async def let_in(limiters: Sequence[RateLimits], *, at_once: int) -> int:
    """How many of these requests are let in, with so many under way at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(limits: RateLimits) -> bool:
        async with gate:
            return await is_let_in(limits)

    return sum(await asyncio.gather(*(one(each) for each in limiters)))


@pytest.mark.parametrize(
    ("per_min", "at_once"), [(1, 1), (1, 100), (10, 1), (10, 100), (100, 1), (100, 100), (6000, 100)]
)
@pytest.mark.parametrize("number", [1, 2, 16, 64])
async def test_a_limit_is_exact_over_any_number_of_processes(
    make: Callable[[int, int], list[tuple[RateLimits, CountingCache]]], number: int, per_min: int, at_once: int
) -> None:
    """One process hoarded: its first 100 requests at once reserved all 6,000, and the next process refused its first one.

    Here the processes are asked unevenly, first the first ones, then all of them at random, until nothing more is let in anywhere.
    """
    limiters = [limits for limits, _ in make(number, per_min)]
    chance = random.Random(f"{number} {per_min}")
    first = [limiters[n * number // (per_min // 2 + 1) // 2] for n in range(per_min // 2)]
    rest = chance.choices(limiters, k=2 * per_min)
    admitted = await let_in(first, at_once=at_once) + await let_in(rest, at_once=at_once)
    # The last process has what the others keep from it, and no more.
    admitted += await let_in([limiters[-1]] * per_min, at_once=at_once)
    assert per_min * (1 - EXACTNESS) <= admitted <= per_min


async def test_a_burst_in_one_process_leaves_the_others_what_is_left(
    make: Callable[[int, int], list[tuple[RateLimits, CountingCache]]],
) -> None:
    (one, asked), (other, _) = make(2, 6000)
    assert await let_in([one] * 100, at_once=100) == 100
    assert asked.asked <= 3
    assert await let_in([other] * 6000, at_once=100) >= 5900 - 4


async def test_redis_is_asked_seldom_by_a_process_that_is_asked_often(
    make: Callable[[int, int], list[tuple[RateLimits, CountingCache]]],
) -> None:
    [(limits, cache)] = make(1, 6000)
    assert await let_in([limits] * 7000, at_once=1) == 6000
    assert cache.asked < 200
