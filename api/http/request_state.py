"""What goes with one request from layer to layer: its headers, its trace, and the headers that its answer will have.

``RequestMiddleware`` makes it; what it holds is found in the request's scope.
"""

from __future__ import annotations

from typing import cast

from starlette.types import Scope

from api.access.trace import Trace
from api.http.load_shedding import Load

KEY = "ordersvc.request"
UNMATCHED = "unmatched"

Header = tuple[bytes, bytes]


class RequestState:
    """``response_headers`` go with the answer, a refusal included. ``load`` counts the request among others."""

    __slots__ = ("_headers", "_scope", "_trace", "load", "response_headers")

    def __init__(self, scope: Scope, load: Load) -> None:
        self._scope = scope
        self._headers: dict[bytes, bytes] | None = None
        self._trace: Trace | None = None
        self.load = load
        self.response_headers: list[Header] = []

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The request's headers by their names in small letters, made when first asked for; the last of several lines counts."""
        if self._headers is None:
            self._headers = dict(self._scope["headers"])
        return self._headers

    def header(self, name: bytes) -> str | None:
        """Give a header's text without surrounding blanks, or None; ``name`` is in small letters."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    @property
    def trace(self) -> Trace:
        """The request's trace, made when first asked for."""
        if self._trace is None:
            self._trace = Trace(self.header(b"traceparent"))
        return self._trace


def state_of(scope: Scope) -> RequestState:
    """Give the state of the request that a scope belongs to."""
    return cast("RequestState", scope[KEY])


def route_of(scope: Scope) -> str:
    """Give the template of the path that was found for a request, such as ``/api/orders/{order_id}``, or ``UNMATCHED``."""
    route = scope.get("route")
    return UNMATCHED if route is None else route.path_format
