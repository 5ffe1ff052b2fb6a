"""Group commit: what arrives while one flush is under way is the next flush. Nothing leaves a shard before this has said yes.

One committer writes for one group of orders under one epoch. A flush that finds the epoch gone is void as a whole: somebody else
owns the orders now. An answer that changes nothing waits for a flush's check of the epoch too (design.md, "One writer").
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol, TypeVar

import structlog

from actors.failpoints import Failpoint
from storage.errors import CommitUnknown, StorageUnavailable
from storage.snapshots import Commit, FlushResult, Loaded
from supervised import supervised_once

log = structlog.get_logger()
T = TypeVar("T")


class Verdict(Enum):
    """What became of a proposal."""

    COMMITTED = auto()
    REFUSED = auto()  # a promotion's limit: nothing changed
    STALE = auto()  # the row was not what we thought it was: load the order again
    POISONED = auto()  # this commit can never succeed
    UNAVAILABLE = auto()  # the database said no for too long; certainly not committed
    UNKNOWN = auto()  # nobody can tell now; the row will
    MOVED = auto()  # somebody else owns the group


class Store(Protocol):
    """The part of ``storage.snapshots.OrderStore`` that committing needs."""

    async def flush(self, group: str, epoch: int, commits: Sequence[Commit]) -> FlushResult: ...
    async def renew(self, group: str, epoch: int) -> int | None: ...
    async def load(self, order_ids: Sequence[str]) -> dict[str, Loaded]: ...


@dataclass(slots=True, eq=False)
class Proposal:
    """A commit to make, or (``commit`` None) only the check that we still own the group; ``settle`` hears what became of it.

    The reason that comes with the verdict is a promotion's refusal code or the poison's description.
    """

    commit: Commit | None
    settle: Callable[[Verdict, str], None]
    is_settled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitPolicy:
    """Bounds on committing, unit last."""

    batch_max_orders: int = 256
    retry_for_s: float = 5.0
    retry_first_s: float = 0.05
    retry_max_s: float = 1.0


@dataclass(slots=True)
class CommitCounts:
    """What the groups of a process have done since it started, those that it has lost too: these numbers never fall."""

    flushes: int = 0
    commits: int = 0
    retries: int = 0
    unknown_resolved: int = 0
    poisoned: int = 0
    set_aside: int = 0
    largest_batch: int = field(default=0)


class Committer:
    """Commits the proposals of one group, in batches, one flush at a time."""

    def __init__(
        self,
        *,
        group: str,
        epoch: int,
        store: Store,
        policy: CommitPolicy,
        on_replaced: Callable[[], None],
        failpoint: Failpoint,
        counts: CommitCounts | None = None,
    ) -> None:
        self.group = group
        self.epoch = epoch
        self.counts = counts or CommitCounts()
        self._store = store
        self._policy = policy
        self._on_replaced = on_replaced
        self._failpoint = failpoint
        self._waiting: deque[Proposal] = deque()
        self._task: asyncio.Task[None] | None = None
        self._replaced = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is being written."""
        return self._task is None

    def add(self, proposal: Proposal) -> None:
        """Commit it with the next flush."""
        if self._replaced:
            _settle((proposal,), Verdict.MOVED, "")
            return
        self._waiting.append(proposal)
        if self._task is None:
            self._task = supervised_once("commit", self._run(), group=self.group)

    async def settled(self) -> Verdict:
        """Wait until all that was proposed so far is settled, however much goes on being proposed; tells whether we still own it."""
        done: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self.add(Proposal(None, lambda verdict, _: done.set_result(verdict)))
        return await done

    async def stop(self) -> None:
        """Wait until what was proposed is settled."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._waiting:
                size = min(len(self._waiting), self._policy.batch_max_orders)
                batch = [self._waiting.popleft() for _ in range(size)]
                self.counts.largest_batch = max(self.counts.largest_batch, size)
                try:
                    await self._flush(batch)
                except Exception:
                    log.exception("flush_failed", group=self.group, proposals=size)
                    _settle(batch, Verdict.UNKNOWN, "the flush failed")
        finally:
            self._task = None

    async def _flush(self, batch: list[Proposal]) -> None:
        """Write a batch until each proposal has its verdict. What nobody foresaw is bisected down to the proposal it is about."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + self._policy.retry_for_s
        wait_s = self._policy.retry_first_s
        while True:
            commits = [p.commit for p in batch if p.commit is not None]
            if commits:
                self._failpoint.hit("before_commit")
            try:
                result = await self._store.flush(self.group, self.epoch, commits)
            except StorageUnavailable as error:
                if loop.time() > give_up_s:
                    log.warning("commit_given_up", group=self.group, orders=len(commits), error=str(error))
                    _settle(batch, Verdict.UNAVAILABLE, str(error))
                    return
            except CommitUnknown as error:
                log.warning("commit_outcome_unknown", group=self.group, orders=len(commits), error=str(error))
                batch = await self._resolve(batch)
                if not batch:
                    return
                give_up_s = loop.time() + self._policy.retry_for_s
                continue
            except Exception as error:
                log.exception("flush_broken", group=self.group, orders=len(commits))
                await self._isolate(await self._resolve(batch), error)
                return
            else:
                if commits:
                    self._failpoint.hit("after_commit")
                self._settle_result(batch, result)
                return
            self.counts.retries += 1
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, self._policy.retry_max_s)

    async def _isolate(self, batch: list[Proposal], error: Exception) -> None:
        """Write the halves of a batch that could not be written as a whole; one alone that can't be is poison."""
        if len(batch) == 1:
            self.counts.poisoned += 1
            _settle(batch, Verdict.POISONED, f"{type(error).__name__}: {error}")
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            if half and not self._replaced:
                await self._flush(half)
            else:
                _settle(half, Verdict.MOVED, "")

    def _settle_result(self, batch: list[Proposal], result: FlushResult) -> None:
        if not result.owned:
            self._be_replaced(batch)
            return
        self.counts.flushes += 1
        self.counts.commits += len(result.committed)
        self.counts.poisoned += len(result.poisoned)
        for proposal in batch:
            if proposal.commit is None or proposal.commit.order.id in result.committed:
                _settle((proposal,), Verdict.COMMITTED, "")
                continue
            order_id = proposal.commit.order.id
            if (code := result.refused.get(order_id)) is not None:
                _settle((proposal,), Verdict.REFUSED, code)
            elif (why := result.poisoned.get(order_id)) is not None:
                _settle((proposal,), Verdict.POISONED, why)
            else:
                _settle((proposal,), Verdict.STALE, "")

    def _be_replaced(self, batch: list[Proposal]) -> None:
        self._replaced = True
        log.warning("group_replaced", group=self.group, epoch=self.epoch)
        _settle([*batch, *self._waiting], Verdict.MOVED, "")
        self._waiting.clear()
        self._on_replaced()

    async def _resolve(self, batch: list[Proposal]) -> list[Proposal]:
        """Find out what an unknown commit did; gives back the proposals that are still to be committed.

        Bumping our own epoch waits for the commit that may still be running, or defeats it; only then is reading back final.
        Whatever stands there is either exactly what we proposed, or the proposal was not committed. If the epoch is not ours
        any more, the new owner reads what stands, and the senders ask it again with the same ids.
        """
        renewed = await self._insist(lambda: self._store.renew(self.group, self.epoch))
        if renewed is None:
            self._be_replaced(batch)
            return []
        self.epoch = renewed
        ids = [p.commit.order.id for p in batch if p.commit is not None]
        stored: dict[str, Loaded] = await self._insist(lambda: self._store.load(ids)) if ids else {}
        left: list[Proposal] = []
        for proposal in batch:
            if proposal.commit is not None and _stands(proposal.commit, stored.get(proposal.commit.order.id)):
                self.counts.unknown_resolved += 1
                self.counts.commits += 1
                _settle((proposal,), Verdict.COMMITTED, "")
            else:
                left.append(proposal)
        return left

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        wait_s = self._policy.retry_first_s
        while True:
            try:
                return await ask()
            except (StorageUnavailable, CommitUnknown):
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, self._policy.retry_max_s)


def _stands(proposed: Commit, stored: Loaded | None) -> bool:
    """Whether what is stored is what was proposed; a message that changed nothing is known by its remembered id."""
    if stored is None or stored.order != proposed.order:
        return False
    return proposed.message_id is None or proposed.message_id in stored.keys


def _settle(batch: Sequence[Proposal], verdict: Verdict, reason: str) -> None:
    """Tell each proposal its verdict, once; one that fails to take it must not keep the others from theirs."""
    for proposal in batch:
        if proposal.is_settled:
            continue
        proposal.is_settled = True
        try:
            proposal.settle(verdict, reason)
        except Exception:
            log.exception("verdict_not_taken", verdict=verdict.name)
