"""Group commit: batches, verdicts, and what is done about an outcome that nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from actors.order.commit_loop import CommitLoop, CommitOutcome, CommitPolicy, Proposal
from actors.order.failpoints import Failpoint
from storage.errors import CommitUnknown, StorageUnavailable
from storage.writes.order_store import Commit, FlushResult, Loaded
from tests.unit.actors.order.test_order_actor import an_order


class FakeStore:
    """Does to each flush what ``script`` says next: a result, an error, or (None) commits everything."""

    def __init__(self, *script: FlushResult | Exception | None) -> None:
        self.script = list(script)
        self.flushes: list[tuple[str, list[str]]] = []
        self.stored: dict[str, Loaded] = {}

    async def flush(self, process: str, token: str, commits: Sequence[Commit]) -> FlushResult:
        await asyncio.sleep(0)
        ids = [commit.order.id for commit in commits]
        self.flushes.append((token, ids))
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        return step or FlushResult(owned=True, committed=frozenset(ids), refused={}, poisoned={})

    async def load(self, order_ids: Sequence[str]) -> dict[str, Loaded]:
        return {order_id: self.stored[order_id] for order_id in order_ids if order_id in self.stored}


class FakeLease:
    """Owns every order until it is renewed, and then all but those that are ``lost``."""

    process = "p"
    mine = frozenset(("0",))

    def __init__(self, *lost: str) -> None:
        self.renewals = 0
        self._lost = lost

    @property
    def token(self) -> str:
        return f"t-{self.renewals}"

    def owns(self, order_id: str) -> bool:
        return not self.renewals or order_id not in self._lost

    async def renew(self) -> None:
        await asyncio.sleep(0)
        self.renewals += 1


def a_commit(order_id: str) -> Commit:
    return Commit(
        order=replace(an_order(), id=order_id),
        base_version=0,
        deadline=None,
        payment_status="unpaid",
        fulfillment_status="unfulfilled",
        total=0,
        paid=0,
        refunded=0,
        events=(),
        ledger=(),
        message_id=None,
        fingerprint="",
        reply=None,
        promotion_uses=(),
        releases=(),
    )


class Verdicts(dict[str, tuple[CommitOutcome, str]]):
    def proposal(self, order_id: str, *, check: bool = False) -> Proposal:
        def settle(commit_outcome: CommitOutcome, reason: str) -> None:
            self[order_id] = (commit_outcome, reason)

        return Proposal(order_id, None if check else a_commit(order_id), settle)


def a_committer(store: FakeStore, lease: FakeLease | None = None, **policy: float) -> CommitLoop:
    return CommitLoop(
        lease=lease or FakeLease(),
        store=store,
        policy=CommitPolicy(**{"retry_first_s": 0, "retry_max_s": 0, **policy}),  # type: ignore[arg-type]
        failpoint=Failpoint(None),
    )


async def test_what_arrives_during_a_flush_is_the_next_flush() -> None:
    store, verdicts = FakeStore(), Verdicts()
    commit_loop = a_committer(store)
    commit_loop.add(verdicts.proposal("a"))
    await asyncio.sleep(0)
    for order_id in "bcd":
        commit_loop.add(verdicts.proposal(order_id))
    await commit_loop.stop()
    assert [ids for _, ids in store.flushes] == [["a"], ["b", "c", "d"]]
    assert {commit_outcome for commit_outcome, _ in verdicts.values()} == {CommitOutcome.COMMITTED}


async def test_a_check_commits_nothing_but_waits_for_a_flush() -> None:
    store, verdicts = FakeStore(), Verdicts()
    commit_loop = a_committer(store)
    commit_loop.add(verdicts.proposal("a", check=True))
    assert not verdicts
    await commit_loop.stop()
    assert store.flushes == [("t-0", [])]
    assert verdicts["a"][0] is CommitOutcome.COMMITTED


async def test_a_void_flush_gives_up_what_is_lost_and_writes_the_rest_under_the_new_token() -> None:
    store, verdicts, lease = FakeStore(FlushResult(owned=False)), Verdicts(), FakeLease("a", "b")
    commit_loop = a_committer(store, lease)
    commit_loop.add(verdicts.proposal("a"))
    commit_loop.add(verdicts.proposal("b", check=True))
    commit_loop.add(verdicts.proposal("c"))
    await commit_loop.stop()
    commit_loop.add(verdicts.proposal("a2"))
    await commit_loop.stop()
    assert {order_id: commit_outcome for order_id, (commit_outcome, _) in verdicts.items()} == {
        "a": CommitOutcome.NOT_OWNER,
        "b": CommitOutcome.NOT_OWNER,
        "c": CommitOutcome.COMMITTED,
        "a2": CommitOutcome.COMMITTED,
    }
    assert store.flushes == [("t-0", ["a", "c"]), ("t-1", ["c"]), ("t-1", ["a2"])]


async def test_what_a_flush_had_committed_before_it_was_void_is_committed() -> None:
    store = FakeStore(FlushResult(owned=False, committed=frozenset("a")))
    verdicts = Verdicts()
    commit_loop = a_committer(store, FakeLease("a", "b"))
    commit_loop.add(verdicts.proposal("a"))
    commit_loop.add(verdicts.proposal("b"))
    await commit_loop.stop()
    assert (verdicts["a"][0], verdicts["b"][0]) == (CommitOutcome.COMMITTED, CommitOutcome.NOT_OWNER)


async def test_who_has_no_time_left_hears_all_the_same_that_the_order_is_owned_elsewhere() -> None:
    store, verdicts = FakeStore(FlushResult(owned=False)), Verdicts()
    commit_loop = a_committer(store, FakeLease("a"), retry_for_s=0)
    commit_loop.add(verdicts.proposal("a"))
    await commit_loop.stop()
    assert verdicts["a"][0] is CommitOutcome.NOT_OWNER


async def test_a_lease_that_is_replaced_again_and_again_ends_in_a_no() -> None:
    store, verdicts = FakeStore(*[FlushResult(owned=False)] * 50), Verdicts()
    commit_loop = a_committer(store, retry_for_s=0)
    commit_loop.add(verdicts.proposal("a"))
    await commit_loop.stop()
    assert verdicts["a"][0] is CommitOutcome.UNAVAILABLE
    assert len(store.flushes) < 50


async def test_a_database_that_is_away_for_a_moment_only_delays() -> None:
    store, verdicts = FakeStore(StorageUnavailable("away"), StorageUnavailable("away")), Verdicts()
    commit_loop = a_committer(store)
    commit_loop.add(verdicts.proposal("a"))
    await commit_loop.stop()
    assert verdicts["a"][0] is CommitOutcome.COMMITTED
    assert commit_loop.counts.retries == 2


async def test_a_database_that_stays_away_is_told_as_unavailable() -> None:
    store, verdicts = FakeStore(*[StorageUnavailable("away")] * 50), Verdicts()
    commit_loop = a_committer(store, retry_for_s=0)
    commit_loop.add(verdicts.proposal("a"))
    await commit_loop.stop()
    assert verdicts["a"] == (CommitOutcome.UNAVAILABLE, "away")


async def test_an_unknown_commit_that_was_done_is_not_done_again() -> None:
    store, verdicts = FakeStore(CommitUnknown("lost")), Verdicts()
    store.stored["a"] = Loaded(
        order=a_commit("a").order, undecodable=None, dedicated_group=None, keys={}, unpublished=()
    )
    commit_loop = a_committer(store)
    commit_loop.add(verdicts.proposal("a"))
    commit_loop.add(verdicts.proposal("b"))
    await commit_loop.stop()
    assert verdicts["a"][0] is verdicts["b"][0] is CommitOutcome.COMMITTED
    assert store.flushes == [("t-0", ["a", "b"]), ("t-1", ["b"])]


async def test_an_unknown_commit_of_a_lost_order_is_left_to_its_new_owner() -> None:
    store, verdicts, lease = FakeStore(CommitUnknown("lost")), Verdicts(), FakeLease("a")
    store.stored["a"] = Loaded(
        order=a_commit("a").order, undecodable=None, dedicated_group=None, keys={}, unpublished=()
    )
    commit_loop = a_committer(store, lease)
    commit_loop.add(verdicts.proposal("a"))
    await commit_loop.stop()
    assert verdicts["a"][0] is CommitOutcome.NOT_OWNER
    assert lease.renewals == 1


async def test_each_order_of_a_batch_hears_its_own_verdict() -> None:
    result = FlushResult(
        owned=True,
        committed=frozenset({"a"}),
        refused={"b": "discount_exhausted"},
        outdated=frozenset({"e"}),
        poisoned={"c": "NUL"},
    )
    store, verdicts = FakeStore(result), Verdicts()
    commit_loop = a_committer(store)
    for order_id in "abcde":
        commit_loop.add(verdicts.proposal(order_id))
    await commit_loop.stop()
    assert verdicts == {
        "e": (CommitOutcome.OUTDATED, ""),
        "a": (CommitOutcome.COMMITTED, ""),
        "b": (CommitOutcome.REFUSED, "discount_exhausted"),
        "c": (CommitOutcome.POISONED, "NUL"),
        "d": (CommitOutcome.STALE, ""),
    }


async def test_a_flush_that_breaks_is_bisected_down_to_the_proposal_it_is_about() -> None:
    class Breaking(FakeStore):
        async def flush(self, process: str, token: str, commits: Sequence[Commit]) -> FlushResult:
            if any(commit.order.id == "o-3" for commit in commits):
                raise TypeError("a value that can't be written")
            return await super().flush(process, token, commits)

    verdicts = Verdicts()
    commit_loop = a_committer(Breaking())
    for number in range(6):
        commit_loop.add(verdicts.proposal(f"o-{number}"))
    await commit_loop.stop()
    assert {order_id: commit_outcome.name for order_id, (commit_outcome, _) in verdicts.items()} == {
        **{f"o-{number}": "COMMITTED" for number in range(6)},
        "o-3": "POISONED",
    }


async def test_a_proposal_that_fails_to_take_its_verdict_keeps_nobody_else_from_theirs() -> None:
    def broken(commit_outcome: CommitOutcome, reason: str) -> None:
        raise ZeroDivisionError

    verdicts = Verdicts()
    commit_loop = a_committer(FakeStore())
    commit_loop.add(Proposal("o-1", a_commit("o-1"), broken))
    commit_loop.add(verdicts.proposal("o-2"))
    await commit_loop.stop()
    assert verdicts["o-2"][0] is CommitOutcome.COMMITTED
    commit_loop.add(verdicts.proposal("o-3"))
    await commit_loop.stop()
    assert verdicts["o-3"][0] is CommitOutcome.COMMITTED


async def test_a_message_that_changed_nothing_was_committed_only_if_its_id_is_remembered() -> None:
    unchanged = msgspec.structs.replace(a_commit("o-1"), message_id="k")
    store = FakeStore(CommitUnknown("lost"))
    stored = Loaded(order=unchanged.order, undecodable=None, dedicated_group=None, keys={}, unpublished=())
    store.stored["o-1"] = stored
    told: list[CommitOutcome] = []
    commit_loop = a_committer(store)
    commit_loop.add(Proposal("o-1", unchanged, lambda commit_outcome, _: told.append(commit_outcome)))
    await commit_loop.stop()
    assert (told, len(store.flushes)) == ([CommitOutcome.COMMITTED], 2)  # it was written again

    store = FakeStore(CommitUnknown("lost"))
    store.stored["o-1"] = replace(stored, keys={"k": ""})
    commit_loop = a_committer(store)
    commit_loop.add(Proposal("o-1", unchanged, lambda commit_outcome, _: told.append(commit_outcome)))
    await commit_loop.stop()
    assert (told[1:], len(store.flushes)) == ([CommitOutcome.COMMITTED], 1)
