"""The engine alone as a Ray actor: the real shard, group commit and store, with partners that answer at once beside it.

It differs from the service's own shard in two things: calls to partners are answered in this process instead of being
sent to a bulkhead, and events stay in the outbox instead of going to RabbitMQ (the other engines publish nothing).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack

from actors import composition
from actors.clock import DatabaseClock
from actors.failpoints import Failpoint
from actors.link import AnsweredLater, Methods
from actors.mailbox import Letter
from actors.numbers import OrderNumbers
from actors.peers import Peers
from actors.processes.process import Process
from actors.reference_cache import ReferenceCache
from actors.shard import OrderShard, ShardPolicy
from actors.surroundings import Surroundings
from benchmarks.partners import answer_at_once
from domain.calls import Call, Outcome
from domain.commands import Actor, ActorType, CallAnswered, Message
from domain.order import Order, Status
from messaging.publisher import Outbound
from settings import Settings
from storage.snapshots import OrderStore

REFERENCE_MAX_ENTRIES = 20_000
REFERENCE_MAX_AGE_S = 3600.0
PREPARED = (Status.PREPARED, Status.SHIPPED, Status.DELIVERED, Status.CANCELLED)


class OutboxOnly:
    """A publisher that leaves events where they are committed."""

    def offer(self, order_id: str, events: Sequence[Outbound]) -> None:
        """Leave them in the outbox."""

    def forget(self, order_ids: Iterable[str]) -> None:
        """Nothing is remembered."""

    def leave(self, order_ids: Iterable[str]) -> None:
        """Nothing lags."""


class InstantPartners:
    """Takes calls and answers each as a letter to its order."""

    def __init__(self) -> None:
        self.shard: OrderShard | None = None

    def send(self, calls: Iterable[Call]) -> None:
        """Answer calls whose intents are committed."""
        assert self.shard is not None
        for call in calls:
            answered = CallAnswered(call.key, call.attempt, answer_at_once(call))
            actor = Actor(ActorType.PARTNER, "instant")
            message = Message(id=f"answer:{call.key}:{call.attempt}", body=answered, actor=actor)
            self.shard.accept(Letter(call.order_id, message))

    def send_again(self, calls: Iterable[Call]) -> None:
        """Answer them as if they had not been answered."""
        self.send(calls)

    def committed(self, order: Order) -> None:
        """Nothing is repeated here."""

    def answered(self, order: Order, key: str, outcome: Outcome) -> None:
        """Every circuit is closed."""

    def leave(self, order_ids: Iterable[str]) -> None:
        """Nothing is remembered."""

    def forget(self, order_ids: Iterable[str]) -> None:
        """Nothing is remembered."""


class EngineShard(Process):
    """A shard as ``actors.peers`` and ``actors.router`` know one: what is called over its connections."""

    kind = "shard"

    def __init__(self, name: str, config: Settings) -> None:
        super().__init__(name, config)
        self._shard: OrderShard | None = None
        self._prepared: dict[str, asyncio.Event] = {}
        self.later_s = 0.0

    def deliver(self, answer: Callable[[bytes], None], letter: bytes) -> None:
        """Deliver a message."""
        assert self._shard is not None
        self._shard.deliver(answer, letter)

    def look(self) -> None:
        """Something changed about who owns what."""
        assert self._shard is not None
        self._shard.partitions.look_soon()

    def owned(self) -> int:
        """How many partitions are owned here."""
        assert self._shard is not None
        return len(self._shard.partitions.mine)

    def passivate(self) -> int:
        """Let idle actors leave memory; so many did. Raise ``later_s`` before, to let time go by."""
        assert self._shard is not None
        return self._shard.passivate()

    def resident(self) -> int:
        """How many orders are in memory."""
        assert self._shard is not None
        return int(self._shard.statistics()["resident_orders"])

    def _monotonic(self) -> float:
        return time.monotonic() + self.later_s

    async def _compose(self, peers: Peers, opened: AsyncExitStack) -> None:
        config = self.config
        store = await OrderStore.open(
            config.database_url.get_secret_value(),
            application_name=self.name,
            limits=composition.pool_limits_of(config, config.database_pool_max_connections),
        )
        opened.push_async_callback(store.close)
        partners = InstantPartners()

        def around(_: OrderShard) -> Surroundings:
            return Surroundings(
                shard=self.name,
                store=store,
                publisher=OutboxOnly(),
                calls=partners,
                clock=DatabaseClock(store.now, time.monotonic),
                reference_cache=ReferenceCache(
                    product_max_age_s=REFERENCE_MAX_AGE_S,
                    customer_max_age_s=REFERENCE_MAX_AGE_S,
                    max_entries=REFERENCE_MAX_ENTRIES,
                    monotonic=time.monotonic,
                ),
                numbers=OrderNumbers(store.take_numbers),
                rules=composition.rules_of(config),
                limits=composition.group_limits_of(config),
                commit_policy=composition.commit_policy_of(config),
                failpoint=Failpoint(None),
                monotonic=self._monotonic,
                on_committed=self._committed,
            )

        # Nothing is ever published here, so there is nothing to sweep: an hour is never.
        policy = ShardPolicy(sweep_every_s=3600.0)
        shard = OrderShard(self.id, self.name, store, composition.PeerNeighbours(peers), policy, around)
        self._shard = partners.shard = shard
        peers.on_found = shard.partitions.link_changed
        peers.on_lost = lambda name, _: shard.partitions.link_changed(name)
        opened.push_async_callback(shard.stop)
        await shard.start()

    def _methods(self) -> Methods:
        return {
            **super()._methods(),
            "deliver": AnsweredLater(self.deliver),
            "watch": self._watch,
            "look": self.look,
        }

    async def _watch(self, order_id: str, until: str) -> None:
        assert self._shard is not None
        if until == "prepared":
            await self._prepared.setdefault(order_id, asyncio.Event()).wait()
            self._prepared.pop(order_id, None)
        else:
            await self._shard.watch(order_id, until)

    def _committed(self, order: Order) -> None:
        if order.status in PREPARED and order.status is not Status.SHIPPED:
            self._prepared.setdefault(order.id, asyncio.Event()).set()
