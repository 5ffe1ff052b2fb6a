"""A shard: the process that hosts order actors, its own slices' and, while others are gone, theirs.

It takes groups of orders over by bumping their epoch in PostgreSQL, wakes by itself what has something to do, and gives a group up
as soon as a flush shows that somebody else has it. It knows neither Ray nor how its collaborators are made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import structlog

from actors.group import Group
from actors.groups import Layout, residue
from actors.mailbox import Letter, RemoteEnvelope
from actors.surroundings import GroupStore, Surroundings
from actors.watches import shown
from actors.wire import Moved, Unreadable, decode_letter, encode_told
from domain.calls import Call, NotSent, Partner
from domain.commands import Actor, ActorType, AskAgain, CallAnswered, Message
from domain.errors import Unavailable
from domain.order import Order
from domain.slices import DEDICATED
from storage.errors import CommitUnknown, StorageUnavailable
from storage.unreadable import unreadable_rows
from supervised import awaited, note_failure, supervised

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
    take_back_first_s: float = 0.5
    take_back_max_s: float = 15.0
    take_back_lasting_s: float = 30.0
    take_retry_s: float = 0.2


class ShardStore(GroupStore, Protocol):
    """What a shard needs of storage besides what its groups do."""

    async def take(self, group: str, shard: str) -> int: ...
    async def dedicate(self, order_id: str, shard: str) -> int: ...
    async def running(
        self, group: tuple[int, int], after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[tuple[str, datetime]]: ...
    async def due(self, group: tuple[int, int], ahead_s: float, limit: int) -> Sequence[tuple[str, datetime]]: ...
    async def unpublished_orders(self, group: tuple[int, int], older_than_s: float, limit: int) -> Sequence[str]: ...
    async def unpublished(self, order_ids: Sequence[str]) -> dict[str, Any]: ...


class OrderShard:
    """Hosts groups of orders. ``home`` is the group that belongs here."""

    def __init__(
        self,
        name: str,
        home: str,
        layout: Layout,
        store: ShardStore,
        policy: ShardPolicy,
        around: Callable[[OrderShard], Surroundings],
    ) -> None:
        """``around`` makes what the groups share, given the shard (for the calls' refusals and the hook after commits)."""
        self.name = name
        self.home = home
        self._layout = layout
        self._store = store
        self._policy = policy
        self._around = around(self)
        self._groups: dict[str, Group] = {}
        self._taking: dict[str, asyncio.Task[Group]] = {}
        self._adopting: asyncio.Task[Group] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._home_since_s = 0.0
        self._take_back_s = policy.take_back_first_s
        self._stopping = False

    # Life.

    async def start(self) -> None:
        """Take the home group over and begin to watch over it."""
        await self._around.clock.synchronise()
        await self._around.numbers.fill()
        await asyncio.shield(self._take(self.home))
        clock = self._around.clock
        self._spawn("poll", self._poll)
        self._spawn("sweep", self._sweep)
        self._spawn("clock", lambda: clock.keep(self._policy.clock_every_s, self._clock_failed))

    async def stop(self) -> None:
        """Finish what was begun, take nothing new."""
        self._stopping = True
        for task in list(self._tasks):
            task.cancel()
        for group in list(self._groups.values()):
            await group.stop()

    # What others call.

    def deliver(self, answer: Callable[[bytes], None], group_name: str, take: bool, letter: bytes) -> None:
        """Deliver a message of another process to an order of a group; ``answer`` gets what its sender is told, encoded.

        ``take``: the sender knows that the group's owner is gone; take the group over if it is not here.
        """
        try:
            remote = RemoteEnvelope(*decode_letter(letter), answer)
        except Unreadable as error:
            answer(encode_told(Unavailable("order_failed", str(error))))
            return
        group = self._groups.get(group_name)
        if group is not None and not group.is_replaced:
            group.accept(remote)
        elif self._stopping or not (take or group_name in self._taking):
            remote.tell(Moved(""))
        else:
            self._take(group_name).add_done_callback(partial(_deliver_taken, remote))

    async def watch(self, order_id: str, until: str) -> bytes | None:
        """Return when the order is ``until``, with what is told of it, or when it has moved; None where it has to be read.

        See ``watches.py``; ``wire.encode_told`` made it.
        """
        group = self._group_of(order_id)
        come = Moved("") if group is None else await group.watch(order_id, until)
        if come is None:
            return None
        return encode_told(come if isinstance(come, Moved) else shown(come, until))

    def not_sent(self, call: Call, why: str) -> None:
        """A call could not be handed over: its order hears so."""
        body = CallAnswered(call.key, call.attempt, NotSent(why), call.may_have_happened)
        message = Message(id=f"answer:{call.key}:{call.attempt}", body=body, actor=Actor(ActorType.SAGA, self.name))
        self.accept(Letter(call.order_id, message))

    def ask_again(self, order_id: str, partner: Partner) -> None:
        """An order waits for this partner, whose circuit was open: it may ask now."""
        message = Message(id=f"ask-again:{order_id}", body=AskAgain(partner), actor=Actor(ActorType.TIMER, "circuit"))
        self.accept(Letter(order_id, message))

    def accept(self, letter: Letter) -> None:
        """Hand over a letter that comes from this process, if its order is here; else nothing happens."""
        group = self._group_of(letter.order_id)
        if group is not None:
            group.accept(letter)

    def find(self, order_id: str) -> Order | None:
        """The last commit of an order that is in memory here, or None."""
        group = self._group_of(order_id)
        return None if group is None else group.find(order_id)

    def statistics(self) -> dict[str, float]:
        """Figures for the metrics, by name."""
        counts = self._around.counts
        return {
            "groups": len(self._groups),
            "resident_orders": sum(group.resident for group in self._groups.values()),
            "queued_messages": sum(group.queued for group in self._groups.values()),
            "commits_total": counts.commits,
            "flushes_total": counts.flushes,
            "commit_retries_total": counts.retries,
            "commits_resolved_total": counts.unknown_resolved,
            "poisoned_total": counts.poisoned,
            "set_aside_total": counts.set_aside,
            "clock_behind_max_seconds": self._around.clock.behind_max_s,
            **unreadable_rows(),
        }

    async def hand_over(self, order_id: str, dedicate: Callable[[], Awaitable[None]]) -> None:
        """Give one order to a process of its own (``dedicated.py``)."""
        group = self._groups.get(self._layout.group_of(order_id))
        if group is not None and not group.is_replaced:
            await group.hand_over(order_id, dedicate)

    def passivate(self) -> int:
        """Let idle actors leave memory."""
        return sum(group.passivate() for group in self._groups.values())

    # Inside.

    def _group_of(self, order_id: str) -> Group | None:
        for group in self._groups.values():
            if group.dedicated_order_id == order_id or group.name == self._layout.group_of(order_id):
                return group
        return None

    def _take(self, name: str) -> asyncio.Task[Group]:
        """Become the owner of a group, once however many ask for it."""
        task = self._taking.get(name)
        if task is None:
            task = self._taking[name] = awaited("take-group", self._take_over(name))
            task.add_done_callback(partial(self._taken, name))
        return task

    def _taken(self, name: str, taking: asyncio.Task[Group]) -> None:
        del self._taking[name]
        error = None if taking.cancelled() else taking.exception()
        if error is not None and not isinstance(error, StorageUnavailable | CommitUnknown):
            note_failure("take-group", error, group=name)

    async def adopt(self) -> None:
        """Become the owner of the dedicated order that this process is named after; whoever had it has stopped it.

        It is insisted on, once it was asked for, although the asker may be gone: the order may be nobody else's already, as an
        answer of the database that is lost says nothing. A process whose order does not get here is ended by the supervisor.
        """
        while (taking := self._taking.get(self.home)) is not None and taking is not self._adopting:
            await asyncio.wait([taking])
        if self._adopting is None:
            self._adopting = self._taking[self.home] = awaited("adopt", self._adopt())
            self._adopting.add_done_callback(self._adopted)
        await asyncio.shield(self._adopting)

    async def _adopt(self) -> Group:
        while True:
            try:
                epoch = await self._store.dedicate(self.home.removeprefix(DEDICATED), self.name)
                break
            except (StorageUnavailable, CommitUnknown) as error:
                log.warning("order_not_adopted", shard=self.name, error=str(error))
                await asyncio.sleep(self._policy.take_retry_s)
        former = self._groups.pop(self.home, None)
        if former is not None:
            await former.stop()
        return self._host(self.home, epoch)

    def _adopted(self, _: asyncio.Task[Group]) -> None:
        self._adopting = None
        self._taking.pop(self.home, None)

    async def _take_over(self, name: str) -> Group:
        return self._host(name, await self._store.take(name, self.name))

    def _host(self, name: str, epoch: int) -> Group:
        log.info("group_taken", shard=self.name, group=name, epoch=epoch)
        group = self._groups[name] = Group(name, epoch, self._around, self._replaced)
        if name == self.home:
            self._home_since_s = asyncio.get_running_loop().time()
        if group.dedicated_order_id is not None:
            group.wake(group.dedicated_order_id)
        else:
            self._spawn("resume", lambda: self._resume(group))
        return group

    def _replaced(self, group: Group) -> None:
        if self._groups.get(group.name) is not group:
            return
        del self._groups[group.name]
        if group.name == self.home and not self._stopping:
            self._spawn("take-back", self._take_back)

    async def _take_back(self) -> None:
        """Somebody stood in for us. We are well, so our orders come home; if that does not last, ever more slowly."""
        if asyncio.get_running_loop().time() - self._home_since_s > self._policy.take_back_lasting_s:
            self._take_back_s = self._policy.take_back_first_s
        wait_s = self._take_back_s
        self._take_back_s = min(wait_s * 2, self._policy.take_back_max_s)
        await asyncio.sleep(wait_s)
        while self.home not in self._groups:
            try:
                await asyncio.shield(self._take(self.home))
            except (StorageUnavailable, CommitUnknown):
                await asyncio.sleep(self._policy.take_retry_s)

    async def _resume(self, group: Group) -> None:
        """Wake every order of the group that has a step running, most overdue first, at a bounded rate."""
        share = residue(group.name)
        if share is None:
            return
        after: tuple[datetime, str] | None = None
        resumed = 0
        page_s = self._policy.resume_page_orders / self._policy.resume_max_orders_per_s
        while not group.is_replaced:
            try:
                page = await self._store.running(share, after, self._policy.resume_page_orders)
            except (StorageUnavailable, CommitUnknown):
                await asyncio.sleep(self._policy.take_retry_s)
                continue
            for order_id, deadline in page:
                group.wake(order_id)
                after = (deadline, order_id)
            resumed += len(page)
            if len(page) < self._policy.resume_page_orders:
                break
            await asyncio.sleep(page_s)
            while group.queued > self._policy.resume_backlog_max_messages and not group.is_replaced:
                await asyncio.sleep(page_s)
        log.info("group_resumed", shard=self.name, group=group.name, orders=resumed)

    async def _poll(self) -> None:
        """Bring the deadlines of the next seconds into memory, see whose the groups are, look after dedicated orders, and let idle
        actors leave memory.
        """
        while True:
            await asyncio.sleep(self._policy.poll_every_s)
            await self._for_each_group("poll-group", self._poll_group)
            self.passivate()

    async def _poll_group(self, group: Group) -> None:
        group.check()
        share = residue(group.name)
        if group.is_replaced or group.queued > self._policy.resume_backlog_max_messages:
            return
        if share is None:
            group.look_after()
            return
        for order_id, deadline in await self._store.due(share, self._policy.poll_ahead_s, self._policy.poll_max_orders):
            group.deadlines.expect(order_id, deadline)

    async def _sweep(self) -> None:
        """Offer the publisher again whatever has stayed unpublished."""
        while True:
            await asyncio.sleep(self._policy.sweep_every_s)
            await self._for_each_group("sweep-group", self._sweep_group)

    async def _sweep_group(self, group: Group) -> None:
        share = residue(group.name)
        if share is None or group.is_replaced:
            return
        ids = await self._store.unpublished_orders(
            share, self._policy.sweep_older_than_s, self._policy.sweep_max_orders
        )
        if ids:
            group.publish_again(await self._store.unpublished(ids))

    async def _for_each_group(self, name: str, work: Callable[[Group], Awaitable[None]]) -> None:
        """Do something for every group; one for which it fails keeps it from none of the others."""
        for group in list(self._groups.values()):
            try:
                await work(group)
            except (StorageUnavailable, CommitUnknown) as error:
                log.warning("database_not_read", work=name, group=group.name, error=str(error))
            except Exception as error:  # noqa: BLE001 - one group that fails must not stop the others
                note_failure(name, error, group=group.name)

    def _clock_failed(self, error: Exception) -> None:
        log.warning("clock_not_read", error=str(error))

    def _spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        task = supervised(name, work, shard=self.name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _deliver_taken(letter: Letter, taking: asyncio.Task[Group]) -> None:
    """Deliver a message that has waited for its group to be taken over."""
    if taking.cancelled():
        letter.tell(Moved(""))
    elif (error := taking.exception()) is not None:
        letter.tell(Unavailable("database_unavailable", str(error)))
    else:
        taking.result().accept(letter)
