"""The real service put together: from settings to collaborators, opened when the server starts and closed when it
stops.

The only place of the API that reads the settings. What can't be opened fails the start and says what is wrong; PostgreSQL is waited
for, since uvicorn ends the processes that are well when one of them can't start.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from types import FrameType
from typing import Any, TypeVar

import structlog
from fastapi import FastAPI

from actors.processes.composition import (
    directory_of,
    make_clients,
    once_reachable,
    open_router,
    open_router_store,
    pool_limits_of,
)
from actors.processes.logs import set_up_logs
from actors.processes.process import keep_garbage_collection_rare
from actors.rpc.clients import ProcessClients
from actors.rpc.process_names import SHARD, SUPERVISOR
from api.app import create_app
from api.configuration import authenticator_of, limits_of, metrics_folder
from api.dead_letters import DeadLetters
from api.monitoring.health_checks import Check, HealthChecks, accepts_connections, answers_messages
from api.monitoring.metrics import TASKS_FAILED, ServiceMetrics
from api.monitoring.metrics_port import serving_metrics
from api.services import Collaborators, Services
from messaging import asyncapi
from settings import Settings, settings
from storage.cursor_keys import cursor_keys
from storage.migrate import check_schema
from storage.reads.order_queries import OrderQueries
from storage.redis_cache import RedisCache
from storage.redis_connection import QuietRedis
from storage.writes.kept_answers import KeptAnswers
from storage.writes.promotions import Promotions
from supervised import on_failure

APPLICATION_NAME = "api"
DATABASE_WAIT_MAX_S = 60.0
# Of a client that waits for its order when the process is asked to end; less than uvicorn gives us.
LAST_WAIT_MAX_S = 8.0

log = structlog.get_logger()
T = TypeVar("T")


def service() -> FastAPI:
    """Make the service of the environment's settings; it opens what it needs when it is started."""
    config = settings()
    limits = limits_of(config)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        set_up_logs(config.log_level, process=APPLICATION_NAME)
        async with AsyncExitStack() as stack:
            collaborators, keys = await _open(config, stack)
            app.state.services = Services(collaborators, replace(limits, cursor_secrets=keys + limits.cursor_secrets))
            if config.metrics_port:
                await stack.enter_async_context(
                    serving_metrics(
                        collaborators.metrics, config.metrics_host, config.metrics_port, shared=config.api_processes > 1
                    )
                )
            keep_garbage_collection_rare()
            yield

    return create_app(limits, lifespan=lifespan)


async def _open(config: Settings, stack: AsyncExitStack) -> tuple[Collaborators, tuple[bytes, ...]]:
    """Open everything, and read the keys of cursors; what was opened is closed in the opposite order.

    Raises ``WrongSchema`` where the database is of another release.
    """
    on_failure(lambda name: TASKS_FAILED.labels(name).inc())
    authenticator = authenticator_of(config)
    await _insist(lambda: check_schema(config.database_url.get_secret_value()))
    queries = await _insist(
        lambda: OrderQueries.open(
            config.database_url.get_secret_value(),
            application_name=APPLICATION_NAME,
            limits=pool_limits_of(config, config.database_pool_max_connections),
        )
    )
    stack.push_async_callback(queries.close)
    keys = await _insist(lambda: cursor_keys(queries.database))
    store = await _insist(lambda: open_router_store(config, APPLICATION_NAME))
    stack.push_async_callback(store.close)
    cache = RedisCache(QuietRedis(config.redis_url.get_secret_value()))
    stack.push_async_callback(cache.close)
    directory = await _insist(lambda: stack.enter_async_context(directory_of(config, APPLICATION_NAME)))
    clients = make_clients(config, directory)
    stack.callback(clients.stop)
    clients.get(SUPERVISOR)
    router = await open_router(config, clients, store)
    stack.push_async_callback(router.stop)
    _when_asked_to_end(lambda: router.drain(LAST_WAIT_MAX_S))

    async def report() -> Mapping[str, Any]:
        told: Mapping[str, Any] = await clients.get(SUPERVISOR).call("report")
        return told

    collaborators = Collaborators(
        authenticator=authenticator,
        router=router,
        queries=queries,
        promotions=Promotions(queries.database),
        rate_counter=cache,
        memory=cache,
        answers=KeptAnswers(queries.database),
        dead_letters=DeadLetters(config.amqp_url.get_secret_value()),
        health=HealthChecks(_checks(config, queries, cache, clients, report)),
        metrics=ServiceMetrics(report, metrics_folder(config)),
        asyncapi=asyncapi.build(),
    )
    return collaborators, keys


def _when_asked_to_end(do: Callable[[], None]) -> None:
    """Have something done in the loop ahead of what the server does, which first waits for all requests to be answered."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        then = signal.getsignal(number)

        def end(number: int, frame: FrameType | None, then: Any = then) -> None:
            loop.call_soon_threadsafe(do)
            if callable(then):
                then(number, frame)

        signal.signal(number, end)


async def _insist(open_: Callable[[], Awaitable[T]]) -> T:
    return await once_reachable(open_, within_s=DATABASE_WAIT_MAX_S)


def _checks(
    config: Settings,
    queries: OrderQueries,
    cache: RedisCache,
    clients: ProcessClients,
    report: Callable[[], Awaitable[Mapping[str, Any]]],
) -> dict[str, Check]:
    async def any_shard() -> bool:
        return any(name.startswith(SHARD) for name in clients.up())

    return {
        "postgresql": queries.is_well,
        "shards": any_shard,
        "redis": cache.is_well,
        "rabbitmq": answers_messages(accepts_connections(config.amqp_url.get_secret_value()), report),
        "product": accepts_connections(config.product_url),
        "payment": accepts_connections(config.payment_url),
        "user": accepts_connections(config.user_url),
    }
