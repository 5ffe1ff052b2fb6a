"""How partners misbehave, by the sandbox's knobs: a little all the time, and much on demand.

What the faults need of partners is the few methods of `Partners`; other partners that can be steered would do as well.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from tests.faults.evidence import Ledger, read_sandbox_ledger

AT_ONCE = 10
SCARCE_STOCK = 40

# What goes wrong all the time: the share of the requests, and how.
ALWAYS: tuple[dict[str, Any], ...] = (
    {"effect": "decline", "operation": "charge", "probability": 0.06},
    {"effect": "delay", "operation": "charge", "probability": 0.2, "delay_ms": [50, 900]},
    {"effect": "processing", "operation": "charge", "probability": 0.12, "delay_ms": [50, 1500]},
    {"effect": "silence", "operation": "charge", "probability": 0.015},
    {"effect": "mismatch", "operation": "charge", "probability": 0.015},
    {"effect": "event_first", "operation": "charge", "probability": 0.2},
    {"effect": "event_twice", "operation": "charge", "probability": 0.1},
    {"effect": "no_event", "operation": "charge", "probability": 0.05},
    {"effect": "fail", "operation": "charge", "probability": 0.03},
    {"effect": "do_and_fail", "operation": "charge", "probability": 0.04},
    {"effect": "do_and_drop", "operation": "charge", "probability": 0.03},
    {"effect": "do_and_hang", "operation": "charge", "probability": 0.02},
    {"effect": "garbage", "operation": "charge", "probability": 0.01},
    {"effect": "do_and_fail", "operation": "refund", "probability": 0.1},
    {"effect": "do_and_drop", "operation": "refund", "probability": 0.05},
    {"effect": "processing", "operation": "refund", "probability": 0.1, "delay_ms": [50, 900]},
    {"effect": "fail", "operation": "get_payment", "probability": 0.1},
    {"effect": "refuse", "operation": "put_hold", "probability": 0.02},
    {"effect": "refuse", "operation": "commit_hold", "probability": 0.05},
    {"effect": "expire", "operation": "put_hold", "probability": 0.02, "delay_ms": [100, 2000]},
    {"effect": "do_and_drop", "operation": "put_hold", "probability": 0.03},
    {"effect": "do_and_fail", "operation": "commit_hold", "probability": 0.05},
    {"effect": "do_and_drop", "operation": "delete_hold", "probability": 0.05},
    {"effect": "throttle", "operation": "list_products", "probability": 0.03},
    {"effect": "fail", "operation": "get_customer", "probability": 0.05},
)


class Partners:
    """The sandbox at ``url``. Every method raises ``aiohttp.ClientError`` while it is away."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = f"{url}/sandbox"
        self._session = session
        self._hanging: list[str] = []
        self._is_calm = False
        self.hits: dict[str, int] = {}

    async def misbehave(self) -> None:
        """Set the knobs as they should be now, counting what the ones before have done."""
        hanging = [{"effect": "hang", "partner": partner} for partner in self._hanging]
        knobs = hanging if self._is_calm else [*hanging, *ALWAYS]
        await self.count()
        await self._ask("PUT", "/knobs", {"knobs": knobs})

    async def calm(self) -> None:
        """Behave from now on, and come to a decision about every payment that was left open in silence."""
        self._is_calm = True
        await self.misbehave()
        for charge in (await self.ledger()).charges:
            if charge["status"] == "processing":
                with contextlib.suppress(aiohttp.ClientResponseError):  # it has just ended by itself
                    await self._ask("POST", f"/payments/{charge['payment_id']}/settle", {"status": "confirmed"})

    async def count(self) -> None:
        """Add up how often each kind of misbehaviour happened."""
        for knob in (await self._ask("GET", "/knobs"))["knobs"]:
            name = f"{knob['effect']} {knob.get('operation') or knob.get('partner')}"
            self.hits[name] = self.hits.get(name, 0) + knob.get("hits", 0)

    @contextlib.asynccontextmanager
    async def hanging(self, partner: str) -> AsyncIterator[None]:
        """Meanwhile this partner takes requests and never answers."""
        self._hanging.append(partner)
        await self.misbehave()
        try:
            yield
        finally:
            self._hanging.remove(partner)
            await self.misbehave()

    async def say_nothing(self, customer_id: str) -> None:
        """Tell by no event how this customer's payments end."""
        await self._ask("POST", "/knobs", {"effect": "no_event", "operation": "charge", "customer_id": customer_id})

    async def stock_up(self, sku: str) -> None:
        """Make a product of which there are few."""
        await self._ask("PUT", f"/products/{sku}", {"name": sku, "prices": {"EUR": 2500}, "stock": SCARCE_STOCK})

    async def lose_holds(self, pick: float) -> int:
        """Lose the stock that is held for some orders, with and without telling; gives for how many."""
        held = [hold["order_id"] for hold in (await self.ledger()).holds if hold["state"] == "held"]
        rng = random.Random(pick)
        chosen = rng.sample(held, min(AT_ONCE, len(held)))
        for order_id in chosen:
            with contextlib.suppress(aiohttp.ClientResponseError):  # it was committed or released just now
                await self._ask("POST", f"/holds/{order_id}/{rng.choice(('expire', 'lose'))}")
        return len(chosen)

    async def say_again(self, pick: float) -> int:
        """Publish once more how some payments ended, however long ago; gives how many."""
        ended = [charge["payment_id"] for charge in (await self.ledger()).charges if charge["status"] != "processing"]
        chosen = random.Random(pick).sample(ended, min(AT_ONCE, len(ended)))
        for payment_id in chosen:
            await self._ask("POST", f"/payments/{payment_id}/announce", {"copies": 2})
        return len(chosen)

    async def ledger(self) -> Ledger:
        """The partners' books."""
        return await read_sandbox_ledger(self._session, self._url.removesuffix("/sandbox"))

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        async with self._session.request(method, self._url + path, json=body) as answer:
            answer.raise_for_status()
            return await answer.json()
