"""Good requests beside the fuzzer: whole lives of orders and lists, each of whose answers is watched."""

from __future__ import annotations

import random
import time

from benchmarks.client import Client, Response, request_bytes
from benchmarks.shop import Shop
from tests.fuzz.findings import Findings

ANSWER_MAX_S = 3.0
LISTS = (
    "/api/orders?limit=5",
    "/api/orders?sort=-total&limit=5",
    "/api/orders/statistics",
    "/api/promotions",
    "/api/dead-letters?limit=5",
    "/health/ready",
)


class Watched(Client):
    """A client that notes answers that come late, and those that say that the service failed.

    A server ends connections that have been idle for long, some of them just when they are used again: what had no answer at all is
    sent once more, as clients do. Commands have their keys.
    """

    def __init__(self, base_url: str, connections_max: int, findings: Findings) -> None:
        super().__init__(base_url, connections_max)
        self._findings = findings
        self.slowest_s = 0.0

    async def send(self, request: bytes) -> Response:
        """Send one request and watch its answer."""
        began_s = time.monotonic()
        answer = await super().send(request)
        if not answer.status:
            self._findings.answers["good requests sent once more"] += 1
            answer = await super().send(request)
        took_s = time.monotonic() - began_s
        self.slowest_s = max(self.slowest_s, took_s)
        shown = f"{request[:300]!r} -> {answer.status} {answer.body[:300]!r} after {took_s:.1f} s"
        self._findings.answers[f"good {answer.status}"] += 1
        if not 200 <= answer.status < 300:
            self._findings.add(f"a good request: {answer.status}", shown)
        elif took_s > ANSWER_MAX_S:
            self._findings.add("a good request: answered late", shown)
        return answer


class Lives:
    """Whole lives, and lists that everybody reads."""

    def __init__(self, rng: random.Random, client: Watched, token: str, findings: Findings) -> None:
        self._rng = rng
        self._client = client
        self._token = token
        self._shop = Shop(client, token)
        self._findings = findings

    async def live(self, index: int) -> str:
        """Take an order from creation to delivery."""
        ended = await self._shop.life(index)
        self._findings.answers[f"lives {'ended well' if ended else 'not ended'}"] += 1
        if not ended:
            self._findings.add("a good order's life did not end", "; ".join(self._shop.refusals))
        return ended

    async def look(self, _index: int) -> str:
        """Read a list."""
        answer = await self._client.send(request_bytes("GET", self._rng.choice(LISTS), token=self._token))
        return "look" if answer.status == 200 else ""
