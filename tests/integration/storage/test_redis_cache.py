from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from storage.redis_cache import RedisCache
from storage.redis_connection import QuietRedis

GONE_WITHIN_S = 5.0


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[RedisCache]:
    opened = RedisCache(QuietRedis(redis_url))
    yield opened
    await opened.close()


@pytest.fixture
def mute_url() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


async def test_what_is_remembered_is_recalled_until_its_time_is_over(cache: RedisCache) -> None:
    await cache.remember("statistics:x", b"\x00figures", keep_s=30)
    assert await cache.recall("statistics:x") == b"\x00figures"
    assert await cache.recall("statistics:y") is None
    await cache.remember("statistics:x", b"again", keep_s=0.01)
    async with asyncio.timeout(GONE_WITHIN_S):
        while await cache.recall("statistics:x") is not None:
            pass


async def test_a_counter_adds_up_for_everybody_and_ends_with_its_window(cache: RedisCache, redis_url: str) -> None:
    other = RedisCache(QuietRedis(redis_url))
    assert await cache.count("token:1", 60, keep_s=120) == 60
    assert await other.count("token:1", 60, keep_s=120) == 120
    assert await cache.count("token:2", 1, keep_s=1) == 1
    await other.close()
    async with asyncio.timeout(GONE_WITHIN_S):
        while await cache._redis.client.exists("ordersvc:count:token:2"):
            pass
    assert await cache._redis.client.exists("ordersvc:count:token:1")


@pytest.mark.parametrize("kind", ["closed", "mute"])
async def test_with_redis_away_nothing_is_known_nothing_is_raised_and_nobody_waits_long(
    mute_url: str, kind: str
) -> None:
    url = "redis://127.0.0.1:1/0" if kind == "closed" else mute_url
    cache = RedisCache(QuietRedis(url, timeout_s=0.05, rest_s=60))
    begun_s = time.monotonic()
    assert await cache.recall("x") is None
    assert await cache.count("token", 1, keep_s=60) is None
    await cache.remember("x", b"", keep_s=1)
    # The first waits for its timeout, with one retry; the others find that Redis is left alone.
    assert time.monotonic() - begun_s < 1.0
    assert cache.failures == 3
    assert not await cache.is_well()
    await cache.close()


async def test_redis_is_asked_again_after_a_rest(redis_url: str) -> None:
    now_s = 0.0
    redis = QuietRedis(redis_url, rest_s=0.5, clock=lambda: now_s)

    async def fail() -> int:
        raise ConnectionError

    assert await redis.ask(fail) is None
    cache = RedisCache(redis)
    assert await cache.count("token", 1, keep_s=60) is None
    now_s = 0.6
    assert await cache.count("token", 1, keep_s=60) == 1
    assert redis.failures == 2
    await cache.close()
