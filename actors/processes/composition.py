"""From settings to policies, and the pieces that several processes make for themselves: rules, limits, a router.

Together with ``runtime.py`` this is one of the two places where collaborators are put together (the other is the API's).
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog

from actors.order.commit_loop import CommitPolicy
from actors.process_metrics import labelled
from actors.processes.periodic_jobs import PeriodicJob
from actors.routing.ownership import Ownership
from actors.routing.router import Router, RouterLimits
from actors.rpc.clients import ProcessClients
from actors.rpc.directory import ProcessDirectory
from actors.rpc.process_names import shard_names
from actors.shard.context import ResidentLimits
from actors.shard.dedicated_orders import DedicatedPolicy
from actors.shard.reference_cache import CachePolicy
from actors.shard.shard import ShardPolicy
from domain.calls import Partner
from messaging.consuming.consumer import Consumer, ConsumerLimits, Deliver
from partners.http import PartnerHttp
from partners.payment import PaymentClient
from partners.product import ProductClient
from partners.resilient_client import PartnerClient, ResilienceLimits
from partners.user import UserClient
from sagas.decision import OrderRules
from settings import Settings
from storage.closed_order_counts import ClosedOrderCounts
from storage.errors import StorageUnavailable
from storage.postgres import PoolLimits, open_database
from storage.processes import Processes, ProcessState
from storage.reads.reference_data import ReferenceCopies
from storage.redis_connection import QuietRedis
from storage.writes.handled_messages import HandledMessages
from storage.writes.order_store import OrderStore

ROUTER_POOL_MAX_CONNECTIONS = 2
OWNERS_READ_EVERY_S = 1.0
FIGURES_EVERY_S = 30.0
PRUNE_INBOX_EVERY_S = 3600.0
PRUNE_PROCESSES_EVERY_S = 60.0
DATABASE_RETRY_EVERY_S = 0.5

log = structlog.get_logger()
T = TypeVar("T")


def rules_of(settings: Settings) -> OrderRules:
    """What decisions depend on."""
    return settings.policy(OrderRules, "", call_lost_s=settings.partner_total_timeout_s * 2 + settings.ask_timeout_s)


def roles_of(settings: Settings) -> dict[str, ProcessState]:
    """What each shard of the cell is to do."""
    serving = min(settings.shards, settings.shards_serving or max(1, (os.cpu_count() or 1) // 2))
    return {
        name: ProcessState.SERVING if k < serving else ProcessState.STANDBY
        for k, name in enumerate(shard_names(settings.shards))
    }


def shard_policy_of(settings: Settings) -> ShardPolicy:
    """Bounds and waits of a shard, and of what it is made of."""
    return settings.policy(
        ShardPolicy,
        *("", "publisher_"),
        rules=rules_of(settings),
        orders=settings.policy(ResidentLimits, "", "shard_", "actor_"),
        commits=CommitPolicy(batch_max_orders=settings.flush_max_orders, retry_for_s=settings.commit_timeout_s),
        reference_cache=CachePolicy(
            product_max_age_s=settings.product_cache_s, customer_max_age_s=settings.customer_cache_s
        ),
        dedicated=DedicatedPolicy(
            mode=settings.dedicated_policy,
            min_total=settings.dedicated_min_total,
            customers=frozenset(settings.dedicated_customers),
        ),
    )


def pool_limits_of(settings: Settings, max_connections: int) -> PoolLimits:
    """Bounds of a database pool."""
    return settings.policy(PoolLimits, "database_", max_connections=max_connections)


def periodic_jobs_of(settings: Settings, store: OrderStore) -> tuple[PeriodicJob, ...]:
    """What the supervisor has to do now and then."""
    pruning = HandledMessages(store.database, keep_days=settings.inbox_keep_days)
    return (
        PeriodicJob(name="closed_orders_counted", every_s=FIGURES_EVERY_S, step=ClosedOrderCounts(store.database).step),
        PeriodicJob(name="inbox_messages_forgotten", every_s=PRUNE_INBOX_EVERY_S, step=pruning.step),
        PeriodicJob(name="processes_pruned", every_s=PRUNE_PROCESSES_EVERY_S, step=Processes(store.database).prune),
    )


def reference_copies_of(settings: Settings) -> ReferenceCopies:
    """The copies of products and customers in Redis."""
    return ReferenceCopies(
        QuietRedis(settings.redis_url.get_secret_value()),
        product_max_age_s=settings.product_cache_s,
        customer_max_age_s=settings.customer_cache_s,
        currencies={currency for prices in settings.shipping_prices.values() for currency in prices},
    )


def bulkhead_limits_of(settings: Settings) -> ResilienceLimits:
    """Bounds of a bulkhead."""
    # A backstop: the client's own timeout knows better what was sent.
    try_timeout_s = settings.partner_call_timeout_s + 0.5
    return settings.policy(ResilienceLimits, "bulkhead_", "partner_", "", try_timeout_s=try_timeout_s)


def client_of(partner: str, settings: Settings) -> PartnerClient:
    """The client of a partner, on the running event loop. Raises ``ValueError`` for a URL that is none."""
    url: str = getattr(settings, f"{partner}_url")
    http = PartnerHttp(
        url,
        call_timeout_s=settings.partner_call_timeout_s,
        connections_max=settings.bulkhead_concurrency_max_calls,
    )
    match Partner(partner):
        case Partner.PRODUCT:
            return ProductClient(http)
        case Partner.PAYMENT:
            return PaymentClient(http)
        case Partner.USER:
            return UserClient(http)


def make_clients(settings: Settings, directory: ProcessDirectory, *, max_clients: int = 2048) -> ProcessClients:
    """The other processes, as this one is to see them."""
    return ProcessClients(
        directory,
        ping_every_s=settings.heartbeat_every_s,
        pings_missed_max=settings.heartbeat_missed_max,
        max_clients=max_clients,
        calls_max=settings.rpc_max_calls,
    )


async def open_router(settings: Settings, clients: ProcessClients, store: OrderStore) -> Router:
    """A router that finds owners in ``store`` and shards among ``clients``, ready to ask."""
    ownership = Ownership(store.owner_names, clients.forget, read_every_s=OWNERS_READ_EVERY_S)
    router = Router(ownership, clients, settings.policy(RouterLimits, ""))
    for name in shard_names(settings.shards):
        clients.get(name)
    await router.start()
    return router


async def once_reachable(open_: Callable[[], Awaitable[T]], *, within_s: float = math.inf) -> T:
    """What ``open_`` gives, once PostgreSQL is there. Raises ``StorageUnavailable`` when it is away for longer than ``within_s``."""
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + within_s
    while True:
        try:
            return await open_()
        except StorageUnavailable as error:
            if loop.time() > give_up_s:
                raise
            log.warning("database_awaited", error=str(error))
            await asyncio.sleep(DATABASE_RETRY_EVERY_S)


@asynccontextmanager
async def directory_of(settings: Settings, name: str) -> AsyncIterator[ProcessDirectory]:
    """The directory of the cell's processes, over a connection of its own. Raises ``StorageUnavailable``."""
    database = await open_database(
        settings.database_url.get_secret_value(), application_name=name, limits=pool_limits_of(settings, 1)
    )
    try:
        yield ProcessDirectory(
            Processes(database), cell=settings.cell, link_secret=settings.link_secret.get_secret_value()
        )
    finally:
        await database.close()


async def open_router_store(settings: Settings, name: str) -> OrderStore:
    """A small pool for a process that only routes."""
    return await OrderStore.open(
        settings.database_url.get_secret_value(),
        application_name=name,
        limits=pool_limits_of(settings, ROUTER_POOL_MAX_CONNECTIONS),
    )


def make_consumer(settings: Settings, deliver: Deliver) -> Consumer:
    """The consumer that hands partners' events to ``deliver``."""
    return Consumer(
        settings.amqp_url.get_secret_value(),
        deliver=deliver,
        limits=settings.policy(ConsumerLimits, "bridge_", deliver_timeout_s=settings.ask_timeout_s * 2),
    )


def consumer_figures(consumer: Consumer) -> dict[str, float]:
    """What the metrics show of a consumer."""
    return {
        **labelled(
            "consumed_messages_total",
            {"delivered": consumer.delivered, "retried": consumer.retried, "dead_lettered": consumer.dead_lettered},
        ),
        "given_back_total": consumer.given_back,
        "event_times_out_of_range_total": consumer.times_out_of_range,
        "at_work_messages": consumer.at_work,
        "at_work_bytes": consumer.at_work_bytes,
        "messages_unanswered": consumer.unanswered,
        "connected": float(consumer.is_connected),
    }
