"""How often a token may ask: counted in Redis for all API processes together, told in ``RateLimit`` headers.

A process takes shares of a token's allowance from Redis and spends them by itself, so that most requests cost no round
trip: a share is a hundredth of the limit. With Redis away everything is allowed, and counted as such.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import Counter

from api.auth import Caller
from api.exchange import Header, Incoming
from api.ports import RateCounterPort
from api.problems import Problem, retry_after

WINDOW_S = 60
SHARES = 100

UNCOUNTED = Counter("ordersvc_http_uncounted_requests", "Requests let in although Redis could not count them")
LIMITED = Counter("ordersvc_http_rate_limited_requests", "Requests refused because their token asked too often")


class _Share:
    """What a token may still do in this process: ``left`` of what was taken; ``used`` is its count in all processes."""

    __slots__ = ("left", "used", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.left = 0
        self.used = 0


class RateLimits:
    """Counts requests a token and a minute (fixed windows by the clock)."""

    def __init__(
        self,
        counter: RateCounterPort,
        *,
        per_min: int,
        max_tokens: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``per_min`` 0: no limit. ``max_tokens``: tokens that this process remembers a share of."""
        self._counter = counter
        self._per_min = per_min
        self._share = max(1, per_min // SHARES)
        self._max_tokens = max_tokens
        self._clock = clock
        self._shares: dict[str, _Share] = {}

    async def count(self, asked: Incoming, caller: Caller) -> None:
        """Count a request, and add the headers that tell how many are left; raises ``Problem`` ``rate_limited``."""
        if self._per_min == 0 or caller.is_admin:
            return
        now = self._clock()
        window = int(now) // WINDOW_S
        reset_s = WINDOW_S - int(now) % WINDOW_S
        share = self._share_of(caller.token_id, window)
        if share.left == 0 and share.used < self._per_min:
            await self._take(caller.token_id, share)
        remaining = max(0, self._per_min - share.used) + max(0, share.left - 1)
        asked.told.extend(self._headers(remaining, reset_s))
        if share.left == 0:
            LIMITED.inc()
            raise Problem(
                "rate_limited", f"A token may ask {self._per_min} times a minute.", headers=(retry_after(reset_s),)
            )
        share.left -= 1

    def _share_of(self, token_id: str, window: int) -> _Share:
        share = self._shares.get(token_id)
        if share is None or share.window != window:
            self._shares.pop(token_id, None)
            if len(self._shares) >= self._max_tokens:
                del self._shares[next(iter(self._shares))]
            share = self._shares[token_id] = _Share(window)
        return share

    async def _take(self, token_id: str, share: _Share) -> None:
        used = await self._counter.count(f"{token_id}:{share.window}", self._share, keep_s=2 * WINDOW_S)
        if used is None:
            UNCOUNTED.inc()
            share.left += 1
            return
        share.left += max(0, min(self._share, self._per_min - (used - self._share)))
        share.used = used

    def _headers(self, remaining: int, reset_s: int) -> tuple[Header, ...]:
        return (
            (b"ratelimit-limit", b"%d" % self._per_min),
            (b"ratelimit-remaining", b"%d" % remaining),
            (b"ratelimit-reset", b"%d" % reset_s),
        )
