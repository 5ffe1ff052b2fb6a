"""What Redis remembers for a while: answers and counters. It is never the authority.

Nothing here is raised: with Redis away, nothing is remembered.
"""

from __future__ import annotations

from storage.redis_connection import QuietRedis

PREFIX = "ordersvc:"
COUNT = """
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if sum == tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return sum
"""


class RedisCache:
    """Answers and counters in Redis, for all processes together."""

    def __init__(self, redis: QuietRedis) -> None:
        self._redis = redis
        self._count = redis.client.register_script(COUNT)

    async def recall(self, name: str) -> bytes | None:
        """What is remembered under a name, or None."""
        remembered: bytes | None = await self._redis.ask(lambda: self._redis.client.get(f"{PREFIX}memo:{name}"))
        return remembered

    async def remember(self, name: str, value: bytes, *, keep_s: float) -> None:
        """Remember something for ``keep_s`` seconds."""
        keep_ms = max(1, round(keep_s * 1000))
        await self._redis.ask(lambda: self._redis.client.set(f"{PREFIX}memo:{name}", value, px=keep_ms))

    async def count(self, name: str, amount: int, *, keep_s: int) -> int | None:
        """Add to a counter that lives ``keep_s`` seconds from its first addition: the sum, or None when Redis is
        away.
        """
        key = f"{PREFIX}count:{name}"
        counted: int | None = await self._redis.ask(lambda: self._count(keys=[key], args=[amount, keep_s]))
        return counted

    async def is_well(self) -> bool:
        """Tell whether Redis answers now."""
        return await self._redis.is_well()

    @property
    def failures(self) -> int:
        """How often Redis was away when it was asked."""
        return self._redis.failures

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.close()
