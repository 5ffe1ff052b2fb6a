"""The service's processes, each put together from the real parts as ``actors/processes`` does it, inside the simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import msgspec

from actors.order.commit_loop import CommitPolicy
from actors.order.failpoints import Failpoint
from actors.processes.call_worker import CallWorker
from actors.processes.event_delivery import EventDelivery
from actors.processes.read_through import ReadThrough
from actors.processes.supervision import Supervision, SupervisionPolicy
from actors.routing.ownership import Ownership
from actors.routing.router import Router, RouterLimits
from actors.rpc.process_names import SUPERVISOR, shard_names
from actors.rpc.server import Methods
from actors.shard.context import ResidentLimits
from actors.shard.dedicated_orders import DedicatedPolicy
from actors.shard.make_shard import make_shard
from actors.shard.partitions import PartitionPolicy
from actors.shard.reference_cache import CachePolicy
from actors.shard.shard import Shard, ShardPolicy
from domain.calls import Partner
from messaging import topology
from messaging.consuming.consumer import Consumer, ConsumerLimits
from messaging.consuming.delivery import Delivery
from messaging.publishing.publisher import Publisher, PublisherLimits
from partners.payment import PaymentClient
from partners.product import ProductClient
from partners.resilient_client import PartnerClient, ResilienceLimits
from partners.resilient_client import ResilientClient as PartnerBulkhead
from partners.user import UserClient
from sagas.decision import OrderRules
from storage.errors import CommitUnknown, StorageUnavailable
from tests.faults.simulation.loop import OWNER, ProcessDied
from tests.faults.simulation.network import PeersDouble
from tests.faults.simulation.partner_network import SimulatedHttp
from tests.faults.simulation.shared_cache import MAX_AGE_S, InvalidationDouble
from tests.faults.simulation.store import StoreClient

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

START_FAILS = (StorageUnavailable, CommitUnknown)
ROLES = dict(zip(shard_names(3), ("serving", "serving", "standby"), strict=True))
ADDED = "order-shard-3"
SEEN_EVERY_S = 2.0
ASSIGN_AGAIN_S = 0.1
ASK_TIMEOUT_S = 4.0
RULES = OrderRules(
    payment_window_s=60.0,
    payment_settle_s=15.0,
    payment_watch_s=120.0,
    payment_attention_s=40.0,
    step_retry_first_s=0.5,
    step_retry_max_s=10.0,
    call_lost_s=14.0,
    verify_first_s=1.0,
    verify_max_s=15.0,
)
SHARD_POLICY = ShardPolicy(
    poll_every_s=2.0,
    sweep_every_s=6.0,
    resume_page_orders=2,
    resume_max_orders_per_s=100,
    order_block_numbers=3,
    rules=RULES,
    orders=ResidentLimits(mailbox_max_messages=8, load_batch_max_orders=4, idle_s=5.0, set_aside_retry_s=5.0),
    commits=CommitPolicy(batch_max_orders=3, retry_for_s=1.5, retry_max_s=0.4),
    partitions=PartitionPolicy(look_every_s=2.0, seen_stale_s=10.0),
    reference_cache=CachePolicy(product_max_age_s=MAX_AGE_S, customer_max_age_s=MAX_AGE_S, max_entries=100),
)
SUPERVISOR_POLICY = SupervisionPolicy(round_every_s=3.0, tidy_every_rounds=3)
PUBLISHER_LIMITS = PublisherLimits(queue_max_events=12, confirms_in_flight_max=4, report_max_events=5)
ROUTER_LIMITS = RouterLimits(ask_timeout_s=ASK_TIMEOUT_S)
BULKHEAD_LIMITS = ResilienceLimits(
    concurrency_max_calls=3,
    queue_max_calls=6,
    try_timeout_s=2.0,
    total_timeout_s=5.0,
    attempts_max=2,
    breaker_failures_max=5,
    breaker_reset_s=1.0,
)


class SimulatedFailpoint(Failpoint):
    """Kills its process at a step boundary, by chance."""

    def __init__(self, world: World, clients: PeersDouble) -> None:
        super().__init__(None)
        self._world = world
        self._clients = clients

    def hit(self, name: str) -> None:
        chaos = self._world.chaos
        if chaos.strikes(chaos.chances.crash_at_failpoint) and OWNER.get() is self._clients.process:
            self._world.note("failpoint", name)
            self._world.kill(self._clients)
            raise ProcessDied


class ShardHost:
    """``actors.processes.order_shard``."""

    def __init__(self, world: World, clients: PeersDouble) -> None:
        self._world = world
        self._clients = clients
        self.name = clients.process.name
        self._shard: Shard

    async def start(self) -> None:
        """Make it, and let it take orders. Raises what keeps it from starting."""
        world, clients = self._world, self._clients
        name = clients.process.name
        store = StoreClient(world.database, clients.process)
        process_id = f"{name}/{clients.process.number}"
        await store.register(process_id, name, "starting")
        skew_s = world.chaos.random.uniform(-3600, 3600)
        dedicated = DedicatedPolicy(mode="some", customers=frozenset(world.chaos.dedicated_customers))
        self._shard = make_shard(
            process_id,
            name,
            store=store,
            clients=cast("Any", clients),
            policy=replace(SHARD_POLICY, dedicated=dedicated),
            make_publisher=partial(Publisher, "amqp://simulated", name=name, limits=PUBLISHER_LIMITS),
            failpoint=SimulatedFailpoint(world, clients),
            monotonic=lambda: world.loop.time() + skew_s,
        )
        await self._shard.start()
        while True:  # what has begun by now goes on: a second host of the same process would be another owner
            try:
                await store.assign_state(process_id, ROLES.get(name, "serving"))
                break
            except START_FAILS:
                await asyncio.sleep(ASSIGN_AGAIN_S)
        world.loop.create_task(self._be_seen(store, process_id))

    async def _be_seen(self, store: StoreClient, process_id: str) -> None:
        while True:
            await asyncio.sleep(SEEN_EVERY_S)
            with suppress(*START_FAILS):
                await store.seen(process_id)

    def methods(self) -> Methods:
        """What others may call."""
        return {**self._shard.methods(), "statistics": self._shard.statistics}


class RoutingHost:
    """What bulkheads, the bridge and the API have in common: a router."""

    def __init__(self, world: World, clients: PeersDouble) -> None:
        self.world = world
        self.clients = clients
        self.router: Router

    async def start(self) -> None:
        """Open the router."""
        store = StoreClient(self.world.database, self.clients.process)

        self.router = Router(
            Ownership(store.owner_names, self.clients.forget, read_every_s=4.0), self.clients, ROUTER_LIMITS
        )
        await self.router.start()

    def methods(self) -> Methods:
        """What others may call."""
        return {}


class BulkheadHost(RoutingHost):
    """``actors.processes.bulkhead``."""

    async def start(self) -> None:
        await super().start()
        partner = Partner(self.clients.process.name.removeprefix("bulkhead-"))
        http = SimulatedHttp(self.world)
        clients: dict[Partner, Callable[[], PartnerClient]] = {
            Partner.PRODUCT: lambda: ProductClient(http),
            Partner.PAYMENT: lambda: PaymentClient(http),
            Partner.USER: lambda: UserClient(http),
        }
        bulkhead = PartnerBulkhead(partner, clients[partner](), BULKHEAD_LIMITS, rng=self.world.chaos.random.random)
        caller = ReadThrough(bulkhead, cast("Any", self.world.copies))
        self._worker = CallWorker(partner.value, caller, self.router, calls_max=6, deliver_attempts_max=4)

    def methods(self) -> Methods:
        return {"perform": self._worker.perform}


class BridgeHost(RoutingHost):
    """``actors.processes.event_bridge``: what the queue holds is tried, sent to wait, or set aside as there."""

    async def start(self) -> None:
        await super().start()
        store = StoreClient(self.world.database, self.clients.process)
        invalidation = InvalidationDouble(store, self.world.copies)
        inbound = EventDelivery(self.router, cast("Any", self.clients), invalidation)
        limits = ConsumerLimits(deliver_timeout_s=ASK_TIMEOUT_S * 2)
        self._bridge = Consumer("amqp://simulated", deliver=inbound.deliver, limits=limits)
        self.world.loop.create_task(self._consume())

    async def _consume(self) -> None:
        queue = self.world.inbox
        while True:
            await asyncio.sleep(0.2)
            for number in [number for number in queue.ready if number not in queue.at_work]:
                queue.at_work.add(number)
                self.world.loop.create_task(self._receive(number))

    async def _receive(self, number: int) -> None:
        queue = self.world.inbox
        body = queue.ready[number]
        kind = str(msgspec.json.decode(body)["type"])
        failure = await self._bridge._try(Delivery(body=body, exchange=topology.CONSUMED[kind], routing_key=kind))
        if failure is None:
            queue.ack(number)
        elif failure.is_for_later:
            queue.wait(number, failure.reason)
        else:
            queue.set_aside(number, failure.reason)


class ProcessesDouble:
    """The processes, as the supervisor makes and ends them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def names(self) -> list[str]:
        return [name for name in NAMES if name != SUPERVISOR and name not in ROLES and not name.startswith("api")]

    def alive(self) -> list[str]:
        return list(self._world.hosts)

    def start(self, name: str) -> None:
        self._world.begin(name)

    def replace(self, name: str) -> None:
        self._world.replace(name)

    def end(self, name: str) -> None:
        self._world.end(name)


class SupervisorHost(RoutingHost):
    """``actors.processes.supervisor``."""

    async def start(self) -> None:
        await super().start()
        self._watcher = Supervision(
            processes=ProcessesDouble(self.world),
            clients=cast("Any", self.clients),
            store=StoreClient(self.world.database, self.clients.process),
            policy=SUPERVISOR_POLICY,
            cell="main",
            roles=ROLES,
            dedicated_max=2,
            monotonic=self.world.loop.time,
        )
        await self._watcher.adopt_dedicated()
        self._watcher.start()

    def methods(self) -> Methods:
        return {"dedicate": self._watcher.dedicate, "dismiss": self._watcher.dismiss}


class ApiHost(RoutingHost):
    """An API process: it only asks."""


KINDS: dict[str, Callable[[Any, PeersDouble], Any]] = {
    "order-": ShardHost,
    SUPERVISOR: SupervisorHost,
    "bulkhead": BulkheadHost,
    "bridge": BridgeHost,
    "api": ApiHost,
}
NAMES = (
    *ROLES,
    "bulkhead-product",
    "bulkhead-payment",
    "bulkhead-user",
    "bridge",
    SUPERVISOR,
    "api-0",
    "api-1",
)
