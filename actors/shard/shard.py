"""A shard: the process that hosts the order actors of the partitions it owns.

It wakes by itself the orders that have something to do, and offers their events to the publisher until they are out. It knows neither
Ray nor how its collaborators are made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import msgspec
import structlog

from actors.order.commit_loop import CommitPolicy
from actors.order.failpoints import Failpoint
from actors.order.mailbox import Envelope, RemoteEnvelope
from actors.order.messages import NotOwner, Undecodable, decode_message, encode_outcome
from actors.order.waiters import shown
from actors.rpc.process_names import bulkhead_of
from actors.rpc.server import AnsweredLater, Methods
from actors.shard.context import ResidentLimits, ResidentStore, ShardContext, ShardPublisher
from actors.shard.database_clock import DatabaseClock
from actors.shard.dedicated_orders import DedicatedClients, DedicatedOrders, DedicatedPolicy
from actors.shard.order_number_blocks import OrderNumberBlocks
from actors.shard.partitions import OwnedPartitions, PartitionClients, PartitionPolicy, PartitionStore
from actors.shard.partner_calls import PartnerCalls, Perform
from actors.shard.reference_cache import CachePolicy, ReferenceCache
from actors.shard.residents import Residents
from domain.calls import Call, NotSent, Partner
from domain.commands import Actor, ActorType, AskAgain, CallAnswered, Message
from domain.errors import Unavailable
from domain.order import Order
from domain.slices import DEDICATED
from messaging.consuming.consumed_events import ReferenceChanged
from sagas.decision import OrderRules
from storage.errors import CommitUnknown, StorageUnavailable
from storage.unreadable import unreadable_rows
from supervised import every, supervised

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPolicy:
    """Bounds and waits, unit last."""

    poll_every_s: float = 1.0
    poll_ahead_s: float = 5.0
    poll_max_orders: int = 500
    resume_max_orders_per_s: int = 2000
    resume_page_orders: int = 200
    resume_backlog_max_messages: int = 1000
    clock_every_s: float = 1.0
    sweep_every_s: float = 5.0
    sweep_max_orders: int = 1000
    sweep_older_than_s: float = 5.0
    read_again_s: float = 0.2
    order_block_numbers: int = 500
    rules: OrderRules = field(default_factory=OrderRules)
    orders: ResidentLimits = field(default_factory=ResidentLimits)
    commits: CommitPolicy = field(default_factory=CommitPolicy)
    partitions: PartitionPolicy = field(default_factory=PartitionPolicy)
    reference_cache: CachePolicy = field(default_factory=CachePolicy)
    dedicated: DedicatedPolicy = field(default_factory=DedicatedPolicy)


class ShardStore(ResidentStore, PartitionStore, Protocol):
    """What a shard needs of storage."""

    async def running(
        self, partitions: frozenset[str], after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[tuple[str, datetime]]: ...
    async def due(self, partitions: frozenset[str], ahead_s: float, limit: int) -> Sequence[tuple[str, datetime]]: ...
    async def unpublished_orders(
        self, partitions: frozenset[str], older_than_s: float, limit: int
    ) -> Sequence[str]: ...
    async def unpublished(self, order_ids: Sequence[str]) -> dict[str, Any]: ...
    async def mark_published(self, events: Sequence[tuple[str, int]]) -> None: ...
    async def now(self) -> datetime: ...
    async def take_numbers(self, count: int) -> int: ...


class ShardClients(PartitionClients, DedicatedClients, Protocol):
    """The other processes (``clients.ProcessClients``)."""

    on_found: Callable[[str], None] | None
    on_lost: Callable[[str, str], None] | None


class Shard:
    """Hosts the orders of its partitions."""

    def __init__(
        self,
        process: str,
        name: str,
        *,
        store: ShardStore,
        clients: ShardClients,
        policy: ShardPolicy,
        publisher: ShardPublisher,
        perform: Perform,
        failpoint: Failpoint,
        monotonic: Callable[[], float],
    ) -> None:
        """Its parts are made here; see ``make_shard.py``."""
        self.name = name
        self._store = store
        self._policy = policy
        clock = DatabaseClock(store.now, monotonic)
        calls = PartnerCalls(perform, self.not_sent, self.ask_again, self.find, clock.now)
        self.partitions = OwnedPartitions(process, name, store, clients, self, policy.partitions, monotonic)
        dedicated = DedicatedOrders(policy.dedicated, name, self.partitions, clients, publisher.stop)
        self._context = ShardContext(
            shard=name,
            store=store,
            publisher=publisher,
            calls=calls,
            clock=clock,
            reference_cache=ReferenceCache(policy.reference_cache, monotonic),
            order_numbers=OrderNumberBlocks(store.take_numbers, block=policy.order_block_numbers),
            rules=policy.rules,
            limits=policy.orders,
            commit_policy=policy.commits,
            failpoint=failpoint,
            monotonic=monotonic,
            on_committed=dedicated.committed,
        )
        self._residents = Residents(self.partitions, self._context)
        self._bulkheads = {bulkhead_of(partner): partner for partner in Partner}
        clients.on_found = self._found
        clients.on_lost = lambda lost, _: self.partitions.connection_changed(lost)
        self._to_resume: set[str] = set()
        self._resume_now = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    # Life.

    async def start(self) -> None:
        """Get what is needed for orders, and begin to take partitions and to watch over them. Raises ``StorageUnavailable``."""
        policy = self._policy
        await self._context.publisher.start()
        await self._context.clock.synchronise()
        await self._context.order_numbers.fill()
        await self.partitions.start()
        self._spawn(supervised("resume", self._resume, shard=self.name))
        self._every("poll", policy.poll_every_s, self._poll)
        self._every("sweep", policy.sweep_every_s, self._sweep)
        self._every("clock", policy.clock_every_s, self._context.clock.synchronise)

    async def stop(self) -> None:
        """Finish what was begun, take nothing new."""
        self.partitions.stop()
        for task in list(self._tasks):
            task.cancel()
        await self._residents.stop()
        await self._context.publisher.stop()

    # What its partitions ask of it (``partitions.Orders``).

    def adopt(self, partitions: frozenset[str]) -> None:
        """These are owned here from now on: wake what waits for a partner's answer, most overdue first, at a bounded rate."""
        for partition in partitions:
            self._residents.adopt(partition)
        self._to_resume |= partitions
        self._resume_now.set()

    def release(self, partitions: frozenset[str], to: str) -> None:
        """These are not owned here any more."""
        self._residents.release(partitions, to)

    def hold(self, partition: str) -> None:
        """Let messages to these orders wait."""
        self._residents.hold(partition)

    def go_on(self, partition: str) -> None:
        """Deliver what has waited."""
        self._residents.go_on(partition)

    async def settled(self) -> None:
        """Return when all that was proposed so far is settled."""
        await self._residents.commit_loop.settled()

    # What others call.

    def methods(self) -> Methods:
        """What other processes may call, by name."""
        return {
            "deliver": AnsweredLater(self.deliver),
            "watch": self.watch,
            "look": self.partitions.recheck_soon,
            "split": self.partitions.split,
            "reference_changed": self.reference_changed,
            "passivate": self.passivate,
        }

    def reference_changed(self, change: dict[str, Any]) -> None:
        """An event announced a change of a product or a customer; ``change`` are the fields of a ``ReferenceChanged``."""
        self._context.reference_cache.change(msgspec.convert(change, ReferenceChanged))

    def deliver(self, answer: Callable[[bytes], None], envelope: bytes) -> None:
        """Deliver a message of another process to an order; ``answer`` gets the outcome, encoded."""
        try:
            remote = RemoteEnvelope(*decode_message(envelope), answer)
        except Undecodable as error:
            answer(encode_outcome(Unavailable("order_failed", str(error))))
            return
        self._residents.accept(remote)

    async def watch(self, order_id: str, until: str) -> bytes | None:
        """Return when the order is ``until``, with a reply on it, or when it is owned elsewhere; None where it has to be read.

        See ``waiters.py``; ``messages.encode_outcome`` made it.
        """
        come = await self._residents.watch(order_id, until)
        if come is None:
            return None
        return encode_outcome(come if isinstance(come, NotOwner) else shown(come, until))

    def not_sent(self, call: Call, why: str) -> None:
        """A call could not be handed over: its order gets ``NotSent``."""
        body = CallAnswered(call.key, call.attempt, NotSent(why), call.may_have_happened)
        message = Message(id=f"answer:{call.key}:{call.attempt}", body=body, actor=Actor(ActorType.SAGA, self.name))
        self.accept(Envelope(call.order_id, message))

    def ask_again(self, order_id: str, partner: Partner) -> None:
        """An order waits for this partner, whose circuit was open: it may ask now."""
        message = Message(id=f"ask-again:{order_id}", body=AskAgain(partner), actor=Actor(ActorType.TIMER, "circuit"))
        self.accept(Envelope(order_id, message))

    def accept(self, envelope: Envelope) -> None:
        """Hand over an envelope that comes from this process, if its order is here; else nothing happens."""
        self._residents.accept(envelope)

    def find(self, order_id: str) -> Order | None:
        """The last commit of an order that is in memory here, or None."""
        return self._residents.find(order_id)

    def statistics(self) -> dict[str, float]:
        """Figures for the metrics, by name."""
        counts, calls = self._context.counts, self._context.calls
        return {
            "partitions": len(self.partitions.mine),
            "resident_orders": self._residents.resident,
            "queued_messages": self._residents.queued,
            "commits_total": counts.commits,
            "flushes_total": counts.flushes,
            "commit_retries_total": counts.retries,
            "commits_resolved_total": counts.unknown_resolved,
            "outdated_total": counts.outdated,
            "poisoned_total": counts.poisoned,
            "set_aside_total": counts.set_aside,
            "clock_behind_max_seconds": self._context.clock.behind_max_s,
            "calls_unanswered": calls.unanswered,
            "orders_held_back": calls.held_back,
            **self._context.publisher.statistics(),
            **unreadable_rows(),
        }

    def passivate(self) -> int:
        """Let idle actors leave memory."""
        return self._residents.passivate()

    # Inside.

    async def _resume(self) -> None:
        """Wake every order of new partitions that has a step running."""
        while True:
            await self._resume_now.wait()
            self._resume_now.clear()
            partitions, self._to_resume = frozenset(self._to_resume), set()
            try:
                resumed = await self._resume_orders(partitions)
            except Exception:
                self._to_resume |= partitions
                self._resume_now.set()
                raise
            log.info("partitions_resumed", shard=self.name, partitions=len(partitions), orders=resumed)

    async def _resume_orders(self, partitions: frozenset[str]) -> int:
        page_s = self._policy.resume_page_orders / self._policy.resume_max_orders_per_s
        resumed = 0
        after: tuple[datetime, str] | None = None
        while own := partitions & self.partitions.mine:
            try:
                page = await self._store.running(own, after, self._policy.resume_page_orders)
            except (StorageUnavailable, CommitUnknown):
                await asyncio.sleep(self._policy.read_again_s)
                continue
            for order_id, deadline in page:
                self._residents.tick(order_id)
                after = (deadline, order_id)
            resumed += len(page)
            if len(page) < self._policy.resume_page_orders:
                break
            await asyncio.sleep(page_s)
            while self._is_busy():
                await asyncio.sleep(page_s)
        return resumed

    def _is_busy(self) -> bool:
        return self._residents.queued > self._policy.resume_backlog_max_messages

    async def _poll(self) -> None:
        """Bring the deadlines of the next seconds into memory, and let idle actors leave it."""
        self.passivate()
        if self._is_busy() or not (mine := self.partitions.mine):
            return
        for order_id, deadline in await self._store.due(mine, self._policy.poll_ahead_s, self._policy.poll_max_orders):
            self._residents.deadlines.expect(order_id, deadline)

    async def _sweep(self) -> None:
        """Offer the publisher again the events that have stayed unpublished."""
        policy = self._policy
        if not (mine := self.partitions.mine):
            return
        ids = await self._store.unpublished_orders(mine, policy.sweep_older_than_s, policy.sweep_max_orders)
        self._residents.publish_again(await self._store.unpublished(ids) if ids else {})

    def _found(self, name: str) -> None:
        """There is a connection to another process: a bulkhead, which may be a new one, or a shard."""
        if name in self._bulkheads:
            self._context.calls.repeat(self._bulkheads[name])
        elif name.startswith(DEDICATED):
            self.partitions.connection_changed(name)

    def _every(self, name: str, every_s: float, step: Callable[[], Awaitable[None]]) -> None:
        expected = (StorageUnavailable, CommitUnknown)
        self._spawn(every(name, every_s, step, expected=expected, shard=self.name))

    def _spawn(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
