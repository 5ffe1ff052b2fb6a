"""A customer at the front door: whole lives of orders over REST, a request after the other, as the contract has them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from uuid import uuid4

import msgspec

from benchmarks.client import BROKEN, Response, request_bytes
from benchmarks.load import Job
from benchmarks.tallied import Sender
from benchmarks.traffic import create_body, create_request

WAIT_S = 10
REFUSALS_MAX = 50
# Some 40 s in all. Of lives that get stuck, thousands at once look again: once a second each, that alone is twice what the machine
# can carry. Who has been told after ten seconds that the payment takes longer does not look twenty times in the next.
PREPARED_POLL_MAX_S = 10.0
PREPARED_POLL_GROWTH = 2.0
PREPARED_POLL_FIRST_S = {201: 0.05, 202: 5.0}
PREPARED_TRIES_MAX = {201: 12, 202: 5}
PAYMENT = b'{"method":"card","token":"tok_visa"}'
SHIPPED = b'{"status":"shipped","carrier":"Correos","tracking_number":"PQ4F6P"}'
DELIVERED = b'{"status":"delivered"}'
AFTER_PREPARED = ("prepared", "shipped", "delivered", "cancelled", "cancelling")


class Shop:
    """Requests to one service with one token. ``tag`` keeps the idempotency keys of runs apart."""

    def __init__(
        self, client: Sender, token: str, tag: str | None = None, *, body_of: Callable[[int], bytes] = create_body
    ) -> None:
        """``body_of`` writes the ``index``-th creation where the caller does not."""
        self._client = client
        self._token = token
        self._tag = tag or uuid4().hex
        self._body_of = body_of
        self.refusals: Counter[str] = Counter()

    async def create(self, index: int, *, wait_s: int = 0, body: bytes | None = None) -> Response:
        """Create the ``index``-th order of this run."""
        wanted = body or self._body_of(index)
        return await self._client.send(create_request(self._token, index, self._tag, wait_s=wait_s, body=wanted))

    async def get(self, target: str) -> Response:
        """Read something."""
        return await self._client.send(request_bytes("GET", target, token=self._token))

    async def pay(self, order_id: str, *, wait_s: int = WAIT_S) -> Response:
        """Pay the balance."""
        return await self._change("POST", f"/api/orders/{order_id}/payments", PAYMENT, wait_s)

    async def set_status(self, order_id: str, body: bytes) -> Response:
        """Ship or deliver."""
        return await self._change("PUT", f"/api/orders/{order_id}/status", body, 0)

    async def life(self, index: int) -> str:
        """Take one order from creation to delivery; ``life`` when it got there, else nothing."""
        created = await self.create(index, wait_s=WAIT_S)
        if created.status != 201:
            return self._refused("create", created)
        order_id = order_id_of(created)
        paid = await self.pay(order_id)
        if paid.status not in {201, 202}:
            return self._refused("pay", paid)
        if (shown := await self._until_prepared(order_id, paid.status)) is not None:
            return self._refused("prepared", shown)
        for body in (SHIPPED, DELIVERED):
            changed = await self.set_status(order_id, body)
            if changed.status != 200:
                return self._refused("status", changed)
        return "life"

    def life_from(self, first: int) -> Job:
        """Give the job of living lives whose numbers begin at ``first``, so that rounds never meet."""

        async def life(index: int) -> str:
            return await self.life(first + index)

        return life

    def _refused(self, step: str, response: Response) -> str:
        """Note what went wrong, for whoever reads the report: the step, the status, and the start of the body."""
        if len(self.refusals) < REFUSALS_MAX:
            self.refusals[f"{step}: {response.status} {response.body[:120].decode(errors='replace')}"] += 1
        return ""

    async def _until_prepared(self, order_id: str, paid: int) -> Response | None:
        """Look again, ever more seldom, until the order is prepared; the last answer when it does not get there.

        ``paid``: how the payment was answered.
        """
        shown = BROKEN
        wait_s = PREPARED_POLL_FIRST_S[paid]
        for _ in range(PREPARED_TRIES_MAX[paid]):
            shown = await self.get(f"/api/orders/{order_id}")
            if shown.status == 200 and msgspec.json.decode(shown.body)["status"] in AFTER_PREPARED:
                return None
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * PREPARED_POLL_GROWTH, PREPARED_POLL_MAX_S)
        return shown

    async def _change(self, method: str, target: str, body: bytes, wait_s: int) -> Response:
        headers = [("idempotency-key", uuid4().hex)]
        if wait_s:
            headers.append(("prefer", f"wait={wait_s}"))
        return await self._client.send(
            request_bytes(method, target, token=self._token, body=body, headers=tuple(headers))
        )


def order_id_of(response: Response) -> str:
    """Take the order's id from the ``Location`` of its creation."""
    return response.headers["location"].rsplit("/", 1)[1]
