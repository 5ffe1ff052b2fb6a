"""The outermost layer: from a request to its answer, whatever happens on the way.

It finds the handler, bounds the requests under way, turns what is raised into problem documents, adds security headers, and
counts what was answered. It knows neither callers nor orders.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import Receive, Scope, Send

from api.exchange import NO_PARAMS, UNMATCHED, ClientGoneError, Incoming
from api.load import Load
from api.operations import Route
from api.paths import Paths
from api.problems import Problem, ReadyProblem, answer_to, retry_after

REQUESTS = Counter("ordersvc_http_requests", "Requests answered", ["method", "route", "status"])
DURATION = Histogram(
    "ordersvc_http_request_seconds",
    "From a request's head to its answer's end",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
UNDER_WAY = Gauge("ordersvc_http_requests_under_way", "Requests being worked on", multiprocess_mode="livesum")

NEW_ORDERS = "/api/orders"
WATCHED = ("/health/", "/metrics")  # whoever watches over an overloaded process is to see it, not to be turned away

# An answer may be kept by the client it was for, and asked about by its entity tag each time before it is used.
_SAFE = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"private, no-cache"))

_OVERLOADED = ReadyProblem(
    Problem("overloaded", "As much is being worked on as can be done in time.", headers=(retry_after(1.0),))
)


class Edge:
    """Answers the requests of a table of routes."""

    def __init__(self, routes: Iterable[Route], *, under_way_max_requests: int) -> None:
        """``under_way_max_requests``: see ``load.py``; one more is told 503 at once, unless it asks how the process is."""
        self._paths = Paths(routes)
        self._load = Load(under_way_max_requests)
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._durations: dict[str, Histogram] = {}
        UNDER_WAY.set(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        started = time.perf_counter()
        route, params = self._paths.find(scope["raw_path"].decode("ascii", "replace")) or (None, NO_PARAMS)
        asked = Incoming(scope, receive, route.path_format if route else UNMATCHED, params, self._load)
        self._load.requests += 1
        try:
            try:
                if not self._admits(asked):
                    answer = _OVERLOADED.answer(asked)
                elif asked.repeated:
                    name = asked.repeated.decode().title()
                    answer = answer_to(asked, Problem("repeated_header", f"{name} is given more than once."))
                elif route is None:
                    answer = answer_to(asked, Problem("not_found", "There is nothing under this path."))
                else:
                    answer = await route.handler_of(asked.method)(asked)
            except ClientGoneError:
                return
            except Exception as error:  # noqa: BLE001 - the last place where an error can be told to the caller
                answer = answer_to(asked, error)
            answer.headers.extend(asked.told)
            answer.headers.extend(_SAFE)
            await answer(scope, receive, send)
        finally:
            self._load.requests -= 1
        self._count(asked, answer.status, time.perf_counter() - started)

    def _admits(self, asked: Incoming) -> bool:
        is_new_order = asked.route == NEW_ORDERS and asked.method == "POST"
        return self._load.admits(is_new_order=is_new_order) or asked.route.startswith(WATCHED)

    def _count(self, asked: Incoming, status: int, seconds: float) -> None:
        route = asked.route
        method = UNMATCHED if route is UNMATCHED else asked.method
        counter = self._counters.get((method, route, status))
        if counter is None:
            counter = self._counters[method, route, status] = REQUESTS.labels(method, route, str(status))
            self._durations[route] = DURATION.labels(route)
        counter.inc()
        self._durations[route].observe(seconds)
        UNDER_WAY.set(self._load.requests)
