"""Which partitions this shard owns: it takes those whose owner is lost, and gives away those that belong elsewhere.

A shard owns what the table ``partitions`` says, as read under the lease it holds now. All shards go by the same order of who comes
first for a partition (rendezvous hashing over those that are there), so no process decides for the others. What a shard may
write depends on the token of its lease alone: ``storage/writes/owners.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol, TypeVar

import structlog

from actors.order.insisting import ask_until_answered
from actors.rpc.process_names import SHARD
from domain.slices import DEDICATED, dedicated_partition, partition_of
from storage.errors import CommitUnknown, StorageUnavailable
from storage.processes import ProcessState
from storage.writes.owners import ListedProcess
from supervised import supervised

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionPolicy:
    """Waits, in seconds. ``seen_stale_s``: a process that has not renewed its row for so long is gone. ``connect_within_s``: so is
    one to which no connection could be made. ``steady_s``: a shard that is there for less is not given anything yet.
    ``start_within_s``: so long what has no owner is left to one that starts.
    """

    look_every_s: float = 1.0
    seen_stale_s: float = 15.0
    seen_margin_s: float = 0.2
    connect_within_s: float = 2.0
    steady_s: float = 1.0
    start_within_s: float = 10.0
    give_pause_s: float = 0.02
    retry_first_s: float = 0.05
    retry_max_s: float = 1.0


class PartitionStore(Protocol):
    """The part of storage that says who owns what (``storage/writes/owners.py``, ``storage/processes.py``)."""

    async def listed(self) -> Sequence[ListedProcess]: ...
    async def renew(self, process: str) -> str: ...
    async def owned(self, process: str) -> frozenset[str]: ...
    async def owners(self) -> Mapping[str, str | None]: ...
    async def take(self, process: str, former: str | None, partitions: Collection[str]) -> frozenset[str]: ...
    async def give(self, process: str, token: str, partition: str, to: str) -> bool: ...
    async def split(self, process: str, token: str, order_id: str) -> bool: ...
    async def merge(self, process: str, token: str, order_id: str) -> bool: ...
    async def closed(self, partitions: Collection[str]) -> Sequence[str]: ...


class PartitionClients(Protocol):
    """The other shards, by name. ``is_up`` also begins to look for one that is not known; the others wait for nothing."""

    def is_up(self, name: str) -> bool: ...
    def forget(self, name: str) -> None: ...
    def notify(self, name: str, method: str, *arguments: object) -> None: ...


class PartitionOrders(Protocol):
    """What happens to the orders of partitions (``shard.OrderShard``)."""

    def adopt(self, partitions: frozenset[str]) -> None:
        """These are owned here from now on."""

    def release(self, partitions: frozenset[str], to: str) -> None:
        """These are not owned here any more, but by the process ``to``, if that is known."""

    def hold(self, partition: str) -> None:
        """Let messages to these orders wait."""

    def go_on(self, partition: str) -> None:
        """Deliver what has waited."""

    async def settled(self) -> None:
        """Return when all that was proposed so far is settled."""


class OwnedPartitions:
    """The partitions of one shard, and the lease under which it writes (``commit_loop.Lease``)."""

    def __init__(
        self,
        process: str,
        name: str,
        store: PartitionStore,
        clients: PartitionClients,
        orders: PartitionOrders,
        policy: PartitionPolicy,
        monotonic: Callable[[], float],
    ) -> None:
        """``process`` is the id of this incarnation in ``processes``, ``name`` what it is called there."""
        self.process = process
        self.token = ""
        self.emptied = asyncio.Event()  # once it has let go of the last partition that it had
        self._name = name
        self._store = store
        self._clients = clients
        self._orders = orders
        self._policy = policy
        self._monotonic = monotonic
        self._mine: frozenset[str] = frozenset()
        self._rows: dict[str, ListedProcess] = {}  # by name, the latest incarnation of each
        self._up_since_s: dict[str, float] = {}  # by name, of those to which a connection stands
        # By name, of the others: since when there is none, and when they count as gone if none is made until then.
        self._down: dict[str, tuple[float, float]] = {}
        self._reading_since_s: float | None = None
        self._read_at_s = 0.0
        # One thing at a time: what is read is what stands after all that was done before.
        self._lock = asyncio.Lock()
        self._look_now = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def mine(self) -> frozenset[str]:
        """The partitions owned here."""
        return self._mine

    def owns(self, order_id: str) -> bool:
        """Whether the order is in a partition owned here. It may be in another one of its own, which its row says."""
        return partition_of(order_id) in self._mine or dedicated_partition(order_id) in self._mine

    async def start(self) -> None:
        """Get a lease, and begin to take and give partitions. Raises ``StorageUnavailable``."""
        self.token = await self._store.renew(self.process)
        self._task = supervised("partitions", self._keep)

    def stop(self) -> None:
        """Take and give no more."""
        if self._task is not None:
            self._task.cancel()

    def recheck_soon(self) -> None:
        """Read the tables now: something may have changed."""
        self._look_now.set()

    def connection_changed(self, name: str) -> None:
        """A connection to another shard was made or lost."""
        if name in self._rows:
            self._note_connection(name)
            self._look_now.set()

    # The lease.

    async def renew(self) -> None:
        """Give the lease a new token and find out what is still owned here. It is insisted on: nothing can be written before."""
        async with self._lock:
            await self._renew()

    async def _renew(self) -> None:
        async def renew() -> None:
            self.token = await self._store.renew(self.process)

        await self._ask_until_answered(renew)
        self._set(await self._ask_until_answered(lambda: self._store.owned(self.process)), "")

    async def _ask_until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await ask_until_answered(ask, first_s=self._policy.retry_first_s, max_s=self._policy.retry_max_s)

    def _set(self, mine: frozenset[str], to: str) -> None:
        lost, gained = self._mine - mine, mine - self._mine
        self._mine = mine
        if mine:
            self.emptied.clear()
        elif lost:
            self.emptied.set()
        if lost:
            log.info("partitions_lost", shard=self._name, partitions=sorted(lost), to=to)
            self._orders.release(lost, to)
        if gained:
            log.info("partitions_gained", shard=self._name, partitions=sorted(gained))
            self._orders.adopt(gained)

    # Taking and giving.

    async def _keep(self) -> None:
        while True:
            try:
                await self.look()
            except (StorageUnavailable, CommitUnknown) as error:
                self._reading_since_s = None
                log.warning("partitions_not_read", shard=self._name, error=str(error))
            try:
                async with asyncio.timeout(self._policy.look_every_s):
                    await self._look_now.wait()
            except TimeoutError:
                pass

    async def look(self) -> None:
        """Read who is there and who owns what; take what has lost its owner, and give away what belongs elsewhere.

        Raises ``StorageUnavailable``.
        """
        self._look_now.clear()
        async with self._lock:
            self._note_processes(await self._store.listed())
            owners = await self._store.owners()
            self._set(frozenset(name for name, process in owners.items() if process == self.process), "")
            await self._take_lost(owners)
        self._ask_for_own(owners)
        await self._give_away()
        await self._merge_closed()

    async def _take_lost(self, owners: Mapping[str, str | None]) -> None:
        there = self._there()
        leaves_to_others = self._leaves_to_others()
        of_process = {row.process: row for row in self._rows.values()}
        lost: dict[str | None, list[str]] = {}
        for partition, process in owners.items():
            row = of_process.get(process or "")
            if row is None and leaves_to_others:
                continue
            if (row is None or self._is_gone(row)) and first(partition, there) == self._name:
                lost.setdefault(process, []).append(partition)
        for process, partitions in lost.items():
            log.info("partitions_taken", shard=self._name, former=process, partitions=len(partitions))
            self._set(self._mine | await self._store.take(self.process, process, partitions), "")

    def _ask_for_own(self, owners: Mapping[str, str | None]) -> None:
        """As the process of one order, ask who owns it to make it a partition of its own. It is asked again until that is so."""
        if self._name.startswith(SHARD) or self._name in owners:
            return
        order_id = self._name.removeprefix(DEDICATED)
        owner = owners.get(partition_of(order_id))
        for row in self._rows.values():
            if row.process == owner:
                self._clients.notify(row.name, "split", order_id)

    def _leaves_to_others(self) -> bool:
        """Whether this shard stands by, and another one that may serve is about to start: what has no owner is left to that one."""
        own = self._rows.get(self._name)
        return (
            own is not None
            and own.state == ProcessState.STANDBY
            and any(
                row.name.startswith(SHARD)
                and row.state == ProcessState.STARTING
                and row.started_s < self._policy.start_within_s
                for row in self._rows.values()
            )
        )

    async def _give_away(self) -> None:
        """Give away, one by one, what another shard comes first for."""
        there = self._there()
        for partition in sorted(self._mine):
            to = first(partition, there)
            if to is None or to == self._name or not self._is_steady(to):
                continue
            await self._give(partition, self._rows[to])
            await asyncio.sleep(self._policy.give_pause_s)
            if self._look_now.is_set():
                return
            there = self._there()

    async def _give(self, partition: str, to: ListedProcess) -> None:
        async def give() -> bool:
            return await self._store.give(self.process, self.token, partition, to.process)

        await self._let_go(partition, give, to.name)
        if partition not in self._mine:
            self._clients.notify(to.name, "look")  # it sees it by itself otherwise, a little later

    async def _merge_closed(self) -> None:
        """Give closed orders that have a partition to themselves back to the partition of their slice."""
        dedicated = [name for name in self._mine if name.startswith(DEDICATED)]
        for partition in await self._store.closed(dedicated) if dedicated else ():
            order_id = partition.removeprefix(DEDICATED)

            async def merge(order_id: str = order_id) -> bool:
                return await self._store.merge(self.process, self.token, order_id)

            await self._let_go(partition, merge, "")

    async def _let_go(self, partition: str, change: Callable[[], Awaitable[bool]], to: str) -> None:
        """Stop the orders of a partition, and change its owner, once all that was begun for them is settled."""
        self._orders.hold(partition)
        try:
            await self._orders.settled()
            async with self._lock:
                if partition in self._mine:
                    await self._change(change, self._mine - {partition}, to)
        finally:
            self._orders.go_on(partition)
            if partition in self._mine:
                self._orders.adopt(frozenset((partition,)))

    async def split(self, order_id: str) -> None:
        """Make an open order a partition of one, which the process named like it comes first for."""
        async with self._lock:
            partition = dedicated_partition(order_id)
            if partition_of(order_id) in self._mine and partition not in self._mine:
                await self._change(
                    lambda: self._store.split(self.process, self.token, order_id), self._mine | {partition}, ""
                )
        self._look_now.set()

    async def _change(self, change: Callable[[], Awaitable[bool]], mine: frozenset[str], to: str) -> None:
        """Change the tables under the lease. Where it is not known what became of that, the lease is renewed, and the tables say."""
        try:
            is_done = await change()
        except (StorageUnavailable, CommitUnknown) as error:
            log.warning("partition_change_unknown", shard=self._name, error=str(error))
            await self._renew()
            return
        if is_done:
            self._set(mine, to)

    # Who is there.

    def _note_processes(self, listed: Sequence[ListedProcess]) -> None:
        self._read_at_s = self._monotonic()
        if self._reading_since_s is None:
            self._reading_since_s = self._read_at_s
        latest: dict[str, ListedProcess] = {}
        for row in listed:
            if row.name.startswith(DEDICATED) and (
                row.name not in latest or row.started_at > latest[row.name].started_at
            ):
                latest[row.name] = row
        self._rows = latest
        own = latest.get(self._name)
        if own is not None and own.seen_s > self._policy.seen_stale_s:
            # What is as stale as this one's own row says nothing of the others: rows were not written, or the clock was set forward.
            self._reading_since_s = None
        for name in (set(self._up_since_s) | set(self._down)) - set(latest):
            self._up_since_s.pop(name, None)
            self._down.pop(name, None)
            self._clients.forget(name)
        for name in latest:
            if name != self._name:
                self._note_connection(name)

    def _note_connection(self, name: str) -> None:
        now_s = self._monotonic()
        if self._clients.is_up(name):
            self._up_since_s.setdefault(name, now_s)
            self._down.pop(name, None)
        elif name not in self._down:
            was_up = self._up_since_s.pop(name, None) is not None
            self._down[name] = (now_s, now_s if was_up else now_s + self._policy.connect_within_s)

    def _is_steady(self, name: str) -> bool:
        since_s = self._up_since_s.get(name)
        return since_s is not None and self._monotonic() - since_s >= self._policy.steady_s

    def _is_gone(self, row: ListedProcess) -> bool:
        """Whether a process can't serve what it owns, as far as this shard sees it itself."""
        if row.process == self.process:
            return False
        policy = self._policy
        if (down := self._down.get(row.name)) is not None:
            since_s, gone_at_s = down
            # One that goes on renewing its row lives: it is only not to be reached from here.
            if row.seen_s + policy.seen_margin_s >= self._read_at_s - since_s:
                return self._monotonic() >= gone_at_s
        # How stale rows are is judged by who has read without fail for long enough: after the database was away all are.
        reads_s = 0.0 if self._reading_since_s is None else self._read_at_s - self._reading_since_s
        return row.seen_s > policy.seen_stale_s and reads_s >= policy.seen_stale_s

    def _there(self) -> list[ListedProcess]:
        return [
            row
            for row in self._rows.values()
            if row.state in (ProcessState.SERVING, ProcessState.STANDBY) and not self._is_gone(row)
        ]


def first(partition: str, there: Sequence[ListedProcess]) -> str | None:
    """Give the name of the process that comes first for a partition among those that are ``there``; None where there is no shard.

    A process that is there for one order comes first for that one. Then come the shards that serve, those that stand by last.
    """
    if any(row.name == partition for row in there):
        return partition
    shards = [row for row in there if row.name.startswith(SHARD)]
    if not shards:
        return None
    return max(shards, key=lambda row: (row.state == ProcessState.SERVING, weight(partition, row.name))).name


@lru_cache(maxsize=65_536)
def weight(partition: str, name: str) -> bytes:
    """Give the rank of a shard for a partition (rendezvous hashing): the same everywhere, and even over the shards."""
    return blake2b(f"{partition} {name}".encode(), digest_size=8).digest()
