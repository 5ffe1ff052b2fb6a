"""The application: FastAPI with its routers, error handlers and middleware.

Nothing is opened here; ``composition.py`` opens what the real service needs, and closes it again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import cast

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import problems
from api.access.bodies import parameter_problem
from api.http.context_route import ContextRoute
from api.http.load_shedding import Load
from api.http.middleware import (
    CompressionMiddleware,
    HeaderLinesMiddleware,
    HeadMiddleware,
    LoadSheddingMiddleware,
    RequestMiddleware,
)
from api.openapi import pages
from api.openapi.document import DESCRIPTION, TITLE, VERSION, openapi_document
from api.problems import Problem, response_to
from api.resources import health, items, lists, orders, payments, promotions, staff, timeline
from api.services import ApiLimits, Services
from api.shapes.responses import encode

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
CORS_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CORS_MAX_AGE_S = 600
CORS_EXPOSED_HEADERS = (
    "ETag",
    "Location",
    "Preference-Applied",
    "Idempotent-Replayed",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
)

# Routes are tried in turn: the most frequent come first, and a path with a fixed last part before its sibling with a variable.
ROUTERS = (
    lists.router,
    orders.router,
    payments.router,
    items.router,
    timeline.router,
    promotions.router,
    staff.router,
    health.router,
    pages.router,
)


def create_app(limits: ApiLimits, services: Services | None = None, lifespan: Lifespan | None = None) -> FastAPI:
    """Make the application; ``services`` may as well be put into its state by ``lifespan``, before the first request."""
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # counted and traced by middleware of our own
        lifespan=lifespan,
        middleware=_middleware(limits),
    )
    app.state.services = services
    app.openapi = cache(lambda: openapi_document(app, limits.shipping_prices))  # type: ignore[method-assign]
    app.state.openapi = cache(lambda: encode(app.openapi()))
    for error in problems.KNOWN:
        app.add_exception_handler(error, problems.handle)
    app.add_exception_handler(RequestValidationError, _refuse_parameters)
    app.add_exception_handler(HTTPException, _refuse_route)
    for router in ROUTERS:
        include(app, router)
    _refuse_other_methods(app)
    return app


def _middleware(limits: ApiLimits) -> list[Middleware]:
    """From outside in."""
    return [
        Middleware(RequestMiddleware, load=Load(limits.under_way_max_requests)),
        Middleware(LoadSheddingMiddleware),
        Middleware(HeaderLinesMiddleware),
        Middleware(HeadMiddleware),
        *_cors(limits.cors_origins),
        Middleware(CompressionMiddleware),
    ]


def _cors(origins: tuple[str, ...]) -> list[Middleware]:
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=CORS_METHODS,
            allow_headers=["*"],
            expose_headers=CORS_EXPOSED_HEADERS,
            max_age=CORS_MAX_AGE_S,
        )
    ]


def include(app: FastAPI, router: APIRouter) -> None:
    """Make the router's routes the application's own.

    ``FastAPI.include_router`` keeps the router as a route of its own since FastAPI 0.140, and matches each request twice: that
    costs a request more than all of its handler (docs/decisions/0012-fastapi-as-itself.md).
    """
    for route in router.routes:
        if isinstance(route, APIRoute):
            app.router.add_api_route(
                route.path,
                route.endpoint,
                methods=sorted(route.methods or ()),
                operation_id=route.operation_id,
                summary=route.summary,
                tags=route.tags,
                status_code=route.status_code,
                responses=route.responses,
                response_class=route.response_class,
                openapi_extra=route.openapi_extra,
                include_in_schema=route.include_in_schema,
                route_class_override=ContextRoute,
            )


def _refuse_other_methods(app: FastAPI) -> None:
    """Have a path without variables answer every method, so that a sibling with a variable in its place never does."""
    routes = [route for route in app.router.routes if isinstance(route, APIRoute)]
    for fixed in {route.path for route in routes if "{" not in route.path.rpartition("/")[2]}:
        position = max(n for n, route in enumerate(routes) if route.path == fixed)
        if any(route.path != fixed and route.path_regex.match(fixed) for route in routes):
            others = sorted(METHODS - _methods(routes, fixed))
            app.router.routes.insert(position + 1, Route(fixed, _not_allowed, methods=others, include_in_schema=False))
            routes.insert(position + 1, routes[position])


async def _not_allowed(request: Request) -> Response:
    return await _refuse_route(request, HTTPException(405))


async def _refuse_parameters(request: Request, error: Exception) -> Response:
    return response_to(request.scope, parameter_problem(cast("RequestValidationError", error)))


async def _refuse_route(request: Request, _error: Exception) -> Response:
    """What starlette says of a path that leads nowhere, and of a method that a path does not have."""
    scope = request.scope
    routes = [route for route in request.app.router.routes if isinstance(route, APIRoute)]
    found = next((route for route in routes if route.path_regex.match(scope["path"])), None)
    if found is None:
        return response_to(scope, Problem("not_found", "There is nothing under this path."))
    allowed = ", ".join(sorted(_methods(routes, found.path)))
    problem = Problem(
        "method_not_allowed", f"{request.method} is not allowed here.", headers=((b"allow", allowed.encode()),)
    )
    return response_to(scope, problem)


def _methods(routes: list[APIRoute], path: str) -> set[str]:
    """The methods of a path; what answers GET answers HEAD."""
    methods: set[str] = set().union(*(route.methods or () for route in routes if route.path == path))
    return methods | {"HEAD"} if "GET" in methods else methods
