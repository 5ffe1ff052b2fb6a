"""The outermost layer: a bound on the requests under way, security headers, and the counts of what was answered.

Pure ASGI, so that it costs a request next to nothing. It knows neither callers nor orders.
"""

from __future__ import annotations

import time

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.exchange import Incoming
from api.problems import render, retry_after

REQUESTS = Counter("ordersvc_http_requests", "Requests answered", ["method", "route", "status"])
DURATION = Histogram(
    "ordersvc_http_request_seconds",
    "From a request's head to its answer's end",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
UNDER_WAY = Gauge("ordersvc_http_requests_under_way", "Requests being worked on", multiprocess_mode="livesum")

_NOSNIFF = (b"x-content-type-options", b"nosniff")
# An answer may be kept by the client it was for, and asked about by its entity tag each time before it is used.
_PRIVATE = (b"cache-control", b"private, no-cache")
_UNMATCHED = "unmatched"


class Edge:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, *, under_way_max_requests: int) -> None:
        """``under_way_max_requests``: one more is told 503 at once."""
        self._app = app
        self._max = under_way_max_requests
        self._under_way = 0
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._durations: dict[str, Histogram] = {}
        UNDER_WAY.set(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or turn it away."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def finish(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                if isinstance(headers, list):
                    headers.append(_NOSNIFF)
                    headers.append(_PRIVATE)
            await send(message)

        if self._under_way >= self._max:
            detail = f"{self._max} requests are being worked on already."
            answer = render(Incoming(scope, receive), 503, "overloaded", detail, headers=(retry_after(1.0),))
            await answer(scope, receive, finish)
        else:
            self._under_way += 1
            try:
                await self._app(scope, receive, finish)
            finally:
                self._under_way -= 1
        self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        if not status:
            return  # The client went away.
        path: str | None = getattr(scope.get("route"), "path_format", None)
        route, method = (path, scope["method"]) if path else (_UNMATCHED, _UNMATCHED)
        counter = self._counters.get((method, route, status))
        if counter is None:
            counter = self._counters[method, route, status] = REQUESTS.labels(method, route, str(status))
            self._durations[route] = DURATION.labels(route)
        counter.inc()
        self._durations[route].observe(seconds)
        UNDER_WAY.set(self._under_way)
