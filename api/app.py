"""The application: collaborators handed in, endpoints made of them, routes made of the table.

Nothing is opened here; ``composition.py`` opens what the real service needs and closes it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from api.auth import Authenticator
from api.cursors import Cursors
from api.door import Door
from api.edge import Edge
from api.exchange import JSON, Answer, Header, Incoming
from api.fair_slots import SlotLimits
from api.health import HealthEndpoints
from api.items import ItemEndpoints
from api.limits import RateLimits
from api.lists import ListEndpoints
from api.openapi import DESCRIPTION, TITLE, VERSION, openapi_document
from api.operations import Handler, Route, routes_of
from api.orders import OrderEndpoints, OrderLimits
from api.pages import PAGE_HEADERS, docs_page
from api.payments import PaymentEndpoints
from api.ports import (
    AnswersPort,
    DeadLettersPort,
    FiguresPort,
    HealthPort,
    PromotionsPort,
    QueriesPort,
    RateCounterPort,
    RememberPort,
    RouterPort,
)
from api.promotions import PromotionEndpoints
from api.reading import OrderReader
from api.replays import Replays
from api.routes import Endpoints, operations
from api.staff import StaffEndpoints
from api.timeline import TimelineEndpoints
from api.waiting import ValidationWait

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """Whom the front door works with."""

    authenticator: Authenticator
    router: RouterPort
    queries: QueriesPort
    promotions: PromotionsPort
    rate_counter: RateCounterPort
    memory: RememberPort
    answers: AnswersPort
    dead_letters: DeadLettersPort
    health: HealthPort
    figures: FiguresPort
    asyncapi: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that the front door goes by; each has its unit last in its name.

    ``cursor_secrets`` are the same in every process; the first signs.
    """

    shipping_prices: Mapping[str, Mapping[str, int]]
    cursor_secrets: tuple[bytes, ...]
    rate_limit_per_min: int = 6000
    body_max_bytes: int = 262_144
    prefer_wait_max_s: float = 30.0
    statistics_cache_s: float = 5.0
    statistics_limits: SlotLimits = field(default_factory=SlotLimits)
    under_way_max_requests: int = 1024


class Service(FastAPI):
    """FastAPI, with the requests of the table answered before its middleware gets to see them.

    Its own way to a handler costs as much as half of our handlers (docs/decisions/0006-in-front-of-the-framework.md).
    """

    edge: Edge | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by the table; FastAPI does the rest: start, stop, and what comes before the start."""
        if self.edge is not None and scope["type"] == "http":
            await self.edge(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(with_: Collaborators, rules: Rules) -> Service:
    """Make the application of collaborators that are ready."""
    app = bare_app()
    furnish(app, with_, rules)
    return app


def bare_app(lifespan: Lifespan | None = None) -> Service:
    """Make an application that answers nothing yet; ``lifespan`` is where ``furnish`` may be called."""
    return Service(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # the edge counts, and traces are our own
        lifespan=lifespan,
    )


def furnish(app: Service, with_: Collaborators, rules: Rules) -> None:
    """Make the application answer every operation of the table, and describe itself."""
    table = operations(_endpoints(with_, rules))
    document = cache(lambda: openapi_document(table, rules.shipping_prices))
    app.openapi = document  # type: ignore[method-assign]
    routes = (
        *routes_of(table),
        Route("/openapi.json", {"GET": _page(lambda: msgspec.json.encode(document()))}),
        Route("/asyncapi.json", {"GET": _page(lambda: msgspec.json.encode(with_.asyncapi))}),
        Route("/docs", {"GET": _page(lambda: docs_page(document()), PAGE_HEADERS)}),
    )
    app.router.routes.extend(routes)
    app.edge = Edge(routes, under_way_max_requests=rules.under_way_max_requests)


def _endpoints(with_: Collaborators, rules: Rules) -> Endpoints:
    limits = RateLimits(with_.rate_counter, per_min=rules.rate_limit_per_min)
    door = Door(with_.authenticator, limits, with_.router, body_max_bytes=rules.body_max_bytes)
    reader = OrderReader(with_.queries)
    cursors = Cursors(rules.cursor_secrets)
    wait = ValidationWait(with_.router, reader, max_s=rules.prefer_wait_max_s)
    return Endpoints(
        orders=OrderEndpoints(door, reader, wait, OrderLimits(shipping_prices=rules.shipping_prices)),
        items=ItemEndpoints(door, wait),
        payments=PaymentEndpoints(door, with_.router, reader, prefer_wait_max_s=rules.prefer_wait_max_s),
        lists=ListEndpoints(
            door,
            with_.queries,
            cursors,
            with_.memory,
            statistics_cache_s=rules.statistics_cache_s,
            statistics_limits=rules.statistics_limits,
        ),
        timeline=TimelineEndpoints(door, with_.queries, reader),
        promotions=PromotionEndpoints(door, with_.promotions, cursors, Replays(with_.answers)),
        staff=StaffEndpoints(door, with_.dead_letters, with_.answers),
        health=HealthEndpoints(door, with_.health, with_.figures),
    )


def _page(make: Callable[[], bytes], headers: tuple[Header, ...] = (JSON,)) -> Handler:
    """Show a document that is made when it is first asked for."""
    made = cache(make)

    async def show(asked: Incoming) -> Answer:  # noqa: ARG001 - a handler
        return Answer(200, made(), [*headers])

    return show
