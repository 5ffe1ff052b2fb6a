"""The engine alone as a Ray actor: the real shard, group commit and store, with partners that answer at once beside it.

It differs from the service's own shard in two things: calls to partners are answered in this process instead of being
sent to a bulkhead, and events stay in the outbox instead of going to RabbitMQ (the other engines publish nothing).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from actors.order.mailbox import Envelope
from actors.order.messages import decode_call
from actors.processes import composition
from actors.processes.process import Process
from actors.rpc.clients import ProcessClients
from actors.rpc.server import Methods
from actors.shard.make_shard import make_shard
from actors.shard.shard import Shard
from benchmarks.partners import answer_at_once
from domain.calls import Partner
from domain.commands import Actor, ActorType, CallAnswered, Message
from domain.order import Status
from messaging.publishing.publisher import OnConfirmed, Outbound
from settings import Settings
from storage.writes.order_store import OrderStore

NEVER_S = 3600.0
PREPARED = (Status.PREPARED, Status.DELIVERED, Status.CANCELLED)


class OutboxOnly:
    """A publisher that leaves events where they are committed."""

    def __init__(self, on_offered: Callable[[str], None], *, on_confirmed: OnConfirmed) -> None:
        """``on_offered`` gets the ids of orders that have events; nothing is ever confirmed."""
        del on_confirmed
        self._on_offered = on_offered

    def offer(self, order_id: str, events: Sequence[Outbound]) -> None:
        """Leave them in the outbox."""
        del events
        self._on_offered(order_id)

    def forget(self, order_ids: Iterable[str]) -> None:
        """Nothing is remembered."""

    def leave(self, order_ids: Iterable[str]) -> None:
        """Nothing lags."""

    async def start(self) -> None:
        """Nothing is published."""

    async def stop(self) -> None:
        """Nothing waits."""

    def statistics(self) -> dict[str, float]:
        """Nothing is counted."""
        return {}


class EngineShard(Process):
    """A shard as ``actors.rpc.clients`` and ``actors.routing.router`` know one: what is called over its connections."""

    kind = "shard"

    def __init__(self, name: str, config: Settings) -> None:
        super().__init__(name, config)
        self._shard: Shard | None = None
        self._prepared: dict[str, asyncio.Event] = {}
        self.later_s = 0.0

    @property
    def shard(self) -> Shard:
        """The shard, once the process has started."""
        assert self._shard is not None
        return self._shard

    def owned(self) -> int:
        """How many partitions are owned here."""
        return len(self.shard.partitions.mine)

    def passivate(self) -> int:
        """Let idle actors leave memory; so many did. Raise ``later_s`` before, to let time go by."""
        return self.shard.passivate()

    def resident(self) -> int:
        """How many orders are in memory."""
        return int(self.shard.statistics()["resident_orders"])

    def _monotonic(self) -> float:
        return time.monotonic() + self.later_s

    async def _compose(self, clients: ProcessClients, opened: AsyncExitStack) -> None:
        config = self.config
        store = await OrderStore.open(
            config.database_url.get_secret_value(),
            application_name=self.name,
            limits=composition.pool_limits_of(config, config.database_pool_max_connections),
        )
        opened.push_async_callback(store.close)
        # Nothing is ever published here, so there is nothing to sweep: an hour is never.
        policy = composition.shard_policy_of(config)
        ages = replace(policy.reference_cache, product_max_age_s=NEVER_S, customer_max_age_s=NEVER_S)
        self._shard = make_shard(
            self.id,
            self.name,
            store=store,
            clients=clients,
            policy=replace(policy, sweep_every_s=NEVER_S, reference_cache=ages),
            make_publisher=partial(OutboxOnly, self._offered),
            perform=self._perform,
            monotonic=self._monotonic,
        )
        opened.push_async_callback(self._shard.stop)
        await self._shard.start()

    def _perform(self, partner: Partner, encoded: bytes) -> asyncio.Future[bool]:
        """Answer a call whose intent is committed at once, as an envelope to its order."""
        del partner
        call = decode_call(encoded)
        answered = CallAnswered(call.key, call.attempt, answer_at_once(call))
        actor = Actor(ActorType.PARTNER, "instant")
        message = Message(id=f"answer:{call.key}:{call.attempt}", body=answered, actor=actor)
        self.shard.accept(Envelope(call.order_id, message))
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        taken.set_result(True)
        return taken

    def _methods(self) -> Methods:
        return {**super()._methods(), **self.shard.methods(), "watch": self._watch}

    async def _watch(self, order_id: str, until: str) -> None:
        if until == "prepared":
            await self._prepared.setdefault(order_id, asyncio.Event()).wait()
            self._prepared.pop(order_id, None)
        else:
            await self.shard.watch(order_id, until)

    def _offered(self, order_id: str) -> None:
        """A commit has brought events; it is what is in memory as soon as this turn of the loop is over."""
        asyncio.get_running_loop().call_soon(self._look_at, order_id)

    def _look_at(self, order_id: str) -> None:
        order = self.shard.find(order_id)
        if order is not None and order.status in PREPARED:
            self._prepared.setdefault(order_id, asyncio.Event()).set()
