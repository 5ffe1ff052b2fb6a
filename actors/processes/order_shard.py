"""The process that hosts order actors: those of its slices, or a single one."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from actors import composition
from actors.catalogue import Catalogue
from actors.clock import DatabaseClock
from actors.dedicated import DedicatedOrders
from actors.failpoints import Failpoint
from actors.groups import Layout, bulkhead_of
from actors.link import AnsweredLater, Methods
from actors.numbers import OrderNumbers
from actors.partner_calls import BulkheadCalls
from actors.peers import Peers
from actors.processes.process import SUPERVISOR, Process
from actors.shard import OrderShard as Shard
from actors.shard import ShardPolicy
from actors.surroundings import Surroundings
from domain.calls import Call, Partner
from domain.order import Order
from domain.slices import dedicated_group
from messaging.inbound import CustomerChanged, ProductChanged
from messaging.publisher import Publisher
from storage.snapshots import OrderStore
from supervised import supervised

CATALOGUE_MAX_ENTRIES = 20_000
ADOPTED_WITHIN_S = 10  # then its former owner goes on with the order, unless the new one turns out to have it


class OrderShard(Process):
    """Hosts order actors: those of its slices (``order-shard-<k>``), or a single one (``order-<id>``)."""

    _shard: Shard
    _publisher: Publisher
    _calls: BulkheadCalls
    _catalogue: Catalogue

    async def _compose(self, peers: Peers, opened: AsyncExitStack) -> None:
        config = self.config
        layout = Layout(config.shards)
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
        peers.on_found = lambda name: calls.repeat(bulkheads[name]) if name in bulkheads else None
        is_ordinary = self.name in layout.shard_names()
        # News are told to ordinary shards only; a process of one order has no use for copies.
        catalogue = Catalogue(
            product_max_age_s=config.product_cache_s if is_ordinary else 0,
            customer_max_age_s=config.customer_cache_s if is_ordinary else 0,
            max_entries=CATALOGUE_MAX_ENTRIES,
            monotonic=time.monotonic,
        )
        dedicated = DedicatedOrders(
            composition.dedicated_policy_of(config), self._start_dedicated(peers), self._hand_over(peers)
        )

        def on_committed(group: str, order: Order) -> None:
            dedicated.consider(group, order)
            if self._is_done(group, order):
                supervised("go-home", lambda: self._go_home(store, peers, order.id))

        def around(_: Shard) -> Surroundings:
            return Surroundings(
                shard=self.name,
                store=store,
                publisher=publisher,
                calls=calls,
                clock=clock,
                catalogue=catalogue,
                numbers=OrderNumbers(store.take_numbers, block=config.order_block_numbers),
                rules=composition.rules_of(config),
                limits=composition.group_limits_of(config),
                commit_policy=composition.commit_policy_of(config),
                failpoint=failpoint,
                monotonic=time.monotonic,
                on_committed=on_committed,
            )

        home = f"slices-{self.name.rsplit('-', 1)[1]}-of-{layout.shards}" if is_ordinary else self.name
        policy = ShardPolicy(
            resume_max_orders_per_s=config.resume_max_orders_per_s,
            sweep_every_s=config.publisher_sweep_every_s,
        )
        self._publisher, self._calls, self._catalogue = publisher, calls, catalogue
        self._shard = Shard(self.name, home, layout, store, policy, around)
        await publisher.start()
        opened.push_async_callback(publisher.stop)
        opened.push_async_callback(self._shard.stop)
        await self._shard.start()

    def _methods(self) -> Methods:
        return {
            **super()._methods(),
            "deliver": AnsweredLater(self._shard.deliver),
            "watch": self._shard.watch,
            "adopt": self._shard.adopt,
            "product_changed": self.product_changed,
            "customer_changed": self.customer_changed,
            "passivate": self._shard.passivate,
        }

    def _start_dedicated(self, peers: Peers) -> Any:
        async def start(order_id: str) -> bool:
            supervisor = peers.get(SUPERVISOR)
            await asyncio.wait_for(supervisor.found.wait(), 10)
            return bool(await asyncio.wait_for(supervisor.call("dedicate", order_id), 30))

        return start

    def _hand_over(self, peers: Peers) -> Any:
        async def hand_over(order_id: str) -> None:
            peer = peers.get(dedicated_group(order_id))
            await asyncio.wait_for(peer.found.wait(), 10)
            try:
                await self._shard.hand_over(order_id, lambda: asyncio.wait_for(peer.call("adopt"), ADOPTED_WITHIN_S))
            finally:
                peers.forget(peer.name)

        return hand_over

    def _is_done(self, group: str, order: Order) -> bool:
        """Whether this process was there for that order alone; one that stands in for it goes on with its own."""
        return order.is_closed and group == self.name == dedicated_group(order.id)

    async def _go_home(self, store: OrderStore, peers: Peers, order_id: str) -> None:
        """The order of this process is closed: give it back to its slices, and end."""
        await self._publisher.stop()  # what can't be said now is found unpublished by the shard that has it then
        await store.undedicate(order_id)
        supervisor = peers.get(SUPERVISOR)
        await asyncio.wait_for(supervisor.found.wait(), 30)
        await supervisor.call("dismiss", order_id)

    def product_changed(self, news: dict[str, Any]) -> None:
        """An event told of a new version of a product; ``news`` are the fields of a ``ProductChanged``."""
        self._catalogue.product_changed(msgspec.convert(news, ProductChanged))

    def customer_changed(self, news: dict[str, Any]) -> None:
        """An event told of a new version of a customer; ``news`` are the fields of a ``CustomerChanged``."""
        self._catalogue.customer_changed(msgspec.convert(news, CustomerChanged))

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
