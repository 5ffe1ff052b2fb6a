"""The whole service in one process and one event loop, so that the way of a message through its functions can be seen.

The processes are the real ones, with real servers and the partner sandbox; only Ray, which would put each of them into a process of
its own, is not there.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Self
from uuid import uuid4

import aio_pika
import asyncpg
import httpx

from actors.processes.bulkhead import Bulkhead
from actors.processes.event_bridge import EventBridge
from actors.processes.order_shard import OrderShard
from actors.processes.process import Process
from api.composition import service
from local.tokens import make_token
from messaging import topology
from settings import settings_of_process
from tests.acceptance.started import ROOT
from tests.integration.actors.hosting import until

PRODUCT = ("actors", "api", "domain", "messaging", "partners", "sagas", "storage")
JWT_KEY = "k" * 32
Step = tuple[str, str]
"""A function: its file, from the project's root, and its name in it."""


class Trace:
    """The product's functions in the order in which they were called, while ``recording``.

    Only what has a name counts: no lambdas, no comprehensions, no special methods.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._known: dict[CodeType, Step | None] = {}

    @contextlib.contextmanager
    def recording(self) -> Iterator[Self]:
        """Forget what was recorded, and record."""
        self.steps.clear()
        sys.setprofile(self._on_event)
        try:
            yield self
        finally:
            sys.setprofile(None)

    def _on_event(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and (step := self._step_of(frame.f_code)) is not None:
            self.steps.append(step)

    def _step_of(self, code: CodeType) -> Step | None:
        if code not in self._known:
            file = Path(code.co_filename)
            inside = file.relative_to(ROOT).parts if file.is_relative_to(ROOT) else ("",)
            name = code.co_qualname.replace("<locals>.", "")
            is_named = "<" not in name and not code.co_name.startswith("__")
            self._known[code] = ("/".join(inside), name) if inside[0] in PRODUCT and is_named else None
        return self._known[code]


class Whole:
    """The service. Its settings come from the environment."""

    def __init__(self, client: httpx.AsyncClient, sql: asyncpg.Connection[asyncpg.Record], amqp_url: str) -> None:
        self._client = client
        self._sql = sql
        self._amqp_url = amqp_url

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, database_url: str, amqp_url: str) -> AsyncIterator[Self]:
        """Start everything; end it afterwards."""
        kinds: dict[str, type[Process]] = {
            "order-shard-0": OrderShard,
            "bulkhead-product": Bulkhead,
            "bulkhead-payment": Bulkhead,
            "bulkhead-user": Bulkhead,
            "event-bridge": EventBridge,
        }
        headers = {"Authorization": f"Bearer {make_token(JWT_KEY, scope='admin')}", "Host": "localhost"}
        async with contextlib.AsyncExitStack() as stack:
            for name, kind in kinds.items():
                process = kind(name, settings_of_process())
                await process.start()
                stack.push_async_callback(process.stop)
            app = service()
            await stack.enter_async_context(app.router.lifespan_context(app))
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://localhost", headers=headers, timeout=30
            )
            await stack.enter_async_context(client)
            sql = await asyncpg.connect(database_url)
            stack.push_async_callback(sql.close)
            yield cls(client, sql, amqp_url)

    async def post(self, path: str, body: object, **headers: str) -> Any:
        """Send a command under a new key, and give what was answered."""
        answer = await self._client.post(path, json=body, headers={"Idempotency-Key": str(uuid4()), **headers})
        assert answer.is_success, answer.text
        return answer.json()

    async def create(self) -> str:
        """Give the id of a new order."""
        items = [{"sku": "sku-coffee", "quantity": 2}]
        order = await self.post("/api/orders", {"customer_id": "c-1001", "currency": "EUR", "items": items})
        return str(order["id"])

    async def status(self, order_id: str, status: str) -> None:
        """Return once the order has this status in the database; the trace sees nothing of the looks."""

        async def is_so() -> bool:
            found: str = await self._sql.fetchval("select status from orders where id = $1::uuid", order_id)
            return found == status

        await until(is_so)

    async def confirm(self, order_id: str, payment: dict[str, Any]) -> None:
        """Publish ``PagoConfirmado`` as PaymentSvc does."""
        data = {
            "payment_id": payment["payment_id"],
            "order_id": order_id,
            "amount": {"amount": payment["amount"], "currency": "EUR"},
        }
        event = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": "/paymentsvc",
            "type": "PagoConfirmado",
            "time": "2026-01-01T00:00:00Z",
            "datacontenttype": "application/json",
            "data": data,
        }
        async with await aio_pika.connect(self._amqp_url) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(topology.CONSUMED["PagoConfirmado"])
            await exchange.publish(aio_pika.Message(json.dumps(event).encode()), "PagoConfirmado")
