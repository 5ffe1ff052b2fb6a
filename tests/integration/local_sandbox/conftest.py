"""A sandbox of the test's own, and a small HTTP client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.local_sandbox.process import SandboxProcess


class Caller:
    """Asks the sandbox with JSON and gives status and body."""

    def __init__(self, session: aiohttp.ClientSession, sandbox: SandboxProcess) -> None:
        self._session = session
        self._sandbox = sandbox

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Make one request; ``aiohttp`` errors are the test's."""
        async with self._session.request(method, self._sandbox.url + path, json=body) as response:
            return response.status, await response.json(content_type=None)

    async def put_knobs(self, *knobs: dict[str, Any]) -> None:
        """Set these knobs and no others."""
        status, answer = await self.ask("PUT", "/sandbox/knobs", {"knobs": list(knobs)})
        assert status == 200, answer

    async def charge(self, payment_id: str, **more: Any) -> tuple[int, Any]:
        """Charge 100 euro cents for order ``o``."""
        body = {"payment_id": payment_id, "order_id": "o", "customer_id": "c-1001", "method": "card"}
        body |= {"amount": {"amount": 100, "currency": "EUR"}} | more
        return await self.ask("POST", "/payment/payments", body)

    async def hold(self, order_id: str, sku: str, *, revision: int = 1, quantity: int = 1) -> tuple[int, Any]:
        """Hold stock for a long time."""
        lines = [{"sku": sku, "quantity": quantity}]
        body = {"revision": revision, "expires_at": "2100-01-01T00:00:00Z", "lines": lines}
        return await self.ask("PUT", f"/product/holds/{order_id}", body)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox without a broker."""
    process = SandboxProcess(tmp_path)
    process.start()
    yield process
    process.stop()


@pytest.fixture
async def caller(sandbox: SandboxProcess) -> AsyncIterator[Caller]:
    """A client of ``sandbox`` that waits two seconds for an answer."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
        yield Caller(session, sandbox)
