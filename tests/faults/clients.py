"""Seeded clients: each lives through one order after another, as shoppers and staff do, and a little carelessly.

They repeat keys, use keys for something else, read their own writes, pay in parts, cancel in the middle of a payment, leave
orders unpaid, want the last units, and sometimes give up where the outcome is unknown. What they do follows from the seed and
from what they are told.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.faults.asking import Answer, Asker, Request
from tests.faults.history import Wish

REACH_LIMIT_S = 40.0
LAST_WAIT_S = 4.0
POLL_FIRST_S = 0.05
POLL_MAX_S = 1.0
ORDERS_A_CUSTOMER = 60
CROWD = 250
FINAL = ("cancelled", "delivered")
# How likely each life is; the names are those of the methods below.
LIVES = {
    "buy": 10,
    "edit_and_buy": 5,
    "cancel": 4,
    "cancel_while_paying": 3,
    "abandon": 2,
    "want_the_last": 2,
    "share": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What the clients order: skus there is plenty of, those of which there are few, and orders that several clients edit."""

    plenty: Sequence[str]
    scarce: Sequence[str]
    customers: str = "load-customer-"
    shared: list[str] = field(default_factory=list)


class Client:
    """Client number ``number`` of a run with ``seed``. ``patience``: how likely it asks again where it does not know."""

    patience = 0.97

    def __init__(
        self, number: int, seed: int, asker: Asker, catalog: Catalog, *, tag: str = "", customer: str | None = None
    ) -> None:
        """``customer``: for whom it orders, always; else for some that are its own, one after another."""
        self._customer_always = customer
        self._number = number
        self._asker = asker
        self._catalog = catalog
        self._rng = random.Random(f"{seed}/{number}")
        self._tag = tag or f"{seed}-{number}"
        self._keys = 0
        self._lives = 0
        self._until_s = float("inf")
        self._stop_s = float("inf")

    async def live(self, until_s: float) -> None:
        """Begin lives until the monotonic time ``until_s``; what the last one waits for then is not awaited much longer."""
        self._until_s = until_s
        self._stop_s = until_s + LAST_WAIT_S
        while time.monotonic() < self._until_s:
            self._lives += 1
            life = self._rng.choices(list(LIVES), weights=list(LIVES.values()))[0]
            await getattr(self, life)()

    def stop(self) -> None:
        """Begin no further life; what the last one waits for is not awaited much longer."""
        self._until_s = time.monotonic()
        self._stop_s = self._until_s + LAST_WAIT_S

    # Lives.

    async def buy(self, edits: int = 0) -> None:
        """Create, pay (perhaps in parts, perhaps rejected at first), ship (perhaps in parcels), deliver."""
        order = await self._create()
        for _ in range(edits):
            if order is not None:
                order = await self._edit(order) or order
        if order is None or not await self._pay(order["id"]):
            return
        order = await self._reach(order["id"], "prepared")
        if order is not None and order["status"] == "prepared":
            await self._send_off(order)

    async def edit_and_buy(self) -> None:
        """Change lines once or twice before buying."""
        await self.buy(self._rng.randint(1, 3))

    async def cancel(self) -> None:
        """Cancel at some point before shipping."""
        order = await self._create()
        if order is None:
            return
        if self._rng.random() < 0.6 and await self._pay(order["id"]):
            await self._reach(order["id"], "prepared")
        await self._cancel(order["id"])

    async def cancel_while_paying(self) -> None:
        """Cancel right after paying was asked for, so that the money arrives in the middle of it, or after."""
        order = await self._create()
        if order is None:
            return
        await self._reach(order["id"], "validated")
        await self._change(order["id"], "POST", "/payments", {"method": "card"}, Wish("pay"))
        await self._cancel(order["id"])

    async def abandon(self) -> None:
        """Leave an order unpaid, or with a rejected payment, to expire."""
        order = await self._create()
        if order is not None and self._rng.random() < 0.3:
            await self._reach(order["id"], "validated")
            declined = {"method": "card", "token": "tok_declined"}
            await self._change(order["id"], "POST", "/payments", declined, Wish("pay"))

    async def want_the_last(self) -> None:
        """Buy what others want as well, and there is not enough of."""
        order = await self._create({self._rng.choice(self._catalog.scarce): self._rng.randint(1, 2)})
        if order is not None and await self._pay(order["id"]):
            ready = await self._reach(order["id"], "prepared")
            if ready is not None and ready["status"] == "prepared" and self._rng.random() < 0.7:
                await self._send_off(ready)

    async def share(self) -> None:
        """Put lines into an order together with others, then leave it to expire, or cancel it."""
        if len(self._catalog.shared) < 2:
            order = await self._create()
            if order is not None:
                self._catalog.shared.append(order["id"])
        for order_id in list(self._catalog.shared):
            sku = f"load-sku-{1000 + self._number * 1000 + self._lives}"
            answer = await self._change(
                order_id, "POST", "/items", {"sku": sku, "quantity": 1}, Wish("add", {sku: 1}), patience=1.0
            )
            if not answer.is_done and order_id in self._catalog.shared:
                self._catalog.shared.remove(order_id)

    async def crowd(self, pick: float) -> str:
        """Ask for one order from many places at once; says what they were told. ``pick`` chooses what is wanted."""
        order = await self._create()
        if order is None:
            return "no order"
        sku = self._catalog.plenty[int(pick * len(self._catalog.plenty))]
        request = Request(
            wish=Wish("add", {sku: 1}),
            method="POST",
            path=f"/api/orders/{order['id']}/items",
            body={"sku": sku, "quantity": 1},
            order_id=order["id"],
        )
        asked = (self._asker.ask(replace(request, key=self._key())) for _ in range(CROWD))
        answers = await asyncio.gather(*asked)
        return str(dict(Counter(answer.told.status for answer in answers)))

    # Steps.

    async def _create(self, lines: dict[str, int] | None = None) -> Any:
        rng = self._rng
        wanted = lines or {sku: rng.randint(1, 3) for sku in rng.sample(self._catalog.plenty, rng.randint(1, 3))}
        key = self._key()
        body = {
            "customer_id": self._customer,
            "currency": "EUR",
            "items": [{"sku": sku, "quantity": quantity} for sku, quantity in wanted.items()],
            "metadata": {"ref": key},
        }
        wait_s = rng.choice((0, 5))
        request = Request(
            wish=Wish("create", wanted, waits=wait_s > 0),
            method="POST",
            path="/api/orders",
            body=body,
            key=key,
            customer_id=self._customer,
            prefer_wait_s=wait_s,
        )
        answer = await self._asker.insist(request, rng, patience=self.patience)
        if not answer.is_done:
            return None
        if rng.random() < 0.05:
            await self._asker.ask(request)
        if rng.random() < 0.03:
            other = {**body, "metadata": {"ref": f"{key}-other"}}
            await self._asker.ask(
                Request(wish=Wish("create"), method="POST", path="/api/orders", body=other, key=key, is_reuse=True)
            )
        if rng.random() < 0.3:
            await self._show(answer.document["id"])
        if rng.random() < 0.08:
            await self._list()
        return answer.document

    async def _edit(self, order: Any) -> Any:
        rng = self._rng
        order_id, items = order["id"], order["items"]
        lone = [item for item in items if sum(each["sku"] == item["sku"] for each in items) == 1]
        if len(lone) > 1 and rng.random() < 0.3:
            gone = rng.choice(lone)
            wish = Wish("remove", {gone["sku"]: 0})
            answer = await self._change(order_id, "DELETE", f"/items/{gone['id']}", None, wish)
        elif lone and rng.random() < 0.5:
            one, quantity = rng.choice(lone), rng.randint(1, 5)
            wish = Wish("quantity", {one["sku"]: quantity})
            path = f"/items/{one['id']}/quantity"
            answer = await self._change(order_id, "PUT", path, {"quantity": quantity}, wish)
        else:
            sku = rng.choice([sku for sku in self._catalog.plenty if sku not in {item["sku"] for item in items}])
            wish = Wish("add", {sku: 2})
            answer = await self._change(order_id, "POST", "/items", {"sku": sku, "quantity": 2}, wish)
        return answer.document if answer.is_done else await self._show(order_id)

    async def _pay(self, order_id: str) -> bool:
        """Pay until all is paid; a rejected payment is tried again. False when the order can't be paid any more."""
        rng = self._rng
        order = await self._reach(order_id, "validated")
        for _ in range(6):
            if order is None or order["status"] != "validated":
                return order is not None and order["status"] in ("paid", "confirmed", "prepared")
            balance = order["totals"]["balance"]
            part = balance // 2 if balance > 200 and rng.random() < 0.15 else None
            body = {"method": rng.choice(("card", "transfer", "wallet"))} | ({"amount": part} if part else {})
            await self._change(order_id, "POST", "/payments", body, Wish("pay"), wait_s=rng.choice((0, 5)))
            order = await self._settled(order_id)
        return False

    async def _settled(self, order_id: str) -> Any:
        """The order once no payment of it is in flight."""
        stop_s = min(time.monotonic() + REACH_LIMIT_S, self._stop_s)
        pause_s = POLL_FIRST_S
        while time.monotonic() < stop_s:
            order = await self._show(order_id)
            if order is not None and order["payment_status"] not in ("pending", "in_doubt"):
                return order
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, POLL_MAX_S)
        return None

    async def _send_off(self, order: Any) -> None:
        path = f"/api/orders/{order['id']}/status"
        parcel = {"status": "shipped", "carrier": "SEUR", "tracking_number": self._key()}
        first = order["items"][0]
        if len(order["items"]) > 1 and self._rng.random() < 0.3:
            lines = [{"item_id": first["id"], "quantity": first["quantity"]}]
            await self._change_at(path, order["id"], "PUT", parcel | {"lines": lines}, Wish("ship"))
        await self._change_at(path, order["id"], "PUT", parcel, Wish("ship"))
        if self._rng.random() < 0.9:
            await self._change_at(path, order["id"], "PUT", {"status": "delivered"}, Wish("deliver"))

    async def _cancel(self, order_id: str) -> None:
        await self._change(order_id, "DELETE", "", None, Wish("cancel"))

    async def _change(
        self,
        order_id: str,
        method: str,
        below: str,
        body: Any,
        wish: Wish,
        *,
        patience: float | None = None,
        wait_s: int = 0,
    ) -> Answer:
        path = f"/api/orders/{order_id}{below}"
        return await self._change_at(path, order_id, method, body, wish, patience=patience, wait_s=wait_s)

    async def _change_at(
        self,
        path: str,
        order_id: str,
        method: str,
        body: Any,
        wish: Wish,
        *,
        patience: float | None = None,
        wait_s: int = 0,
    ) -> Answer:
        request = Request(
            wish=Wish(wish.action, wish.lines, waits=wait_s > 0),
            method=method,
            path=path,
            body=body,
            key=self._key(),
            order_id=order_id,
            prefer_wait_s=wait_s,
        )
        answer = await self._asker.insist(request, self._rng, patience=patience or self.patience)
        if answer.is_done and self._rng.random() < 0.05:
            await self._asker.ask(request)
        if answer.is_done and self._rng.random() < 0.2:
            await self._show(order_id)
        return answer

    async def _show(self, order_id: str) -> Any:
        answer = await self._asker.ask(
            Request(wish=Wish("show"), method="GET", path=f"/api/orders/{order_id}", order_id=order_id)
        )
        return answer.document if answer.is_done else None

    async def _list(self) -> None:
        path = f"/api/customers/{self._customer}/orders?limit=200"
        await self._asker.ask(Request(wish=Wish("list"), method="GET", path=path, customer_id=self._customer))

    async def _reach(self, order_id: str, status: str) -> Any:
        """The order once it has that status or a final one; None at the limit."""
        stop_s = min(time.monotonic() + REACH_LIMIT_S, self._stop_s)
        pause_s = POLL_FIRST_S
        while time.monotonic() < stop_s:
            order = await self._show(order_id)
            if order is not None and order["status"] in (status, *FINAL):
                return order
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, POLL_MAX_S)
        return None

    @property
    def _customer(self) -> str:
        return (
            self._customer_always
            or f"{self._catalog.customers}{self._number * 1000 + self._lives // ORDERS_A_CUSTOMER}"
        )

    def _key(self) -> str:
        self._keys += 1
        return f"{self._tag}-{self._keys}"
