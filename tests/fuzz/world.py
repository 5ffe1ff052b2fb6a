"""What the fuzzer's requests and events are about: orders of its own customers, so that its input meets something real.

Customers and products are apart from those of the good lives: what is said of them harms nobody else.
"""

from __future__ import annotations

import random
from typing import Any
from uuid import uuid4

import msgspec

from benchmarks.client import request_bytes
from benchmarks.tallied import Sender

CUSTOMERS = tuple(f"load-customer-{number}" for number in range(5001, 5011))
SKUS = tuple(f"load-sku-{number}" for number in range(5001, 5011))
ORDERS_MAX = 24


class World:
    """Some orders in several stages, and the ids that belong to them."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._sender: Sender | None = None
        self._token = ""
        self.orders: list[dict[str, Any]] = []
        self.made: set[str] = set()
        self.codes: list[str] = ["NONE"]
        self.letters: list[str] = ["0"]

    def use(self, sender: Sender, token: str) -> None:
        """Whom to ask, and as whom: known once the service runs."""
        self._sender = sender
        self._token = token

    async def renew(self) -> None:
        """Make another order, in some stage; the oldest is let go. What fails is made another time."""
        body = {
            "customer_id": self._rng.choice(CUSTOMERS),
            "currency": "EUR",
            "items": [{"sku": sku, "quantity": 2} for sku in self._rng.sample(SKUS, 2)],
        }
        order = await self._ask("POST", "/api/orders", body, wait_s=5)
        if order is None:
            return
        self.made.add(order["id"])
        if self._rng.random() < 0.6:
            await self._ask("POST", f"/api/orders/{order['id']}/payments", {"method": "card"}, wait_s=2)
        if self._rng.random() < 0.3:
            status = {"status": "shipped", "carrier": "SEUR", "tracking_number": "T-1"}
            await self._ask("PUT", f"/api/orders/{order['id']}/status", status)
        shown = await self._ask("GET", f"/api/orders/{order['id']}")
        self.orders = [*self.orders[-ORDERS_MAX + 1 :], shown or order]
        if self._rng.random() < 0.2:
            terms = {"code": f"F{uuid4().hex[:12]}", "kind": "percentage", "fraction": "0.1000", "combinable": True}
            if await self._ask("POST", "/api/promotions", terms):
                self.codes = [*self.codes[-9:], str(terms["code"])]
            letters = await self._ask("GET", "/api/dead-letters?limit=5")
            self.letters = [each["id"] for each in (letters or {"data": []})["data"]] or self.letters

    def ids(self) -> dict[str, str]:
        """An order and what belongs to it, by the names that parameters and fields have."""
        order = self._rng.choice(self.orders)
        found = {
            "order_id": order["id"],
            "item_id": self._rng.choice(order["items"])["id"],
            "customer_id": order["customer"]["id"] or CUSTOMERS[0],
            "code": self._rng.choice(self.codes),
            "letter_id": self._rng.choice(self.letters),
            "sku": self._rng.choice(SKUS),
            "subject": order["id"],
        }
        if order["payments"]:
            found["payment_id"] = found["subject"] = self._rng.choice(order["payments"])["payment_id"]
        if order["shipments"]:
            found["shipment_id"] = self._rng.choice(order["shipments"])["shipment_id"]
        return {name: self._in_some_case(value) for name, value in found.items()}

    def _in_some_case(self, text: str) -> str:
        return text.upper() if len(text) == 36 and self._rng.random() < 0.2 else text

    async def _ask(self, method: str, target: str, body: Any = None, wait_s: int = 0) -> Any:
        headers = [("idempotency-key", uuid4().hex)]
        if wait_s:
            headers.append(("prefer", f"wait={wait_s}"))
        data = b"" if body is None else msgspec.json.encode(body)
        assert self._sender is not None
        answer = await self._sender.send(
            request_bytes(method, target, token=self._token, body=data, headers=tuple(headers))
        )
        return msgspec.json.decode(answer.body) if 200 <= answer.status < 300 and answer.body else None
