"""Real shards on a real database, several in one process: what they know of each other is what a test lets them know."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Self
from uuid import uuid4

from actors.order.messages import DeliveryOutcome, decode_outcome, encode_message
from actors.rpc.clients import ProcessClient
from actors.rpc.connection import ProcessGone
from actors.shard.context import ResidentLimits
from actors.shard.make_shard import make_shard
from actors.shard.partitions import PartitionPolicy
from actors.shard.reference_cache import CachePolicy
from actors.shard.shard import ShardPolicy
from domain.commands import Actor, ActorType, Body, CreateOrder, Message, NewLine
from domain.slices import partition_of
from messaging.publishing.publisher import Outbound
from storage.writes.order_store import Commit, FlushResult, OrderStore
from tests.integration.storage.owning import add_process
from tests.unit.actors.shard.silent import Silent

WITHIN_S = 20.0
FAR_OFF_S = 60.0


class Held(OrderStore):
    """A store on the way to which a process can be stopped, as by SIGSTOP just before it sends a commit."""

    may_go_on: asyncio.Event | None = None
    is_waiting = False

    async def flush(self, process: str, token: str, commits: Sequence[Commit]) -> FlushResult:
        if self.may_go_on is not None and commits:
            self.is_waiting = True
            await self.may_go_on.wait()
        return await super().flush(process, token, commits)


class Outside(Silent):
    """What left a shard: events for the publisher and calls for the partners."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, int]] = []

    def offer(self, order_id: str, events: Sequence[Outbound]) -> None:
        self.events += [(order_id, event.sequence) for event in events]


class Hosted:
    """A shard with its store and what has left it. The others that it has a connection to are ``up``, by name.

    By itself it does nothing but look at the tables, once when it starts and then when it is asked to.
    """

    policy = ShardPolicy(
        poll_every_s=FAR_OFF_S,
        sweep_every_s=FAR_OFF_S,
        orders=ResidentLimits(set_aside_retry_s=0.1),
        reference_cache=CachePolicy(max_entries=10),
        partitions=PartitionPolicy(
            look_every_s=FAR_OFF_S, connect_within_s=0.0, seen_margin_s=0.0, steady_s=0.0, give_pause_s=0.0
        ),
    )

    def __init__(self, store: Held, process: str, name: str, policy: ShardPolicy | None = None) -> None:
        self.store = store
        self.process = process
        self.name = name
        self.up: dict[str, Hosted] = {}
        self.outside = Outside()
        self.ahead_s = 0.0
        self.on_found: Callable[[str], None] | None = None
        self.on_lost: Callable[[str, str], None] | None = None
        self.shard = make_shard(
            process,
            name,
            store=store,
            clients=self,
            policy=policy or self.policy,
            make_publisher=self.outside.make_publisher,
            perform=self.outside.perform,
            monotonic=self.monotonic,
        )

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls, database_url: str, name: str, *others: Hosted, state: str = "serving", store_of: type[Held] = Held
    ) -> AsyncIterator[Self]:
        """Start a shard that has connections to ``others``, and they to it; stop it in the end."""
        store = await store_of.open(database_url, application_name=name)
        assert isinstance(store, store_of)
        hosted = cls(store, await add_process(store, name, state=state), name)
        for other in others:
            hosted.up[other.name] = other
            other.up[name] = hosted
        await hosted.shard.start()
        yield hosted
        await hosted.shard.stop()
        await store.close()

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    # The others, as the shard sees them (``shard.ShardClients``).

    def is_up(self, name: str) -> bool:
        return name in self.up

    def forget(self, name: str) -> None:
        """Nothing is kept of it."""

    def notify(self, name: str, method: str, *arguments: object) -> None:
        """Nobody is asked by itself to split here."""
        if method == "look":
            self.up[name].shard.partitions.recheck_soon()

    def get(self, name: str) -> ProcessClient:
        raise ProcessGone(name, "no process is asked here", sent=False)

    def lose(self, other: Hosted) -> None:
        """The connection to another shard is lost, though it goes on living."""
        del self.up[other.name]
        assert self.on_lost is not None
        self.on_lost(other.name, "ended")

    def reach(self, other: Hosted) -> None:
        """There is a connection to it again."""
        self.up[other.name] = other
        assert self.on_found is not None
        self.on_found(other.name)

    # What it has and says.

    def owns(self, order_id: str) -> bool:
        return self.shard.partitions.owns(order_id)

    async def takes(self, order_id: str) -> None:
        """Return once it owns an order."""

        async def is_owner() -> bool:
            return self.owns(order_id)

        await until(is_owner)

    async def told(self, order_id: str, body: Body, *, key: str = "") -> DeliveryOutcome:
        """What the sender of a command is told by this shard, which was asked past every router."""
        message = Message(
            id=key or str(uuid4()), body=body, actor=Actor(ActorType.CLIENT, "c"), keyed=True, fingerprint="f"
        )
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.shard.deliver(answer.set_result, encode_message(order_id, message))
        return decode_outcome(await answer)


def an_id() -> str:
    """The id of an order."""
    return str(uuid4())


def creation(order_id: str) -> CreateOrder:
    return CreateOrder(customer_id="c-1", currency="EUR", lines=(NewLine("sku-1", 2),), order_id=order_id)


async def owner_of(store: OrderStore, order_id: str) -> str | None:
    """The process that owns the partition of an order's slice."""
    return (await store.owners())[partition_of(order_id)]


async def until(is_so: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await is_so():
            await asyncio.sleep(0.01)
