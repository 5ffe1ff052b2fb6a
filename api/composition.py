"""The real service put together: from settings to collaborators, opened when the server starts and closed when it
stops.

The only place of the API that reads the settings. Whatever can't be opened fails the start with what is wrong.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from actors.composition import make_peers, open_router, open_router_store, pool_limits_of
from actors.groups import Layout
from actors.logs import set_up_logs
from actors.peers import Peers
from actors.runtime import SUPERVISOR, connect
from api.app import Collaborators, Rules, bare_app, furnish
from api.auth import Authenticator, TokenRules
from api.dependencies import Check, HealthChecks, accepts_connections
from api.figures import Figures
from api.keys import KeySet, fetcher_of
from api.letters import DeadLetters
from settings import Settings, settings
from storage.cache import Cache
from storage.promotions import Promotions
from storage.queries import Queries
from storage.redis import QuietRedis

APPLICATION_NAME = "api"


def service() -> FastAPI:
    """Make the service of the environment's settings; it opens what it needs when it is started."""
    config = settings()
    rules = rules_of(config)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        set_up_logs(config.log_level, process=APPLICATION_NAME)
        async with AsyncExitStack() as stack:
            furnish(app, await _open(config, stack), rules)
            yield

    return bare_app(rules, lifespan)


def rules_of(config: Settings) -> Rules:
    """What the front door goes by. Cursors are signed with what all processes know and nobody else does."""
    secret = config.jwt_key.get_secret_value() or config.database_url.get_secret_value()
    return Rules(
        shipping_prices=config.shipping_prices,
        cursor_secret=hashlib.sha256(b"cursors\0" + secret.encode()).digest(),
        rate_limit_per_min=config.rate_limit_per_min,
        body_max_bytes=config.request_body_max_bytes,
        prefer_wait_max_s=config.prefer_wait_max_s,
        statistics_cache_s=config.statistics_cache_s,
        metrics_are_open=is_loopback(config.http_host),
    )


def authenticator_of(config: Settings) -> Authenticator:
    """Who may come in. Raises ``ValueError`` when there is neither a key nor a key set, or the key is too short."""
    key = config.jwt_key.get_secret_value()
    if not key and not config.jwks_url:
        raise ValueError("set ORDERSVC_JWT_KEY or ORDERSVC_JWKS_URL: without a key no token can be checked")
    key_set = KeySet(fetcher_of(config.jwks_url)) if config.jwks_url else None
    return Authenticator(TokenRules(key=key, issuer=config.jwt_issuer, audience=config.jwt_audience), key_set)


def is_loopback(host: str) -> bool:
    """Tell whether a listening address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def metrics_folder(config: Settings) -> Path | None:
    """Where several processes of the API keep their figures; None where there is one process only."""
    return None if config.api_processes == 1 else config.state_dir / "api-metrics"


async def _open(config: Settings, stack: AsyncExitStack) -> Collaborators:
    """Open everything; what was opened is closed in the opposite order."""
    authenticator = authenticator_of(config)
    queries = await Queries.open(
        config.database_url.get_secret_value(),
        application_name=APPLICATION_NAME,
        limits=pool_limits_of(config, config.database_pool_max_connections),
    )
    stack.push_async_callback(queries.close)
    store = await open_router_store(config, APPLICATION_NAME)
    stack.push_async_callback(store.close)
    cache = Cache(QuietRedis(config.redis_url.get_secret_value()))
    stack.push_async_callback(cache.close)
    connect(config)
    peers = make_peers(config)
    stack.callback(peers.stop)
    peers.get(SUPERVISOR)
    router = await open_router(config, peers, store)
    stack.push_async_callback(router.stop)

    async def report() -> Mapping[str, Any]:
        told: Mapping[str, Any] = await peers.get(SUPERVISOR).call("report")
        return told

    return Collaborators(
        authenticator=authenticator,
        router=router,
        queries=queries,
        promotions=Promotions(queries.database),
        rate_counter=cache,
        memory=cache,
        dead_letters=DeadLetters(config.amqp_url.get_secret_value()),
        health=HealthChecks(_checks(config, queries, cache, peers)),
        figures=Figures(report, metrics_folder(config)),
        asyncapi={},
    )


def _checks(config: Settings, queries: Queries, cache: Cache, peers: Peers) -> dict[str, Check]:
    shards = Layout(config.shards).shard_names()

    async def any_shard() -> bool:
        return any(peers.is_up(name) for name in shards)

    return {
        "postgresql": queries.is_well,
        "shards": any_shard,
        "redis": cache.is_well,
        "rabbitmq": accepts_connections(config.amqp_url.get_secret_value()),
        "product": accepts_connections(config.product_url),
        "payment": accepts_connections(config.payment_url),
        "user": accepts_connections(config.user_url),
    }
