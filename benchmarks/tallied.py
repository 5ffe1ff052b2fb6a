"""A client that keeps count: how often each status came, which refusals did not say when to come again, which orders were promised."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Protocol

from benchmarks.client import Client, Response

NOT_NOW = (429, 503)
ORDER_PREFIX = "/api/orders/"
WAIT_MAX_S = 8.0


class Sender(Protocol):
    """What sends a request and gives its answer."""

    async def send(self, request: bytes) -> Response:
        """Send one request; status 0 when no answer came."""


class Tallied(Client):
    """Counts what it is answered. ``promised``: the orders whose creation was acknowledged."""

    def __init__(self, base_url: str, connections_max: int) -> None:
        super().__init__(base_url, connections_max)
        self.statuses: Counter[int] = Counter()
        self.without_retry_after = 0
        self.promised: set[str] = set()

    async def send(self, request: bytes) -> Response:
        """Send one request and count its answer."""
        response = await super().send(request)
        self.statuses[response.status] += 1
        if response.status in NOT_NOW and "retry-after" not in response.headers:
            self.without_retry_after += 1
        if response.status == 201 and (order_id := created_order(response)):
            self.promised.add(order_id)
        return response


class Patient:
    """Asks again, with the same key, when told "not now": as late as it was told to at the least, and ever more seldom."""

    def __init__(self, sender: Sender, *, patience_s: float) -> None:
        """``patience_s``: from the first try on; afterwards the last answer stands."""
        self._sender = sender
        self._patience_s = patience_s
        self._random = random.Random(1)

    async def send(self, request: bytes) -> Response:
        """Send one request until it is answered otherwise, or patience ends."""
        give_up_s = time.monotonic() + self._patience_s
        backoff_s = 1.0
        while True:
            response = await self._sender.send(request)
            if response.status not in NOT_NOW:
                return response
            wait_s = max(float(response.headers.get("retry-after", "1")), backoff_s) * self._random.uniform(1.0, 1.5)
            if time.monotonic() + wait_s > give_up_s:
                return response
            await asyncio.sleep(wait_s)
            backoff_s = min(backoff_s * 2, WAIT_MAX_S)


def created_order(response: Response) -> str:
    """The id of the order that a creation's ``Location`` names; empty when it names something else."""
    name = response.headers.get("location", "").removeprefix(ORDER_PREFIX)
    return "" if "/" in name else name
