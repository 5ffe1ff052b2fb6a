"""The sandbox's HTTP: three partners below ``/product``, ``/payment`` and ``/user``, and ``/sandbox`` to steer it.

Written for load: no framework's routing, no middleware, no access log. What misbehaves about a connection (late, cut,
never answered) happens here.
"""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from local.sandbox.control import Control
from local.sandbox.emulator import PartnerEmulator
from local.sandbox.injected_faults import AFTER, BEFORE, NO_EFFECTS, InjectedFault
from local.sandbox.intermediary_pages import page
from local.sandbox.responses import EmulatedResponse, not_found, problem

REQUEST_LINE_MAX_BYTES: Final = 65_536  # 200 skus fit
HANG_MAX_S: Final = 120.0
PROBLEM_FROM: Final = 400
RETRY_AFTER_STATUS: Final = 429

# (partner, resource, method, number of parts after the resource, verb): operation
ROUTES: Final = {
    ("product", "products", "GET", 0, ""): "list_products",
    ("product", "holds", "GET", 0, ""): "list_holds",
    ("product", "holds", "PUT", 1, ""): "put_hold",
    ("product", "holds", "GET", 1, ""): "get_hold",
    ("product", "holds", "DELETE", 1, ""): "delete_hold",
    ("product", "holds", "POST", 2, "commit"): "commit_hold",
    ("payment", "payments", "POST", 0, ""): "charge",
    ("payment", "payments", "GET", 0, ""): "list_payments",
    ("payment", "payments", "GET", 1, ""): "get_payment",
    ("payment", "refunds", "POST", 0, ""): "refund",
    ("payment", "refunds", "GET", 0, ""): "list_refunds",
    ("payment", "refunds", "GET", 1, ""): "get_refund",
    ("user", "customers", "GET", 1, ""): "get_customer",
}


class SandboxServer:
    """A listening server around one emulator."""

    def __init__(self, emulator: PartnerEmulator) -> None:
        self._emulator = emulator
        self._control = Control(emulator)
        self._server = web.Server(
            self._handle, access_log=None, handler_cancellation=True, max_line_size=REQUEST_LINE_MAX_BYTES
        )
        self._listener: asyncio.Server | None = None

    async def start(self, port: int) -> int:
        """Listen on loopback; ``port`` 0 takes a free one. Gives the port."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, "127.0.0.1", port, backlog=1024)
        self._emulator.events.start()
        self._emulator.start()
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening, cut what is under way, publish what waits."""
        if self._listener is not None:
            self._listener.close()
        await self._server.shutdown(timeout=1.0)
        await self._emulator.events.stop()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.path_qs.partition("?")
        parts = path.split("/")[1:]
        if parts[0] == "sandbox":
            return _response(self._control.handle(request.method, parts[1:], query, await request.read()))
        subject = unquote(parts[2]) if len(parts) > 2 else ""  # noqa: PLR2004 - /partner/resource/subject/verb
        verb = parts[3] if len(parts) > 3 else ""  # noqa: PLR2004 - see above
        resource = parts[1] if len(parts) > 1 else ""
        operation = ROUTES.get((parts[0], resource, request.method, len(parts) - 2, verb))
        if operation is None:
            return _response(not_found("resource"))
        body = await request.read()
        counts = self._emulator.requests
        counts[operation] = counts.get(operation, 0) + 1
        effects = self._effects(operation, subject, query, body)
        if not effects:
            return _response(await self._emulator.perform(operation, subject, query, body, NO_EFFECTS))
        return await self._misbehave(request, operation, subject, query, body, effects)

    def _effects(self, operation: str, subject: str, query: str, body: bytes) -> dict[str, InjectedFault]:
        """An injected fault wins over what a token says; an effect that ends the connection is one only."""
        of_token = self._emulator.token_effects(body) if operation == "charge" else NO_EFFECTS
        if not self._emulator.faults:
            return of_token
        return of_token | self._emulator.faults.effects(self._emulator.facts(operation, subject, query, body))

    async def _misbehave(
        self,
        request: web.BaseRequest,
        operation: str,
        subject: str,
        query: str,
        body: bytes,
        effects: dict[str, InjectedFault],
    ) -> web.StreamResponse:
        if delay := effects.get("delay"):
            await asyncio.sleep(delay.delay(0) / 1000)
        for effect in BEFORE & effects.keys():
            return await _end(request, effect, effects[effect])
        answer = await self._emulator.perform(operation, subject, query, body, effects)
        for effect in AFTER & effects.keys():
            return await _end(request, effect.removeprefix("do_and_"), effects[effect])
        return _response(answer)


async def _end(request: web.BaseRequest, effect: str, fault: InjectedFault) -> web.StreamResponse:
    """End a request badly."""
    if effect == "throttle":
        answer = problem(RETRY_AFTER_STATUS, "throttled")
        return _response(EmulatedResponse(answer.status, answer.body, fault.retry_after_s))
    if effect == "fail":
        return _response(problem(fault.fail_status, fault.code or "sandbox_fault"))
    if effect == "page":
        return page(fault)
    if effect == "garbage":
        return web.Response(body=b"<html>certainly not JSON", content_type="text/html")
    if effect == "hang":
        await asyncio.sleep(HANG_MAX_S)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _response(answer: EmulatedResponse) -> web.Response:
    content_type = "application/problem+json" if answer.status >= PROBLEM_FROM else "application/json"
    response = web.Response(body=answer.body, status=answer.status, content_type=content_type)
    if answer.retry_after_s is not None:
        response.headers["Retry-After"] = str(answer.retry_after_s)
    return response
