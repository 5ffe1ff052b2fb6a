"""Group commit: what arrives while one flush is under way is the next flush. Nothing leaves a shard before this has said yes.

The one commit loop of a shard writes under its lease. A flush that finds its token replaced is void as a whole: another shard took
some of the partitions. Then the lease is renewed, what belongs to lost partitions is given up, and the rest is written. An answer
that changes nothing waits for a flush's check of the lease too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

import structlog

from actors.order.failpoints import Failpoint
from actors.order.insisting import ask_until_answered
from storage.errors import CommitUnknown, StorageUnavailable
from storage.writes.order_store import Commit, FlushResult, Loaded
from supervised import supervised_once

log = structlog.get_logger()


class CommitOutcome(Enum):
    """What became of a proposal."""

    COMMITTED = auto()
    REFUSED = auto()  # a promotion's limit: nothing changed
    OUTDATED = auto()  # events announced newer products or a newer customer than the order was judged by
    STALE = auto()  # the row was not what we thought it was: load the order again
    POISONED = auto()  # this commit can never succeed
    UNAVAILABLE = auto()  # the database said no for too long; certainly not committed
    UNKNOWN = auto()  # it can't be known now; the stored row will show it
    NOT_OWNER = auto()  # the order is not owned here any more


class CommitStore(Protocol):
    """The part of ``storage.writes.order_store.OrderStore`` that committing needs."""

    async def flush(self, process: str, token: str, commits: Sequence[Commit]) -> FlushResult: ...
    async def load(self, order_ids: Sequence[str]) -> dict[str, Loaded]: ...


class Lease(Protocol):
    """The shard's right to write (``partitions.OwnedPartitions``)."""

    @property
    def process(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def mine(self) -> frozenset[str]: ...
    def owns(self, order_id: str) -> bool: ...
    async def renew(self) -> None: ...


@dataclass(slots=True, eq=False)
class Proposal:
    """A commit to make, or (``commit`` None) only the check that the order is still owned here; ``settle`` gets its outcome.

    ``order_id`` None: only the check of the lease. The reason that comes with the outcome is a promotion's refusal code or the
    poison's description.
    """

    order_id: str | None
    commit: Commit | None
    settle: Callable[[CommitOutcome, str], None]
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
    """What a shard has done since it started."""

    flushes: int = 0
    commits: int = 0
    retries: int = 0
    unknown_resolved: int = 0
    outdated: int = 0
    poisoned: int = 0
    set_aside: int = 0
    largest_batch: int = field(default=0)


class CommitLoop:
    """Commits the proposals of a shard, in batches, one flush at a time."""

    def __init__(
        self,
        *,
        lease: Lease,
        store: CommitStore,
        policy: CommitPolicy,
        failpoint: Failpoint,
        counts: CommitCounts | None = None,
    ) -> None:
        self.counts = counts or CommitCounts()
        self._lease = lease
        self._store = store
        self._policy = policy
        self._failpoint = failpoint
        self._waiting: deque[Proposal] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is being written."""
        return self._task is None

    def add(self, proposal: Proposal) -> None:
        """Commit it with the next flush."""
        self._waiting.append(proposal)
        if self._task is None:
            self._task = supervised_once("commit", self._run())

    async def settled(self) -> None:
        """Wait until all that was proposed so far is settled, however much goes on being proposed."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.add(Proposal(None, None, lambda *_: done.set_result(None)))
        await done

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
                    log.exception("flush_failed", proposals=size)
                    _settle(batch, CommitOutcome.UNKNOWN, "the flush failed")
        finally:
            self._task = None

    async def _flush(self, batch: list[Proposal]) -> None:
        """Write a batch until each proposal has its outcome. An unforeseen error is bisected down to the proposal it is about."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + self._policy.retry_for_s
        wait_s = self._policy.retry_first_s
        while batch := self._own(batch):
            commits = [p.commit for p in batch if p.commit is not None]
            if commits:
                self._failpoint.hit("before_commit")
            try:
                result = await self._store.flush(self._lease.process, self._lease.token, commits)
                if result.owned:
                    if commits:
                        self._failpoint.hit("after_commit")
                    self._settle_result(batch, result)
                    return
                log.warning("lease_replaced", process=self._lease.process)
                why = "the shard's lease is replaced again and again"
                batch = self._settle_done(batch, result)
                await self._lease.renew()
                batch = self._own(batch)
                if loop.time() <= give_up_s:
                    continue
            except StorageUnavailable as error:
                why = str(error)
            except CommitUnknown as error:
                log.warning("commit_outcome_unknown", orders=len(commits), error=str(error))
                batch = await self._resolve(batch)
                give_up_s = loop.time() + self._policy.retry_for_s
                continue
            except Exception as error:
                log.exception("flush_broken", orders=len(commits))
                await self._isolate(await self._resolve(batch), error)
                return
            if loop.time() > give_up_s:
                log.warning("commit_given_up", orders=len(commits), error=why)
                _settle(batch, CommitOutcome.UNAVAILABLE, why)
                return
            self.counts.retries += 1
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, self._policy.retry_max_s)

    def _own(self, batch: Sequence[Proposal]) -> list[Proposal]:
        """Give up the proposals whose order is not owned here any more; the others."""
        lost = [p for p in batch if p.order_id is not None and not self._lease.owns(p.order_id)]
        _settle(lost, CommitOutcome.NOT_OWNER, "")
        return [p for p in batch if not p.is_settled]

    async def _isolate(self, batch: list[Proposal], error: Exception) -> None:
        """Write the halves of a batch that could not be written as a whole; one alone that can't be is poison."""
        if len(batch) == 1:
            self.counts.poisoned += 1
            _settle(batch, CommitOutcome.POISONED, f"{type(error).__name__}: {error}")
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            await self._flush(half)

    def _settle_done(self, batch: list[Proposal], result: FlushResult) -> list[Proposal]:
        """Settle what a void flush had committed before it was; the others."""
        done = [p for p in batch if p.commit is not None and p.commit.order.id in result.committed]
        self.counts.commits += len(done)
        _settle(done, CommitOutcome.COMMITTED, "")
        return [p for p in batch if not p.is_settled]

    def _settle_result(self, batch: list[Proposal], result: FlushResult) -> None:
        self.counts.flushes += 1
        self.counts.commits += len(result.committed)
        self.counts.outdated += len(result.outdated)
        self.counts.poisoned += len(result.poisoned)
        for proposal in batch:
            if proposal.commit is None or proposal.commit.order.id in result.committed:
                _settle((proposal,), CommitOutcome.COMMITTED, "")
                continue
            order_id = proposal.commit.order.id
            if (code := result.refused.get(order_id)) is not None:
                _settle((proposal,), CommitOutcome.REFUSED, code)
            elif order_id in result.outdated:
                _settle((proposal,), CommitOutcome.OUTDATED, "")
            elif (why := result.poisoned.get(order_id)) is not None:
                _settle((proposal,), CommitOutcome.POISONED, why)
            else:
                _settle((proposal,), CommitOutcome.STALE, "")

    async def _resolve(self, batch: list[Proposal]) -> list[Proposal]:
        """Find out what an unknown commit did; gives back the proposals that are still to be committed.

        Renewing the lease waits for the commit that may still be running, or defeats it; only then is reading back final. What
        is stored then is exactly the proposal, or the proposal was not committed. An order that is owned elsewhere by now is read
        by its new owner, and the senders ask that one again with the same ids.
        """
        await self._lease.renew()
        batch = self._own(batch)
        ids = [p.commit.order.id for p in batch if p.commit is not None]
        stored: dict[str, Loaded] = {}
        if ids:
            policy = self._policy
            stored = await ask_until_answered(
                lambda: self._store.load(ids), first_s=policy.retry_first_s, max_s=policy.retry_max_s
            )
        left: list[Proposal] = []
        for proposal in batch:
            if proposal.commit is not None and _stands(proposal.commit, stored.get(proposal.commit.order.id)):
                self.counts.unknown_resolved += 1
                self.counts.commits += 1
                _settle((proposal,), CommitOutcome.COMMITTED, "")
            else:
                left.append(proposal)
        return left


def _stands(proposed: Commit, stored: Loaded | None) -> bool:
    """Whether what is stored is what was proposed; a message that changed nothing is known by its remembered id."""
    if stored is None or stored.order != proposed.order:
        return False
    return proposed.message_id is None or proposed.message_id in stored.keys


def _settle(batch: Sequence[Proposal], commit_outcome: CommitOutcome, reason: str) -> None:
    """Settle each proposal with its outcome, once; one that fails to take it must not keep the others from theirs."""
    for proposal in batch:
        if proposal.is_settled:
            continue
        proposal.is_settled = True
        try:
            proposal.settle(commit_outcome, reason)
        except Exception:
            log.exception("verdict_not_taken", commit_outcome=commit_outcome.name)
