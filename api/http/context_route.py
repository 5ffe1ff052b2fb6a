"""A route of FastAPI whose one dependency is called directly, at a third of what FastAPI's own solver costs.

The solver reads query, headers and cookies for each dependency of a request, twice the work of a handler of ours. A route is declared
to it in full all the same: FastAPI makes the document of the signature, and where ``dependency_overrides`` are set, or a signature
has more than a context and the variables of the path, it answers the request as ever (docs/decisions/0012-fastapi-as-itself.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from starlette.requests import Request
from starlette.types import Receive, Scope, Send


class ContextRoute(APIRoute):
    """An ``APIRoute`` that takes the short way to its handler where that is the same."""

    def __init__(self, path: str, endpoint: Any, **given: Any) -> None:
        """Takes what ``APIRoute`` takes."""
        super().__init__(path, endpoint, **given)
        of = self.dependant
        more = (of.query_params, of.header_params, of.cookie_params, of.body_params)
        of_context = of.dependencies[0] if len(of.dependencies) == 1 else None
        if of_context is None or any(more) or of.request_param_name or of_context.dependencies:
            return
        self._context: Callable[..., Awaitable[Any]] = cast("Any", of_context.call)
        self._context_name = of_context.name or ""
        self._scopes = SecurityScopes(of_context.own_oauth_scopes)
        self._variables = [(field.alias, field) for field in of.path_params]
        self._as_ever = self.app
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; raises what the context and the handler raise, and ``RequestValidationError``."""
        if scope["app"].dependency_overrides:
            await self._as_ever(scope, receive, send)
            return
        request = Request(scope, receive, send)
        values: dict[str, Any] = {self._context_name: await self._context(request, self._scopes)}
        for name, field in self._variables:
            values[field.name], errors = field.validate(scope["path_params"][name], values, loc=("path", name))
            if errors:
                raise RequestValidationError(errors)
        response = await self.endpoint(**values)
        await response(scope, receive, send)
