"""The service's processes, each put together from the real parts as ``actors/processes`` does it, inside the simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from actors.bulkhead import Bulkhead
from actors.catalogue import Catalogue
from actors.clock import DatabaseClock
from actors.committer import CommitPolicy
from actors.failpoints import Failpoint
from actors.groups import Layout
from actors.inbound import Inbound
from actors.numbers import OrderNumbers
from actors.partner_calls import BulkheadCalls
from actors.router import Router, RouterLimits
from actors.shard import OrderShard, ShardPolicy
from actors.surroundings import GroupLimits, Surroundings
from actors.watches import Watches
from domain.calls import Call, Partner
from messaging.bridge import BridgeLimits, EventBridge
from messaging.inbound import CustomerChanged, ProductChanged
from messaging.publisher import Publisher, PublisherLimits
from partners.payment import PaymentClient
from partners.product import ProductClient
from partners.resilience import Bulkhead as PartnerBulkhead
from partners.resilience import Client, Limits
from partners.user import UserClient
from sagas.decision import Rules
from storage.errors import CommitUnknown, StorageUnavailable
from tests.faults.simulation.loop import OWNER, ProcessDied
from tests.faults.simulation.network import PeersDouble, ShardsDouble
from tests.faults.simulation.partners import SimulatedHttp
from tests.faults.simulation.store import StoreClient

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

SHARDS = 2
LAYOUT = Layout(SHARDS)
ASK_TIMEOUT_S = 4.0
RULES = Rules(
    payment_window_s=60.0,
    payment_settle_s=15.0,
    payment_watch_s=120.0,
    step_retry_first_s=0.5,
    step_retry_max_s=10.0,
    call_lost_s=14.0,
    verify_first_s=1.0,
    verify_max_s=15.0,
)
SHARD_POLICY = ShardPolicy(
    answer_within_s=ASK_TIMEOUT_S * 0.95,
    poll_every_s=2.0,
    sweep_every_s=6.0,
    resume_page_orders=2,
    resume_max_orders_per_s=100,
)
GROUP_LIMITS = GroupLimits(mailbox_max_messages=8, load_batch_max_orders=4, idle_s=5.0, set_aside_retry_s=5.0)
COMMIT_POLICY = CommitPolicy(batch_max_orders=3, retry_for_s=1.5, retry_max_s=0.4)
PUBLISHER_LIMITS = PublisherLimits(queue_max_events=12, confirms_in_flight_max=4, report_max_events=5)
ROUTER_LIMITS = RouterLimits(ask_timeout_s=ASK_TIMEOUT_S, batch_max_messages=4, owners_every_s=4.0)
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

    def __init__(self, world: World, peers: PeersDouble) -> None:
        self._world = world
        self._peers = peers
        self.shard: OrderShard
        self.publisher: Publisher
        self.calls: BulkheadCalls

    async def start(self) -> None:
        """Compose it and take its orders over. Raises what keeps it from starting."""
        world, peers = self._world, self._peers
        name = peers.process.name
        store = StoreClient(world.database, peers.process)
        failpoint = SimulatedFailpoint(world, peers)
        skew_s = world.weather.random.uniform(-3600, 3600)

        def monotonic() -> float:
            return world.loop.time() + skew_s

        async def mark(events: list[tuple[str, int]]) -> None:
            failpoint.hit("before_mark")
            await store.mark_published(events)
            failpoint.hit("after_mark")

        async def perform(partner: Partner, batch: bytes) -> list[int]:
            refused = await peers.get(f"bulkhead-{partner.value}").call("perform", batch)
            failpoint.hit("after_call")
            return cast("list[int]", refused)

        def not_sent(call: Call, why: str) -> None:
            self.shard.not_sent(call, why)

        self.publisher = Publisher("amqp://simulated", on_confirmed=mark, name=name, limits=PUBLISHER_LIMITS)
        self.calls = BulkheadCalls(perform, not_sent, queue_max_calls=8)
        bulkheads = {f"bulkhead-{partner.value}": partner for partner in Partner}
        peers.on_found = lambda found: self.calls.repeat(bulkheads[found]) if found in bulkheads else None
        catalogue = Catalogue(product_max_age_s=20, customer_max_age_s=20, max_entries=100, monotonic=monotonic)

        def around(_: OrderShard) -> Surroundings:
            return Surroundings(
                shard=name,
                store=store,
                publisher=self.publisher,
                calls=self.calls,
                clock=DatabaseClock(store.now, monotonic),
                catalogue=catalogue,
                numbers=OrderNumbers(store.take_numbers, block=3),
                watches=Watches(),
                rules=RULES,
                limits=GROUP_LIMITS,
                commit_policy=COMMIT_POLICY,
                failpoint=failpoint,
                monotonic=monotonic,
            )

        home = f"slices-{name.rsplit('-', 1)[1]}-of-{SHARDS}"
        self._catalogue = catalogue
        self.shard = OrderShard(name, home, LAYOUT, store, SHARD_POLICY, around)
        await self.publisher.start()
        await self.shard.start()

    async def handle(self, group: str, batch: bytes, take: bool) -> bytes:
        return await self.shard.handle(group, batch, take=take)

    async def watch(self, order_id: str, until: str) -> None:
        await self.shard.watch(order_id, until)

    async def product_changed(self, news: ProductChanged) -> None:
        self._catalogue.product_changed(news)

    async def customer_changed(self, news: CustomerChanged) -> None:
        self._catalogue.customer_changed(news)

    async def passivate(self) -> None:
        self.shard.passivate()


class RoutingHost:
    """What bulkheads, the bridge and the API have in common: a router."""

    def __init__(self, world: World, peers: PeersDouble) -> None:
        self.world = world
        self.peers = peers
        self.router: Router

    async def start(self) -> None:
        """Open the router."""
        store = StoreClient(self.world.database, self.peers.process)

        async def read() -> Mapping[str, str]:
            return {group: owner.shard for group, owner in (await store.owners()).items()}

        self.router = Router(LAYOUT, ShardsDouble(self.peers), read, ROUTER_LIMITS)
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
        caller = PartnerBulkhead(partner, clients[partner](), BULKHEAD_LIMITS, rng=self.world.weather.random.random)
        self._worker = Bulkhead(partner.value, caller, self.router, calls_max=6, deliver_attempts_max=4)

    async def perform(self, batch: bytes) -> list[int]:
        return self._worker.perform(batch)


class BridgeHost(RoutingHost):
    """``actors.processes.event_bridge``: what the queue holds is tried, sent to wait, or set aside as there."""

    async def start(self) -> None:
        await super().start()
        inbound = Inbound(self.router, cast("Any", self.peers), LAYOUT)
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
        failure = await self._bridge._try(cast("Any", SimpleNamespace(body=queue.ready[number])))
        if failure is None:
            queue.ack(number)
        elif failure.is_for_later:
            queue.wait(number, failure.reason)
        else:
            queue.set_aside(number, failure.reason)


class ApiHost(RoutingHost):
    """An API process: it only asks."""


START_FAILS = (StorageUnavailable, CommitUnknown)
KINDS: dict[str, Callable[[Any, PeersDouble], Any]] = {
    "order-shard": ShardHost,
    "bulkhead": BulkheadHost,
    "bridge": BridgeHost,
    "api": ApiHost,
}
NAMES = (
    *LAYOUT.shard_names(),
    "bulkhead-product",
    "bulkhead-payment",
    "bulkhead-user",
    "bridge",
    "api-0",
    "api-1",
)
