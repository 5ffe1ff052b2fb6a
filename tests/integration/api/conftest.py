from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.access.security import Authenticator, TokenRules
from api.app import create_app
from api.dead_letters import DeadLetters
from api.monitoring.health_checks import HealthChecks, accepts_connections
from api.services import ApiLimits, Collaborators, Services
from storage.reads.order_queries import OrderQueries
from storage.redis_cache import RedisCache
from storage.redis_connection import QuietRedis
from storage.writes.kept_answers import KeptAnswers
from storage.writes.order_store import OrderStore
from storage.writes.promotions import Promotions
from tests.integration.storage.owning import Lease, owner_of_all
from tests.unit.api.harness import KEY, PRICES, FakeMetrics, FakeRouter, World


class RealWorld(World):
    """The application among real servers; only the orders' owners are missing."""

    def __init__(
        self, queries: OrderQueries, cache: RedisCache, amqp_url: str, store: OrderStore, lease: Lease, **limits: Any
    ) -> None:
        self.router = FakeRouter()
        self.store = store
        self.lease = lease
        self.cache = cache
        collaborators = Collaborators(
            authenticator=Authenticator(TokenRules(key=KEY), None),
            router=self.router,
            queries=queries,
            promotions=Promotions(queries.database),
            rate_counter=cache,
            memory=cache,
            answers=KeptAnswers(queries.database),
            dead_letters=DeadLetters(amqp_url),
            health=HealthChecks(
                {
                    "postgresql": queries.is_well,
                    "redis": cache.is_well,
                    "rabbitmq": accepts_connections(amqp_url),
                    "payment": accepts_connections("http://127.0.0.1:9"),
                }
            ),
            metrics=FakeMetrics(),
            asyncapi={},
        )
        of_world = ApiLimits(
            **{"shipping_prices": PRICES, "cursor_secrets": (b"secret",), "rate_limit_per_min": 300, **limits}
        )
        self.app = create_app(of_world, Services(collaborators, of_world))


@pytest.fixture
async def real(database_url: str, redis_url: str, amqp_url: str) -> AsyncIterator[RealWorld]:
    queries = await OrderQueries.open(database_url, application_name="test-api")
    store = await OrderStore.open(database_url, application_name="test-api-orders")
    cache = RedisCache(QuietRedis(redis_url))
    yield RealWorld(queries, cache, amqp_url, store, await owner_of_all(store, "order-shard-0"))
    await cache.close()
    await store.close()
    await queries.close()
