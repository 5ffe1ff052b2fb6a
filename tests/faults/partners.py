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
    {"effect": "silence", "operation": "refund", "probability": 0.02},
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

# The share of all requests that something in between answers instead of the partner, and of these, those that were done all the same.
PAGES_SHARE = 0.15
DONE_ALL_THE_SAME = 1 / 3
PAGES: tuple[dict[str, Any], ...] = (
    {"status": 404},
    {"status": 403},
    {"status": 400},
    {"status": 410},
    {"status": 502},
    {"status": 302, "content": "redirect"},
    {"status": 200},
    {"status": 200, "content": "json"},
    {"status": 200, "content": "empty"},
    {"status": 404, "content": "json"},
    {"status": 404, "content": "problem"},
    {"status": 409, "content": "problem"},
    {"status": 422, "content": "json"},
)


def pages(share: float) -> list[dict[str, Any]]:
    """Knobs for pages of every kind at that share of all requests to all partners, whatever else goes wrong."""
    not_done = share * (1 - DONE_ALL_THE_SAME)
    done = share * DONE_ALL_THE_SAME / (1 - not_done)
    return [
        {"effect": effect, **page, "probability": 1 - (1 - chance) ** (1 / len(PAGES))}
        for effect, chance in (("page", not_done), ("do_and_page", done))
        for page in PAGES
    ]


class Partners:
    """The sandbox at ``url``; ``pages_share`` of its answers are pages. Methods raise ``aiohttp.ClientError`` while it is away."""

    def __init__(self, url: str, session: aiohttp.ClientSession, *, pages_share: float = 0.0) -> None:
        self._always = [*ALWAYS, *pages(pages_share)]
        self._url = f"{url}/sandbox"
        self._session = session
        self._hanging: list[str] = []
        self._is_calm = False
        self.hits: dict[str, int] = {}

    async def misbehave(self) -> None:
        """Set the knobs as they should be now, counting what the ones before have done."""
        hanging = [{"effect": "hang", "partner": partner} for partner in self._hanging]
        knobs = hanging if self._is_calm else [*hanging, *self._always]
        await self.count()
        await self._ask("PUT", "/knobs", {"knobs": knobs})

    async def calm(self) -> None:
        """Behave from now on, and come to a decision about every other payment that was left open in silence.

        Of the rest nobody says anything until staff ask: see ``decide``.
        """
        self._is_calm = True
        await self.misbehave()
        silent = [charge["payment_id"] for charge in (await self.ledger()).charges if charge["status"] == "processing"]
        for payment_id in silent[::2]:
            await self._settle(f"/payments/{payment_id}", {"status": "confirmed"})

    async def decide(self, payment_id: str) -> Any:
        """Staff ask by telephone what became of a payment: its entry in the book. It is decided now where it was not, in silence."""
        await self._settle(f"/payments/{payment_id}", {"status": "confirmed", "copies": 0})
        return next((each for each in (await self.ledger()).charges if each["payment_id"] == payment_id), None)

    async def decide_refund(self, refund_id: str) -> Any:
        """The same of a refund."""
        await self._settle(f"/refunds/{refund_id}", {})
        return next((each for each in (await self.ledger()).refunds if each["refund_id"] == refund_id), None)

    async def _settle(self, path: str, how: dict[str, Any]) -> None:
        with contextlib.suppress(aiohttp.ClientResponseError):  # it had ended, or was never known
            await self._ask("POST", f"{path}/settle", how)

    async def count(self) -> None:
        """Add up how often each kind of misbehaviour happened."""
        for knob in (await self._ask("GET", "/knobs"))["knobs"]:
            name = f"{knob['effect']} {knob.get('operation') or knob.get('partner') or knob.get('status')}"
            self.hits[name] = self.hits.get(name, 0) + knob.get("hits", 0)

    @property
    def hanging_now(self) -> tuple[str, ...]:
        """The partners that are to answer nothing."""
        return tuple(self._hanging)

    @contextlib.asynccontextmanager
    async def hanging(self, partner: str) -> AsyncIterator[None]:
        """Meanwhile this partner takes requests and never answers."""
        self._hanging.append(partner)
        try:
            await self.misbehave()
            yield
        finally:
            self._hanging.remove(partner)
            await self.misbehave()

    async def say_nothing(self, customer_id: str) -> None:
        """Tell by no event how this customer's payments end."""
        await self._ask("POST", "/knobs", {"effect": "no_event", "operation": "charge", "customer_id": customer_id})

    async def show_page(self, customer_id: str) -> None:
        """Something in between answers 404, once, when UserSvc is asked for this customer."""
        page = {"effect": "page", "operation": "get_customer", "customer_id": customer_id, "times": 1}
        await self._ask("POST", "/knobs", page)

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
