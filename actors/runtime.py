"""The Ray actors of the service, and the driver that brings them up: the one place where plain classes become processes.

    python -m actors.runtime        connects to RAY_ADDRESS, starts the supervisor, prints ``ready``, watches over it

A process composes itself when it is first greeted (``hello``), so that a restart by Ray needs nobody's help. Settings, with their
secrets, come as an argument of the constructor: they are in no command line, no environment shown anywhere, and no log.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

import ray
import structlog

from actors import composition
from actors.bulkhead import Bulkhead as BulkheadWorker
from actors.catalogue import Catalogue
from actors.clock import DatabaseClock
from actors.dedicated import DedicatedOrders
from actors.failpoints import Failpoint
from actors.group import Surroundings
from actors.groups import Layout
from actors.inbound import Inbound
from actors.link import Endpoint, LinkServer
from actors.logs import set_up_logs
from actors.numbers import OrderNumbers
from actors.partner_calls import BulkheadCalls
from actors.peers import NAMESPACE, SILENT, Peers
from actors.shard import OrderShard as Shard
from actors.shard import ShardPolicy
from actors.supervisor import Supervisor as Watcher
from actors.supervisor import SupervisorPolicy
from actors.watches import Watches
from domain.calls import Call, Partner
from domain.order import Order
from messaging.bridge import EventBridge as Bridge
from messaging.publisher import Publisher
from partners.resilience import Bulkhead as PartnerBulkhead
from settings import Settings, settings
from storage.snapshots import OrderStore

log = structlog.get_logger()

SUPERVISOR = "supervisor"
BRIDGE = "event-bridge"
SHARD_LINK_HOST = "127.0.0.1"
CATALOGUE_MAX_ENTRIES = 20_000
PENDING_CALLS_MAX = 2000
CONCURRENT_CALLS_MAX = 1000


class _Process:
    """What every process has: a link for others, peers of its own, and a start that happens once, when it is greeted."""

    def __init__(self, name: str, config: Settings) -> None:
        self.name = name
        self.config = config
        self._endpoint: asyncio.Task[Endpoint] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    async def hello(self) -> Endpoint:
        """Start if that has not happened yet, and tell where the link listens; raises what keeps us from starting."""
        if self._endpoint is None or (self._endpoint.done() and self._endpoint.exception() is not None):
            self._endpoint = asyncio.get_running_loop().create_task(self._begin())
        return await asyncio.shield(self._endpoint)

    async def _begin(self) -> Endpoint:
        set_up_logs(self.config.log_level, process=self.name)
        link = LinkServer(SHARD_LINK_HOST, self._watch)
        await self._compose(composition.make_peers(self.config))
        endpoint = await link.start(os.getpid())
        log.info("process_started", pid=os.getpid())
        return endpoint

    async def _compose(self, peers: Peers) -> None:
        raise NotImplementedError

    async def _watch(self, order_id: str, until: str) -> None:
        raise NotImplementedError

    async def statistics(self) -> dict[str, float]:
        """Figures for the metrics."""
        return {}


class OrderShard(_Process):
    """Hosts order actors: those of its slices (``order-shard-<k>``), or a single one (``order-<id>``)."""

    _shard: Shard
    _publisher: Publisher
    _calls: BulkheadCalls
    _catalogue: Catalogue

    async def _compose(self, peers: Peers) -> None:
        config = self.config
        layout = Layout(config.shards)
        store = await OrderStore.open(
            config.database_url.get_secret_value(),
            application_name=self.name,
            limits=composition.pool_limits_of(config, config.database_pool_max_connections),
        )
        failpoint = Failpoint(os.environ.get("ORDERSVC_FAILPOINT", ""))

        async def mark(events: list[tuple[str, int]]) -> None:
            failpoint.hit("before_mark")
            await store.mark_published(events)
            failpoint.hit("after_mark")

        publisher = Publisher(
            config.amqp_url.get_secret_value(),
            on_confirmed=mark,
            name=self.name,
            limits=composition.publisher_limits_of(config),
        )
        bulkheads = {f"bulkhead-{partner.value}": partner for partner in Partner}
        for name in bulkheads:
            peers.get(name)

        async def perform(partner: Partner, batch: bytes) -> list[int]:
            refused = await peers.get(f"bulkhead-{partner.value}").call("perform", batch)
            failpoint.hit("after_call")
            return cast("list[int]", refused)

        def not_sent(call: Call, why: str) -> None:
            self._shard.not_sent(call, why)

        calls = BulkheadCalls(perform, not_sent, queue_max_calls=config.bulkhead_queue_max_calls)
        peers.on_found = lambda name: calls.repeat(bulkheads[name]) if name in bulkheads else None
        catalogue = Catalogue(
            product_max_age_s=config.product_cache_s,
            customer_max_age_s=config.customer_cache_s,
            max_entries=CATALOGUE_MAX_ENTRIES,
            monotonic=time.monotonic,
        )
        dedicated = DedicatedOrders(
            composition.dedicated_policy_of(config), self._start_dedicated(peers), self._hand_over(peers)
        )

        def on_committed(group: str, order: Order) -> None:
            dedicated.consider(group, order)
            if order.is_closed and group == f"order-{order.id}":
                asyncio.get_running_loop().create_task(self._go_home(store, peers, order.id))

        def around(_: Shard) -> Surroundings:
            return Surroundings(
                shard=self.name,
                store=store,
                publisher=publisher,
                calls=calls,
                clock=DatabaseClock(store.now, time.monotonic),
                catalogue=catalogue,
                numbers=OrderNumbers(store.take_numbers),
                watches=Watches(),
                rules=composition.rules_of(config),
                limits=composition.group_limits_of(config),
                commit_policy=composition.commit_policy_of(config),
                failpoint=failpoint,
                monotonic=time.monotonic,
                on_committed=on_committed,
            )

        is_ordinary = self.name in layout.shard_names()
        home = f"slices-{self.name.rsplit('-', 1)[1]}-of-{layout.shards}" if is_ordinary else self.name
        policy = ShardPolicy(
            answer_within_s=config.ask_timeout_s * 0.95,
            resume_max_orders_per_s=config.resume_max_orders_per_s,
            sweep_every_s=config.publisher_sweep_every_s,
        )
        self._publisher, self._calls, self._catalogue = publisher, calls, catalogue
        self._shard = Shard(self.name, home, layout, store, policy, around)
        await publisher.start()
        await self._shard.start()

    def _start_dedicated(self, peers: Peers) -> Any:
        async def start(order_id: str) -> bool:
            supervisor = peers.get(SUPERVISOR)
            await asyncio.wait_for(supervisor.found.wait(), 10)
            return bool(await asyncio.wait_for(supervisor.call("dedicate", order_id), 30))

        return start

    def _hand_over(self, peers: Peers) -> Any:
        async def hand_over(order_id: str) -> None:
            peer = peers.get(f"order-{order_id}")
            await asyncio.wait_for(peer.found.wait(), 10)
            try:
                await self._shard.hand_over(order_id, lambda: peer.call("adopt"))
            finally:
                peers.forget(peer.name)

        return hand_over

    async def _go_home(self, store: OrderStore, peers: Peers, order_id: str) -> None:
        """The order of this process is closed: give it back to its slices, and end."""
        async with asyncio.timeout(30):
            while self._publisher.waiting_events:
                await asyncio.sleep(0.05)
        await store.undedicate(order_id)
        supervisor = peers.get(SUPERVISOR)
        await asyncio.wait_for(supervisor.found.wait(), 30)
        await supervisor.call("dismiss", order_id)

    async def adopt(self) -> None:
        """Become the owner of the order that this process is named after; its former owner has stopped it."""
        await self._shard.adopt()

    async def handle(self, group: str, batch: bytes, take: bool) -> bytes:
        """Deliver a batch of messages; see ``shard.OrderShard.handle``."""
        return await self._shard.handle(group, batch, take=take)

    async def _watch(self, order_id: str, until: str) -> None:
        await self._shard.watch(order_id, until)

    async def product_changed(self, sku: str, version: int, currencies: Sequence[str]) -> None:
        """An event told of a new version of a product."""
        self._catalogue.product_changed(sku, version, currencies)

    async def customer_changed(self, customer_id: str, version: int) -> None:
        """An event told of a new version of a customer."""
        self._catalogue.customer_changed(customer_id, version)

    async def passivate(self) -> int:
        """Let idle actors leave memory now."""
        return self._shard.passivate()

    async def statistics(self) -> dict[str, float]:
        """Figures for the metrics."""
        publisher = self._publisher
        return {
            **self._shard.statistics(),
            "published_total": publisher.published,
            "returned_total": publisher.returned,
            "republished_total": publisher.retried,
            "publisher_waiting_events": publisher.waiting_events,
            "publisher_lagging_orders": publisher.lagging_orders,
            "calls_unanswered": self._calls.unanswered,
        }


class Bulkhead(_Process):
    """Calls one partner (``bulkhead-product``, ``bulkhead-payment``, ``bulkhead-user``)."""

    _worker: BulkheadWorker
    _bulkhead: PartnerBulkhead

    async def _compose(self, peers: Peers) -> None:
        config = self.config
        partner = Partner(self.name.removeprefix("bulkhead-"))
        store = await composition.open_router_store(config, self.name)
        router = await composition.open_router(config, peers, store)
        self._bulkhead = PartnerBulkhead(
            partner, composition.client_of(partner.value, config), composition.bulkhead_limits_of(config)
        )
        self._worker = BulkheadWorker(
            partner.value,
            self._bulkhead,
            router,
            calls_max=config.bulkhead_concurrency_max_calls + config.bulkhead_queue_max_calls,
        )

    async def perform(self, batch: bytes) -> list[int]:
        """Accept calls; gives the positions of those for which there is no room."""
        return self._worker.perform(batch)

    async def statistics(self) -> dict[str, float]:
        """Figures for the metrics."""
        state = self._bulkhead.state()
        outcomes = {f"outcome_{name}_total": float(count) for name, count in state.outcomes.items()}
        return {
            **outcomes,
            "in_flight_calls": state.in_flight,
            "queued_calls": state.queued,
            "retries_total": state.retries,
            "breaker_open": float(state.breaker.value != "closed"),
            "calls_total": float(sum(state.latency_counts)),
            "latency_seconds_sum": state.latency_sum_s,
            "undelivered_total": self._worker.undelivered,
        }


class EventBridge(_Process):
    """Turns RabbitMQ messages into messages to orders."""

    _bridge: Bridge

    async def _compose(self, peers: Peers) -> None:
        config = self.config
        store = await composition.open_router_store(config, self.name)
        router = await composition.open_router(config, peers, store)
        inbound = Inbound(router, peers, Layout(config.shards), list(config.shipping_prices.get("standard", {})))
        self._bridge = composition.make_bridge(config, inbound.deliver)
        await self._bridge.start()

    async def statistics(self) -> dict[str, float]:
        """Figures for the metrics."""
        return composition.bridge_figures(self._bridge)


class Supervisor(_Process):
    """Starts the others, replaces what hangs, rings what was missed."""

    _watcher: Watcher

    async def _compose(self, peers: Peers) -> None:
        config = self.config
        store = await composition.open_router_store(config, self.name)
        router = await composition.open_router(config, peers, store)
        self._watcher = Watcher(
            processes=RayProcesses(config),
            peers=peers,
            router=router,
            store=store,
            policy=SupervisorPolicy(),
            dedicated_max=config.dedicated_max,
            monotonic=time.monotonic,
        )
        self._watcher.adopt_dedicated([g for g in await store.owners() if g.startswith("order-")])
        await self._watcher.start()

    async def dedicate(self, order_id: str) -> bool:
        """Start a process for one order; False when there may be no more."""
        return await self._watcher.dedicate(order_id)

    async def dismiss(self, order_id: str) -> None:
        """End the process of an order that is closed."""
        self._watcher.dismiss(order_id)

    async def report(self) -> dict[str, Any]:
        """Everything that operators and the metrics want to know."""
        return self._watcher.report()


def _kind_of(name: str) -> type[_Process]:
    if name.startswith("bulkhead-"):
        return Bulkhead
    return {BRIDGE: EventBridge, SUPERVISOR: Supervisor}.get(name, OrderShard)


class RayProcesses:
    """The processes as named, detached Ray actors."""

    def __init__(self, config: Settings) -> None:
        self._config = config

    def names(self) -> Sequence[str]:
        """All that must be there, the dedicated ones apart."""
        return [
            *Layout(self._config.shards).shard_names(),
            *(f"bulkhead-{partner.value}" for partner in Partner),
            BRIDGE,
        ]

    def start(self, name: str) -> None:
        """Create the actor unless it exists; Ray starts it again whenever it dies."""
        ray.remote(_kind_of(name)).options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=CONCURRENT_CALLS_MAX,
            max_pending_calls=PENDING_CALLS_MAX,
            enable_task_events=False,
        ).remote(name, self._config)

    def replace(self, name: str) -> None:
        """End a process that hangs; Ray starts another in its place."""
        try:
            ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=False)
        except ValueError:
            self.start(name)

    def end(self, name: str) -> None:
        """End a process for good."""
        try:
            ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=True)
        except ValueError:
            return


def connect(config: Settings) -> None:
    """Attach this process to Ray. Raises ``ConnectionError`` when no Ray answers at the address."""
    ray.init(
        address=config.ray_address or "auto",
        namespace=NAMESPACE,
        log_to_driver=False,
        configure_logging=False,
        ignore_reinit_error=True,
    )


async def main() -> None:
    """Bring everything up, say so, and watch over the supervisor until asked to stop."""
    config = settings()
    set_up_logs(config.log_level, process="runtime")
    connect(config)
    processes = RayProcesses(config)

    def lost(name: str, why: str) -> None:
        if why == SILENT:
            asyncio.get_running_loop().run_in_executor(None, processes.replace, name)

    peers = composition.make_peers(config)
    peers.on_lost = lost
    processes.start(SUPERVISOR)
    await peers.get(SUPERVISOR).found.wait()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


if __name__ == "__main__":
    # The classes must be importable by their real name in the workers, not as ``__main__``.
    from actors import runtime  # noqa: PLW0406 - on purpose, see above

    asyncio.run(runtime.main())
