"""The process that hosts order actors: those of its slices, or a single one."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from actors import composition
from actors.clock import DatabaseClock
from actors.dedicated import DedicatedOrders
from actors.failpoints import Failpoint
from actors.link import AnsweredLater, Methods
from actors.names import bulkhead_of
from actors.numbers import OrderNumbers
from actors.partner_calls import BulkheadCalls
from actors.peers import Peers
from actors.processes.process import SUPERVISOR, Process
from actors.reference_cache import ReferenceCache
from actors.shard import OrderShard as Shard
from actors.shard import ShardPolicy
from actors.surroundings import Surroundings
from domain.calls import Call, Partner
from domain.order import Order
from domain.slices import DEDICATED, dedicated_partition
from messaging.inbound import ReferenceChanged
from messaging.publisher import Publisher
from storage.processes import ProcessState
from storage.snapshots import OrderStore
from supervised import supervised

GONE_HOME_WITHIN_S = 30
REFERENCE_MAX_ENTRIES = 20_000


class OrderShard(Process):
    """Hosts order actors: those of its slices (``order-shard-<k>``), or a single one (``order-<id>``)."""

    kind = "shard"
    _shard: Shard
    _publisher: Publisher
    _calls: BulkheadCalls
    _reference_cache: ReferenceCache

    async def _compose(self, peers: Peers, opened: AsyncExitStack) -> None:
        config = self.config
        store = await OrderStore.open(
            config.database_url.get_secret_value(),
            application_name=self.name,
            limits=composition.pool_limits_of(config, config.database_pool_max_connections),
        )
        opened.push_async_callback(store.close)
        failpoint = Failpoint(Path(config.failpoints_dir) if config.failpoints_dir else None)

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
        bulkheads = {bulkhead_of(partner): partner for partner in Partner}
        for name in bulkheads:
            peers.get(name)

        def perform(partner: Partner, call: bytes) -> asyncio.Future[bool]:
            performed = peers.get(bulkhead_of(partner)).send("perform", call)
            performed.add_done_callback(lambda done: None if done.exception() else failpoint.hit("after_call"))
            return performed

        def not_sent(call: Call, why: str) -> None:
            self._shard.not_sent(call, why)

        def ask_again(order_id: str, partner: Partner) -> None:
            self._shard.ask_again(order_id, partner)

        def find(order_id: str) -> Order | None:
            return self._shard.find(order_id)

        clock = DatabaseClock(store.now, time.monotonic)
        calls = BulkheadCalls(perform, not_sent, ask_again, find, clock.now)

        def on_found(name: str) -> None:
            if name in bulkheads:
                calls.repeat(bulkheads[name])
            elif name.startswith(DEDICATED):
                self._shard.partitions.link_changed(name)

        peers.on_found = on_found
        peers.on_lost = lambda name, _: self._shard.partitions.link_changed(name)
        reference_cache = ReferenceCache(
            product_max_age_s=config.product_cache_s,
            customer_max_age_s=config.customer_cache_s,
            max_entries=REFERENCE_MAX_ENTRIES,
            monotonic=time.monotonic,
        )
        dedicated = DedicatedOrders(
            composition.dedicated_policy_of(config),
            self._start_dedicated(peers),
        )

        def on_committed(order: Order) -> None:
            self._committed(dedicated, peers, order)

        def around(_: Shard) -> Surroundings:
            return Surroundings(
                shard=self.name,
                store=store,
                publisher=publisher,
                calls=calls,
                clock=clock,
                reference_cache=reference_cache,
                numbers=OrderNumbers(store.take_numbers, block=config.order_block_numbers),
                rules=composition.rules_of(config),
                limits=composition.group_limits_of(config),
                commit_policy=composition.commit_policy_of(config),
                failpoint=failpoint,
                monotonic=time.monotonic,
                on_committed=on_committed,
            )

        policy = ShardPolicy(
            resume_max_orders_per_s=config.resume_max_orders_per_s,
            sweep_every_s=config.publisher_sweep_every_s,
        )
        self._publisher, self._calls, self._reference_cache = publisher, calls, reference_cache
        self._shard = Shard(self.id, self.name, store, composition.PeerNeighbours(peers), policy, around)
        await publisher.start()
        opened.push_async_callback(publisher.stop)
        opened.push_async_callback(self._shard.stop)
        await self._shard.start()

    def _state(self) -> ProcessState:
        return composition.roles_of(self.config).get(self.name, ProcessState.SERVING)

    def _started(self) -> None:
        self._shard.partitions.look_soon()

    def _methods(self) -> Methods:
        return {
            **super()._methods(),
            "deliver": AnsweredLater(self._shard.deliver),
            "watch": self._shard.watch,
            "look": self._shard.partitions.look_soon,
            "split": self._shard.partitions.split,
            "reference_changed": self.reference_changed,
            "passivate": self._shard.passivate,
        }

    def _start_dedicated(self, peers: Peers) -> Any:
        async def start(order_id: str) -> bool:
            supervisor = peers.get(SUPERVISOR)
            await asyncio.wait_for(supervisor.found.wait(), 10)
            return bool(await asyncio.wait_for(supervisor.call("dedicate", order_id), 30))

        return start

    def _committed(self, dedicated: DedicatedOrders, peers: Peers, order: Order) -> None:
        if dedicated_partition(order.id) not in self._shard.partitions.mine:
            dedicated.consider(order)
        elif order.is_closed and self.name == dedicated_partition(order.id):
            supervised("go-home", lambda: self._go_home(peers, order.id))

    async def _go_home(self, peers: Peers, order_id: str) -> None:
        """The order of this process is closed: once it is back in the partition of its slice, the process ends.

        What keeps it from that is seen to by the supervisor.
        """
        self._shard.partitions.look_soon()
        await asyncio.wait_for(self._shard.partitions.emptied.wait(), GONE_HOME_WITHIN_S)
        await self._publisher.stop()  # what can't be said now is found unpublished by the shard that has it then
        supervisor = peers.get(SUPERVISOR)
        await asyncio.wait_for(supervisor.found.wait(), GONE_HOME_WITHIN_S)
        await supervisor.call("dismiss", order_id)

    def reference_changed(self, change: dict[str, Any]) -> None:
        """An event told of a product or a customer; ``change`` are the fields of a ``ReferenceChanged``."""
        self._reference_cache.change(msgspec.convert(change, ReferenceChanged))

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
            "orders_held_back": self._calls.held_back,
        }
