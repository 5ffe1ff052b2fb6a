"""How often a token may ask: counted in Redis for all API processes together, shown in ``RateLimit`` headers.

A process takes a token's requests from Redis in leases and spends them by itself. A lease is a small part of what the process
itself has spent in the same minute, beside what waits for it at this moment. So all processes together, however many there are,
never hold more than that part of a token's limit unused: the limit is never exceeded, and at most that part of it is kept from
a token that asks elsewhere. With Redis away everything is allowed, and counted as such.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from prometheus_client import Counter

from api.access.security import Caller
from api.http.request_state import Header
from api.ports import RateCounterPort
from api.problems import Problem, retry_after

WINDOW_S = 60
LEASE_OF_SPENT = 0.04

UNCOUNTED = Counter("ordersvc_http_uncounted_requests", "Requests let in although Redis could not count them")
LIMITED = Counter("ordersvc_http_rate_limited_requests", "Requests refused because their token asked too often")


class _Lease:
    """What a token may still do in this process: ``left`` of what was taken, after it has ``spent`` so many in this window.

    ``used`` is the token's count in all processes, as Redis last gave it. ``waiting`` requests want a new lease.
    """

    __slots__ = ("left", "spent", "taking", "used", "waiting", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.left = 0
        self.spent = 0
        self.used = 0
        self.waiting = 0
        self.taking = asyncio.Lock()


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
        """``per_min`` 0: no limit. ``max_tokens``: tokens that this process remembers a lease of."""
        self._counter = counter
        self._per_min = per_min
        self._max_tokens = max_tokens
        self._clock = clock
        self._leases: dict[str, _Lease] = {}

    async def count(self, caller: Caller) -> tuple[Header, ...]:
        """Count a request, and give the headers that say how many are left; raises ``Problem`` ``rate_limited``."""
        if self._per_min == 0 or caller.is_admin:
            return ()
        now = self._clock()
        window = int(now) // WINDOW_S
        reset_s = WINDOW_S - int(now) % WINDOW_S
        lease = self._lease_of(caller.token_id, window)
        if lease.left == 0 and lease.used < self._per_min:
            await self._renew(caller.token_id, lease)
        is_allowed = lease.left > 0
        if is_allowed:
            lease.left -= 1
            lease.spent += 1
        remaining = max(0, self._per_min - lease.used) + lease.left
        headers = self._headers(remaining, reset_s)
        if not is_allowed:
            LIMITED.inc()
            detail = f"A token may ask {self._per_min} times a minute."
            raise Problem("rate_limited", detail, headers=(retry_after(reset_s), *headers))
        return headers

    def _lease_of(self, token_id: str, window: int) -> _Lease:
        lease = self._leases.get(token_id)
        if lease is None or lease.window != window:
            self._leases.pop(token_id, None)
            if len(self._leases) >= self._max_tokens:
                del self._leases[next(iter(self._leases))]
            lease = self._leases[token_id] = _Lease(window)
        return lease

    async def _renew(self, token_id: str, lease: _Lease) -> None:
        """Take a new lease, unless another request has just done so: one asks Redis, for all that wait."""
        lease.waiting += 1
        try:
            async with lease.taking:
                if lease.left == 0 and lease.used < self._per_min:
                    await self._take(token_id, lease)
        finally:
            lease.waiting -= 1

    async def _take(self, token_id: str, lease: _Lease) -> None:
        wanted = max(lease.waiting, int(lease.spent * LEASE_OF_SPENT))
        used = await self._counter.count(f"{token_id}:{lease.window}", wanted, keep_s=2 * WINDOW_S)
        if used is None:
            UNCOUNTED.inc(lease.waiting)
            lease.left += lease.waiting
            return
        lease.left += max(0, min(wanted, self._per_min - (used - wanted)))
        lease.used = used

    def _headers(self, remaining: int, reset_s: int) -> tuple[Header, ...]:
        return (
            (b"ratelimit-limit", b"%d" % self._per_min),
            (b"ratelimit-remaining", b"%d" % remaining),
            (b"ratelimit-reset", b"%d" % reset_s),
        )
