"""What every request passes: layers of ASGI, each of which knows nothing of orders and callers.

From outside in: ``RequestMiddleware``, ``LoadSheddingMiddleware``, ``HeaderLinesMiddleware``, ``HeadMiddleware``,
``CompressionMiddleware``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipResponder, IdentityResponder
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.load_shedding import Load
from api.http.request_state import KEY, UNMATCHED, Header, RequestState, route_of, state_of
from api.problems import Problem, ReadyProblem, response_to, retry_after

REQUESTS = Counter("ordersvc_http_requests", "Requests answered", ["method", "route", "status"])
DURATION = Histogram(
    "ordersvc_http_request_seconds",
    "From a request's head to its answer's end",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
UNDER_WAY = Gauge("ordersvc_http_requests_under_way", "Requests being worked on", multiprocess_mode="livesum")

COMPRESSED_MIN_BYTES = 4096
COMPRESSION_LEVEL = 5
NEW_ORDERS = "/api/orders"
ALWAYS_ANSWERED = ("/health/", "/metrics")  # what watches over an overloaded process is to see it

LISTS = frozenset({b"prefer", b"if-match", b"if-none-match", b"accept"})
ONCE = frozenset({b"idempotency-key", b"authorization", b"content-type"})

# An answer may be kept by the client it was for, and asked about by its entity tag each time before it is used.
_SAFE = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"private, no-cache"))

_OVERLOADED = ReadyProblem(
    Problem("overloaded", "As much is being worked on as can be done in time.", headers=(retry_after(1.0),))
)


class RequestMiddleware:
    """Begins a request's trace, adds the headers that every answer has, counts and times answers.

    An exception that nothing below foresaw is logged here and becomes a problem document.
    """

    def __init__(self, app: ASGIApp, load: Load) -> None:
        """``load``: counts the requests under way."""
        self._app = app
        self._load = load
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._durations: dict[str, Histogram] = {}
        UNDER_WAY.set(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by the layers below."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        state = scope[KEY] = RequestState(scope, self._load)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *state.response_headers, *_SAFE]
            await send(message)

        self._load.requests += 1
        try:
            try:
                await self._app(scope, receive, send_with_headers)
            except ClientDisconnect:
                return  # nothing is left to be answered
            except Exception as error:
                if status:
                    raise
                await response_to(scope, error)(scope, receive, send_with_headers)
        finally:
            self._load.requests -= 1
        self._count(scope, status, time.perf_counter() - started_s)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_of(scope)
        method = UNMATCHED if route is UNMATCHED else scope["method"]
        counter = self._counters.get((method, route, status))
        if counter is None:
            counter = self._counters[method, route, status] = REQUESTS.labels(method, route, str(status))
            self._durations[route] = DURATION.labels(route)
        counter.inc()
        self._durations[route].observe(seconds)
        UNDER_WAY.set(self._load.requests)


class LoadSheddingMiddleware:
    """Turns requests away at once where more are under way than can be done in time, new orders first."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer 503."""
        if scope["type"] == "http":
            path: str = scope["path"]
            is_new_order = path == NEW_ORDERS and scope["method"] == "POST"
            if not (state_of(scope).load.admits(is_new_order=is_new_order) or path.startswith(ALWAYS_ANSWERED)):
                await _OVERLOADED.response(scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class HeaderLinesMiddleware:
    """Makes one line of each list's lines (RFC 9110, 5.3), and refuses a header that is meant to stand once and does not.

    Which line of several counts would be a guess. Of another header that is repeated the lines stay as they are.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer 400."""
        if scope["type"] == "http" and len({name for name, _ in scope["headers"]}) < len(scope["headers"]):
            repeated = _repeated(scope["headers"])
            if repeated is not None:
                name = repeated.decode().title()
                problem = Problem("repeated_header", f"{name} is given more than once.")
                await response_to(scope, problem)(scope, receive, send)
                return
            scope["headers"] = _joined(scope["headers"])
        await self._app(scope, receive, send)


class HeadMiddleware:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a HEAD on as a GET, and leave the body of its answer away."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        scope["method"] = "GET"

        async def send_without_body(message: Message) -> None:
            scope["method"] = "HEAD"  # what sends the answer goes by it
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        await self._app(scope, receive, send_without_body)


class CompressionMiddleware:
    """Hands large answers to starlette's compression; it leaves streams alone. Small ones pass at a tenth of what that costs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an answer on, compressed where it is large and the client accepts that."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        then = send

        async def send_either_way(message: Message) -> None:
            nonlocal start, then
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None:
                if message.get("more_body", False) or len(message.get("body", b"")) >= COMPRESSED_MIN_BYTES:
                    then = _responder(scope, send).send_with_compression
                await then(start)
                start = None
            await then(message)

        await self._app(scope, receive, send_either_way)


def _responder(scope: Scope, send: Send) -> IdentityResponder:
    accepted = Headers(scope=scope).get("accept-encoding", "")
    responder = (
        GZipResponder(_unused, COMPRESSED_MIN_BYTES, compresslevel=COMPRESSION_LEVEL)
        if "gzip" in accepted
        else IdentityResponder(_unused, COMPRESSED_MIN_BYTES)
    )
    responder.send = send
    return responder


async def _unused(scope: Scope, receive: Receive, send: Send) -> None:
    """The application that a responder would call; it is handed the answer instead."""
    raise NotImplementedError


def _repeated(lines: Iterable[Header]) -> bytes | None:
    seen: set[bytes] = set()
    for name, _ in lines:
        if name in ONCE and name in seen:
            return name
        seen.add(name)
    return None


def _joined(lines: Iterable[Header]) -> list[Header]:
    joined: dict[bytes, bytes] = {}
    others: list[Header] = []
    for name, value in lines:
        if name not in LISTS:
            others.append((name, value))
        else:
            joined[name] = joined[name] + b", " + value if name in joined else value
    return [*others, *joined.items()]
