"""What goes with one request from layer to layer: its trace, and the headers that its answer will have.

``RequestMiddleware`` makes it; what it holds is found in the request's scope.
"""

from __future__ import annotations

from typing import cast

from starlette.types import Scope

from api.access.trace import Trace
from api.http.load_shedding import Load

KEY = "ordersvc.request"

Header = tuple[bytes, bytes]


class RequestState:
    """``response_headers`` go with the answer, a refusal included. ``load`` counts the request among others."""

    __slots__ = ("_scope", "_trace", "load", "response_headers")

    def __init__(self, scope: Scope, load: Load) -> None:
        self._scope = scope
        self._trace: Trace | None = None
        self.load = load
        self.response_headers: list[Header] = []

    @property
    def trace(self) -> Trace:
        """The request's trace, made when first asked for."""
        if self._trace is None:
            headers: dict[bytes, bytes] = dict(self._scope["headers"])
            self._trace = Trace(headers.get(b"traceparent", b"").decode("latin-1").strip())
        return self._trace


def state_of(scope: Scope) -> RequestState:
    """Give the state of the request that a scope belongs to."""
    return cast("RequestState", scope[KEY])
