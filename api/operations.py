"""What an operation is: a method, a path, its handler, and all that the OpenAPI document says about it.

Each room of endpoints gives a tuple of these; ``app.py`` makes routes of them and ``openapi.py`` the document. Nothing
registers itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.exchange import Answer, Incoming
from api.problems import Problem

Handler = Callable[[Incoming], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Success:
    """An answer that is no problem. ``model`` documents its body; ``headers`` are names described in ``openapi.py``."""

    description: str
    model: Any = None
    headers: tuple[str, ...] = ()
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """``scopes``: one of them is wanted; empty: open to all. ``key``: ``required``, ``optional`` or None, for the
    ``Idempotency-Key``. ``if_match``, ``if_none_match``, ``wait``: headers it heeds. ``errors``: codes beyond those
    that follow from the rest; ``statuses``: codes that have another status here than elsewhere.
    """

    id: str
    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    success: Mapping[int, Success]
    scopes: tuple[str, ...] = ()
    body: Any = None
    query: Any = None
    key: str | None = None
    if_match: bool = False
    if_none_match: bool = False
    wait: bool = False
    errors: tuple[str, ...] = ()
    statuses: Mapping[str, int] = field(default_factory=dict)
    description: str = ""


class Route(APIRoute):
    """One path, and the handler of each of its methods. What answers GET answers HEAD: the same without its body.

    It answers for every method of its path, so that another path with a variable in the same place never does: 405
    names the methods of this one. FastAPI lists it; ``edge.py`` asks it.
    """

    def __init__(self, path: str, handlers: Mapping[str, Handler]) -> None:
        self._handlers = {**handlers, "HEAD": handlers["GET"]} if "GET" in handlers else handlers
        methods = sorted(self._handlers)
        super().__init__(path, _unread, methods=methods, include_in_schema=False)
        self._allow = ", ".join(methods).encode()

    def handler_of(self, method: str) -> Handler:
        """Give the method's handler; raises ``Problem`` ``method_not_allowed``."""
        handler = self._handlers.get(method)
        if handler is None:
            raise Problem("method_not_allowed", f"{method} is not allowed here.", headers=((b"allow", self._allow),))
        return handler


def routes_of(operations: Iterable[Operation]) -> tuple[Route, ...]:
    """Make the routes of a table, in its order."""
    handlers: dict[str, dict[str, Handler]] = {}
    for operation in operations:
        handlers.setdefault(operation.path, {})[operation.method] = operation.handler
    return tuple(Route(path, of_path) for path, of_path in handlers.items())


async def _unread(request: Request) -> Response:
    """What FastAPI reads a signature from; it is never called."""
    raise NotImplementedError
