"""The services that requests are answered by, put together once and found by every request in the application's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from starlette.requests import Request

from api.access.cursors import Cursors
from api.access.fair_slots import SlotLimits
from api.access.rate_limit import RateLimits
from api.access.security import Authenticator
from api.order_reader import OrderReader
from api.ports import (
    AnswersPort,
    DeadLettersPort,
    HealthPort,
    PromotionsPort,
    QueriesPort,
    RateCounterPort,
    RememberPort,
    RouterPort,
    ServiceMetricsPort,
)
from api.shapes.responses import encode
from api.statistics_reader import StatisticsReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLimits:
    """The settings that the HTTP API goes by; each has its unit last in its name.

    ``shipping_prices``: method -> currency -> minor units. ``cursor_secrets`` are the same in every process; the first signs.
    """

    shipping_prices: Mapping[str, Mapping[str, int]]
    cursor_secrets: tuple[bytes, ...]
    rate_limit_per_min: int = 6000
    body_max_bytes: int = 262_144
    prefer_wait_max_s: float = 30.0
    statistics_cache_s: float = 5.0
    statistics_limits: SlotLimits = field(default_factory=SlotLimits)
    under_way_max_requests: int = 1024
    cors_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """What the HTTP API works with; the tests hand in fakes."""

    authenticator: Authenticator
    router: RouterPort
    queries: QueriesPort
    promotions: PromotionsPort
    rate_counter: RateCounterPort
    memory: RememberPort
    answers: AnswersPort
    dead_letters: DeadLettersPort
    health: HealthPort
    metrics: ServiceMetricsPort
    asyncapi: Mapping[str, Any]


class Services:
    """The collaborators, and what the API makes of them once for all requests."""

    def __init__(self, collaborators: Collaborators, limits: ApiLimits) -> None:
        self.limits = limits
        self.authenticator = collaborators.authenticator
        self.router = collaborators.router
        self.queries = collaborators.queries
        self.promotions = collaborators.promotions
        self.answers = collaborators.answers
        self.dead_letters = collaborators.dead_letters
        self.health = collaborators.health
        self.metrics = collaborators.metrics
        self.asyncapi = encode(collaborators.asyncapi)
        self.rate_limits = RateLimits(collaborators.rate_counter, per_min=limits.rate_limit_per_min)
        self.reader = OrderReader(collaborators.queries)
        self.cursors = Cursors(limits.cursor_secrets)
        self.statistics = StatisticsReader(
            collaborators.queries,
            collaborators.memory,
            cache_s=limits.statistics_cache_s,
            slots=limits.statistics_limits,
        )


def services_of(request: Request) -> Services:
    """Give the services of the application that a request came to."""
    return cast("Services", request.app.state.services)
