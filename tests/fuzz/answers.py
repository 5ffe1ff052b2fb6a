"""A proxy in front of the partner sandbox that puts values at the edge into answers about the fuzzer's own orders and products."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import unquote

import aiohttp
import msgspec
from aiohttp import web

from partners import shapes
from tests.fuzz.edges import Edges, Raw, write
from tests.fuzz.findings import Findings
from tests.fuzz.world import CUSTOMERS, SKUS, World

SPOILT_SHARE = 0.5
SHAPES = {
    "products": shapes.ProductsShape,
    "holds": shapes.HoldShape,
    "payments": shapes.PaymentShape,
    "refunds": shapes.RefundShape,
    "customers": shapes.CustomerShape,
}
STATUSES = (200, 201, 204, 302, 400, 401, 403, 404, 409, 410, 418, 422, 429, 500, 503)
TYPES = ("application/json", "application/problem+json", "text/html", "application/json; charset=latin-1", "", "x")


class Answers:
    """Listens on loopback; ``upstream`` is the sandbox, told once it runs."""

    def __init__(self, rng: random.Random, world: World, findings: Findings) -> None:
        self._rng = rng
        self._world = world
        self._findings = findings
        self._server = web.Server(self._handle, access_log=None, max_line_size=65_536)
        self._edges: dict[str, tuple[Edges, Any]] = {}
        for resource, shape in SHAPES.items():
            schema = msgspec.json.schema(shape)
            self._edges[resource] = (Edges(rng, schema), schema)
        self._session: aiohttp.ClientSession | None = None
        self.upstream = ""
        self.is_honest = False

    async def start(self, port: int) -> None:
        """Listen."""
        import asyncio  # noqa: PLC0415

        self._session = aiohttp.ClientSession(auto_decompress=False)
        await asyncio.get_running_loop().create_server(self._server, "127.0.0.1", port)

    async def stop(self) -> None:
        """End it."""
        await self._server.shutdown(1.0)
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if not self.upstream or self._session is None:
            return web.Response(status=503)
        try:
            async with self._session.request(
                request.method, self.upstream + request.path_qs, data=body, headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as answer:  # fmt: skip
                content, status = await answer.read(), answer.status
                kind = answer.headers.get("Content-Type", "application/json")
        except aiohttp.ClientError:
            return web.Response(status=502)
        parts = request.path.split("/")
        if self.is_honest or self._rng.random() >= SPOILT_SHARE or not self._is_ours(request.path_qs, body):
            return web.Response(body=content, status=status, headers={"Content-Type": kind})
        self._findings.answers["partners' answers spoilt"] += 1
        return self._spoilt(parts[2] if len(parts) > 2 else "", status, content, kind)

    def _is_ours(self, target: str, body: bytes) -> bool:
        """Whether an exchange is about the fuzzer's own; nobody else's answers are touched."""
        text = unquote(target).lower() + body.decode("utf-8", "replace").lower()
        return any(name in text for name in (*CUSTOMERS, *SKUS)) or any(made in text for made in self._world.made)

    def _spoilt(self, resource: str, status: int, content: bytes, kind: str) -> web.Response:
        how = self._rng.random()
        try:
            value = json.loads(content)
        except ValueError:
            value = {}
        if how < 0.7 and resource in self._edges and status < 300:
            edges, schema = self._edges[resource]
            value = edges.spoilt(schema, value)
        elif how < 0.8:
            value = Raw(
                self._rng.choice(
                    ("", "null", "[]", "{", "[" * 5000, '{"code": "\\ud800"}', '{"code": 7}', '{"code": ""}')
                )
            )
        elif how < 0.9:
            status = self._rng.choice(STATUSES)
        else:
            kind = self._rng.choice(TYPES)
        data = write(value).encode("utf-8", "surrogatepass")
        return web.Response(body=b"" if status == 204 else data, status=status, headers={"Content-Type": kind})
