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
from starlette.types import Receive, Scope, Send

from api.exchange import Answer, ClientGoneError, Incoming
from api.problems import Problem, answer_to

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
    """One path: hands the method's handler an ``Incoming``, and turns whatever is raised into a problem document.

    It answers for every method of its path, so that another path with a variable in the same place never does: 405
    names the methods of this one. FastAPI's reading of parameters and bodies is left out: the handlers read what they
    need from bytes, which is what lets a request cost little.
    """

    def __init__(self, path: str, handlers: Mapping[str, Handler]) -> None:
        super().__init__(path, _unread, methods=sorted(handlers), include_in_schema=False)
        self.methods = set()
        self.app = _app_of(handlers)


def routes_of(operations: Iterable[Operation]) -> tuple[Route, ...]:
    """Make the routes of a table, in its order."""
    handlers: dict[str, dict[str, Handler]] = {}
    for operation in operations:
        handlers.setdefault(operation.path, {})[operation.method] = operation.handler
    return tuple(Route(path, of_path) for path, of_path in handlers.items())


async def _unread(request: Request) -> Response:
    """What FastAPI reads a signature from; it is never called."""
    raise NotImplementedError


def _app_of(handlers: Mapping[str, Handler]) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    allow = ", ".join(sorted(handlers)).encode()

    async def not_allowed(asked: Incoming) -> Answer:
        raise Problem("method_not_allowed", f"{asked.method} is not allowed here.", headers=((b"allow", allow),))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked = Incoming(scope, receive)
        try:
            answer = await handlers.get(asked.method, not_allowed)(asked)
        except ClientGoneError:
            return
        except Exception as error:  # noqa: BLE001 - the last place where an error can be told to the caller
            answer = answer_to(asked, error)
        answer.headers.extend(asked.told)
        await answer(scope, receive, send)

    return app
