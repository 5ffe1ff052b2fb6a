"""The way to Redis: short waits, and nothing that is ever raised. Redis away means slower, never wrong.

A caller gets None, as if nothing were remembered; how often that was is counted for the metrics.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = structlog.get_logger()
Answer = TypeVar("Answer")


class QuietRedis:
    """A client whose failures are None. After a failure it leaves Redis alone for ``rest_s``, so that callers do
    not wait for a server that hangs.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        timeout_s: float = 0.25,
        rest_s: float = 0.5,
        max_connections: int = 16,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        pool: Any = BlockingConnectionPool.from_url(
            redis_url,
            max_connections=max_connections,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),
            decode_responses=False,
        )
        self.client: Any = Redis.from_pool(pool)
        self.failures = 0
        self._rest_s = rest_s
        self._clock = clock
        self._not_before_s = 0.0

    async def ask(self, question: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """The answer, or None when Redis is away or too slow."""
        if self._clock() < self._not_before_s:
            self.failures += 1
            return None
        try:
            return await question()
        except (RedisError, OSError, TimeoutError) as error:
            self.failures += 1
            self._not_before_s = self._clock() + self._rest_s
            log.warning("redis_away", error=type(error).__name__)
            return None

    async def is_well(self) -> bool:
        """Tell whether Redis answers now."""
        self._not_before_s = 0.0
        return await self.ask(self.client.ping) is not None

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()
