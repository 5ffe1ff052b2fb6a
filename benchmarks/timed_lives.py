"""Whole lives of orders over REST, with the latency of each operation; only what every service of the contract has."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import msgspec

from benchmarks.client import Response
from benchmarks.load import Job
from benchmarks.shop import AFTER_PREPARED, DELIVERED, SHIPPED, Shop, order_id_of
from benchmarks.tallied import Sender

CREATE, PAY, READ, SHIP, DELIVER, LIFE = "create", "pay", "read", "ship", "deliver", "life"
OPERATIONS = (CREATE, PAY, READ, SHIP, DELIVER, LIFE)
POLL_FIRST_S = 0.002
POLL_GROWTH = 1.5
POLL_MAX_S = 0.05
PATIENCE_S = 30.0
REFUSALS_MAX = 50


class _Shown(msgspec.Struct):
    status: str


_shown = msgspec.json.Decoder(_Shown).decode


class NotReached(Exception):
    """An order did not get on; the message says where it stopped and what was answered."""


class TimedLives:
    """A creation counts until the order is validated, a payment until it is prepared; each look at an order is a read."""

    def __init__(self, sender: Sender, token: str) -> None:
        self._shop = Shop(sender, token)
        self.latencies_s: dict[str, list[float]] = {}
        self.delivered_at_s: dict[str, float] = {}
        self.refusals: Counter[str] = Counter()

    def begin(self) -> None:
        """Forget what was measured before. ``delivered_at_s`` is by order id, on the clock of ``time.perf_counter``."""
        self.latencies_s = {operation: [] for operation in OPERATIONS}
        self.delivered_at_s = {}

    def life_from(self, first: int) -> Job:
        """The job of living lives whose numbers begin at ``first``, so that those of two loads never meet."""

        async def life(index: int) -> str:
            try:
                await self._life(first + index)
            except NotReached as error:
                if len(self.refusals) < REFUSALS_MAX:
                    self.refusals[str(error)] += 1
                return ""
            return LIFE

        return life

    async def _life(self, index: int) -> None:
        began_s = time.perf_counter()
        created = await self._shop.create(index, wait_s=10)
        _expect(CREATE, created, {201})
        order_id = order_id_of(created)
        await self._until(CREATE, order_id, _shown(created.body).status, {"validated"})
        paid_s = self._note(CREATE, began_s)
        _expect(PAY, await self._shop.pay(order_id), {201, 202})
        await self._until(PAY, order_id, "", set(AFTER_PREPARED) - {"cancelling", "cancelled"})
        shipped_s = self._note(PAY, paid_s)
        _expect(SHIP, await self._shop.set_status(order_id, SHIPPED), {200})
        delivered_s = self._note(SHIP, shipped_s)
        delivered = await self._shop.set_status(order_id, DELIVERED)
        _expect(DELIVER, delivered, {200})
        if _shown(delivered.body).status != "delivered":
            raise NotReached(f"{DELIVER}: the order is {_shown(delivered.body).status}")
        self.delivered_at_s[order_id] = self._note(DELIVER, delivered_s)
        self._note(LIFE, began_s)

    async def _until(self, operation: str, order_id: str, status: str, wanted: set[str]) -> None:
        """Look at the order, ever more seldom, until it has got there."""
        give_up_s = time.perf_counter() + PATIENCE_S
        wait_s = POLL_FIRST_S
        looked = bool(status)
        while status not in wanted:
            if status in {"cancelling", "cancelled"} or time.perf_counter() > give_up_s:
                raise NotReached(f"{operation}: the order is {status}")
            if looked:
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * POLL_GROWTH, POLL_MAX_S)
            asked_s = time.perf_counter()
            shown = await self._shop.get(f"/api/orders/{order_id}")
            _expect(READ, shown, {200})
            self._note(READ, asked_s)
            status, looked = _shown(shown.body).status, True

    def _note(self, operation: str, began_s: float) -> float:
        """Keep how long an operation took; gives the moment of its end."""
        ended_s = time.perf_counter()
        self.latencies_s.setdefault(operation, []).append(ended_s - began_s)
        return ended_s


def _expect(operation: str, response: Response, wanted: set[int]) -> None:
    if response.status not in wanted:
        raise NotReached(f"{operation}: {response.status} {response.body[:120].decode(errors='replace')}")
