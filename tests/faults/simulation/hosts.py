"""The service's processes, each put together from the real parts as ``actors/processes`` does it, inside the simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import msgspec

from actors.bulkhead import Bulkhead
from actors.clock import DatabaseClock
from actors.committer import CommitPolicy
from actors.dedicated import DedicatedOrders, DedicatedPolicy
from actors.failpoints import Failpoint
from actors.inbound import Inbound
from actors.link import CallFailed, ProcessGone
from actors.names import bulkhead_of, shard_names
from actors.numbers import OrderNumbers
from actors.ownership import Ownership
from actors.partitions import PartitionPolicy
from actors.partner_calls import BulkheadCalls
from actors.processes.order_shard import OrderShard as ShardProcess
from actors.processes.process import SUPERVISOR
from actors.read_through import ReadThrough
from actors.reference_cache import ReferenceCache
from actors.router import Router, RouterLimits
from actors.shard import OrderShard, ShardPolicy
from actors.supervisor import Supervisor, SupervisorPolicy
from actors.surroundings import GroupLimits, Surroundings
from domain.calls import Call, Partner
from domain.order import Order
from messaging import topology
from messaging.arrived import Arrived
from messaging.bridge import BridgeLimits, EventBridge
from messaging.inbound import ReferenceChanged
from messaging.publisher import Publisher, PublisherLimits
from partners.payment import PaymentClient
from partners.product import ProductClient
from partners.resilience import Bulkhead as PartnerBulkhead
from partners.resilience import Client, Limits
from partners.user import UserClient
from sagas.decision import Rules
from storage.errors import CommitUnknown, StorageUnavailable
from supervised import supervised_once
from tests.faults.simulation.copies import MAX_AGE_S, InvalidationDouble
from tests.faults.simulation.loop import OWNER, ProcessDied
from tests.faults.simulation.network import PeersDouble
from tests.faults.simulation.partner_network import SimulatedHttp
from tests.faults.simulation.store import StoreClient

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

START_FAILS = (StorageUnavailable, CommitUnknown)
ROLES = dict(zip(shard_names(3), ("serving", "serving", "standby"), strict=True))
ADDED = "order-shard-3"
SEEN_EVERY_S = 2.0
ASSIGN_AGAIN_S = 0.1
ASK_TIMEOUT_S = 4.0
RULES = Rules(
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
    partitions=PartitionPolicy(look_every_s=2.0, seen_stale_s=10.0),
)
GROUP_LIMITS = GroupLimits(mailbox_max_messages=8, load_batch_max_orders=4, idle_s=5.0, set_aside_retry_s=5.0)
COMMIT_POLICY = CommitPolicy(batch_max_orders=3, retry_for_s=1.5, retry_max_s=0.4)
SUPERVISOR_POLICY = SupervisorPolicy(round_every_s=3.0, tidy_every_rounds=3)
PUBLISHER_LIMITS = PublisherLimits(queue_max_events=12, confirms_in_flight_max=4, report_max_events=5)
ROUTER_LIMITS = RouterLimits(ask_timeout_s=ASK_TIMEOUT_S)
BULKHEAD_LIMITS = Limits(
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

    def __init__(self, world: World, peers: PeersDouble) -> None:
        super().__init__(None)
        self._world = world
        self._peers = peers

    def hit(self, name: str) -> None:
        weather = self._world.weather
        if weather.strikes(weather.chances.crash_at_failpoint) and OWNER.get() is self._peers.process:
            self._world.note("failpoint", name)
            self._world.kill(self._peers)
            raise ProcessDied


class ShardHost:
    """``actors.processes.order_shard``."""

    answers_later = ("deliver",)

    def __init__(self, world: World, peers: PeersDouble) -> None:
        self._world = world
        self._peers = peers
        self.name = peers.process.name
        self._shard: OrderShard
        self._publisher: Publisher
        self.calls: BulkheadCalls

    async def start(self) -> None:
        """Compose it and take its orders over. Raises what keeps it from starting."""
        world, peers = self._world, self._peers
        name = peers.process.name
        store = StoreClient(world.database, peers.process)
        process_id = f"{name}/{peers.process.number}"
        await store.register(process_id, name, "starting")
        failpoint = SimulatedFailpoint(world, peers)
        skew_s = world.weather.random.uniform(-3600, 3600)

        def monotonic() -> float:
            return world.loop.time() + skew_s

        async def mark(events: list[tuple[str, int]]) -> None:
            failpoint.hit("before_mark")
            await store.mark_published(events)
            failpoint.hit("after_mark")

        def perform(partner: Partner, call: bytes) -> asyncio.Future[bool]:
            performed = peers.get(bulkhead_of(partner)).send("perform", call)
            performed.add_done_callback(lambda done: None if done.exception() else failpoint.hit("after_call"))
            return performed

        def not_sent(call: Call, why: str) -> None:
            self._shard.not_sent(call, why)

        self._publisher = Publisher("amqp://simulated", on_confirmed=mark, name=name, limits=PUBLISHER_LIMITS)

        def ask_again(order_id: str, partner: Partner) -> None:
            self._shard.ask_again(order_id, partner)

        def find(order_id: str) -> Order | None:
            return self._shard.find(order_id)

        clock = DatabaseClock(store.now, monotonic)
        self.calls = BulkheadCalls(perform, not_sent, ask_again, find, clock.now)
        bulkheads = {bulkhead_of(partner): partner for partner in Partner}

        def on_found(found: str) -> None:
            if found in bulkheads:
                self.calls.repeat(bulkheads[found])
            elif found.startswith("order-"):
                self._shard.partitions.link_changed(found)

        peers.on_found = on_found
        peers.on_lost = lambda lost, _: self._shard.partitions.link_changed(lost)
        reference_cache = ReferenceCache(
            product_max_age_s=MAX_AGE_S,
            customer_max_age_s=MAX_AGE_S,
            max_entries=100,
            monotonic=monotonic,
        )
        process = cast("ShardProcess", self)
        dedicated = DedicatedOrders(
            DedicatedPolicy(mode="some", customers=frozenset(world.weather.dedicated_customers)),
            ShardProcess._start_dedicated(process, cast("Any", peers)),
        )

        def on_committed(order: Order) -> None:
            ShardProcess._committed(process, dedicated, cast("Any", peers), order)

        def around(_: OrderShard) -> Surroundings:
            return Surroundings(
                shard=name,
                store=store,
                publisher=self._publisher,
                calls=self.calls,
                clock=clock,
                reference_cache=reference_cache,
                numbers=OrderNumbers(store.take_numbers, block=3),
                rules=RULES,
                limits=GROUP_LIMITS,
                commit_policy=COMMIT_POLICY,
                failpoint=failpoint,
                monotonic=monotonic,
                on_committed=on_committed,
            )

        self._reference_cache = reference_cache
        self._shard = OrderShard(process_id, name, store, Neighbours(peers), SHARD_POLICY, around)
        await self._publisher.start()
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

    async def look(self) -> None:
        self._shard.partitions.look_soon()

    async def split(self, order_id: str) -> None:
        await self._shard.partitions.split(order_id)

    def deliver(self, answer: Callable[[bytes], None], letter: bytes) -> None:
        self._shard.deliver(answer, letter)

    async def watch(self, order_id: str, until: str) -> bytes | None:
        return await self._shard.watch(order_id, until)

    async def reference_changed(self, change: ReferenceChanged) -> None:
        self._reference_cache.change(change)

    async def statistics(self) -> dict[str, float]:
        return self._shard.statistics()

    async def passivate(self) -> None:
        self._shard.passivate()


class Neighbours:
    """The other shards, as ``actors/partitions.py`` sees them."""

    def __init__(self, peers: PeersDouble) -> None:
        self._peers = peers

    def is_up(self, name: str) -> bool:
        return self._peers.is_up(name)

    def forget(self, name: str) -> None:
        self._peers.forget(name)

    def tell_to_look(self, name: str) -> None:
        supervised_once("tell-to-look", self._call(name, "look"))

    def ask_to_split(self, name: str, order_id: str) -> None:
        supervised_once("ask-to-split", self._call(name, "split", order_id))

    async def _call(self, name: str, method: str, *arguments: object) -> None:
        with suppress(ProcessGone, CallFailed):
            await self._peers.get(name).call(method, *arguments)


class RoutingHost:
    """What bulkheads, the bridge and the API have in common: a router."""

    answers_later = ()

    def __init__(self, world: World, peers: PeersDouble) -> None:
        self.world = world
        self.peers = peers
        self.router: Router

    async def start(self) -> None:
        """Open the router."""
        store = StoreClient(self.world.database, self.peers.process)

        self.router = Router(
            Ownership(store.owner_names, self.peers.forget, read_every_s=4.0), self.peers, ROUTER_LIMITS
        )
        await self.router.start()


class BulkheadHost(RoutingHost):
    """``actors.processes.bulkhead``."""

    async def start(self) -> None:
        await super().start()
        partner = Partner(self.peers.process.name.removeprefix("bulkhead-"))
        http = SimulatedHttp(self.world)
        clients: dict[Partner, Callable[[], Client]] = {
            Partner.PRODUCT: lambda: ProductClient(http),
            Partner.PAYMENT: lambda: PaymentClient(http),
            Partner.USER: lambda: UserClient(http),
        }
        bulkhead = PartnerBulkhead(partner, clients[partner](), BULKHEAD_LIMITS, rng=self.world.weather.random.random)
        caller = ReadThrough(bulkhead, cast("Any", self.world.copies))
        self._worker = Bulkhead(partner.value, caller, self.router, calls_max=6, deliver_attempts_max=4)

    async def perform(self, call: bytes) -> bool:
        return self._worker.perform(call)


class BridgeHost(RoutingHost):
    """``actors.processes.event_bridge``: what the queue holds is tried, sent to wait, or set aside as there."""

    async def start(self) -> None:
        await super().start()
        store = StoreClient(self.world.database, self.peers.process)
        invalidation = InvalidationDouble(store, self.world.copies)
        inbound = Inbound(self.router, cast("Any", self.peers), invalidation)
        limits = BridgeLimits(deliver_timeout_s=ASK_TIMEOUT_S * 2)
        self._bridge = EventBridge("amqp://simulated", deliver=inbound.deliver, limits=limits)
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
        failure = await self._bridge._try(Arrived(body=body, exchange=topology.CONSUMED[kind], routing_key=kind))
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
        self._watcher = Supervisor(
            processes=ProcessesDouble(self.world),
            peers=cast("Any", self.peers),
            store=StoreClient(self.world.database, self.peers.process),
            policy=SUPERVISOR_POLICY,
            cell="main",
            roles=ROLES,
            dedicated_max=2,
            monotonic=self.world.loop.time,
        )
        await self._watcher.adopt_dedicated()
        self._watcher.start()

    async def dedicate(self, order_id: str) -> bool:
        return await self._watcher.dedicate(order_id)

    async def dismiss(self, order_id: str) -> None:
        await self._watcher.dismiss(order_id)


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
