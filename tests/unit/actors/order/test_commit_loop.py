"""Group commit: batches, verdicts, and what is done about an outcome that nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from actors.order.commit_loop import CommitPolicy, Committer, Proposal, Verdict
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
        claims=(),
        releases=(),
    )


class Verdicts(dict[str, tuple[Verdict, str]]):
    def proposal(self, order_id: str, *, check: bool = False) -> Proposal:
        def settle(verdict: Verdict, reason: str) -> None:
            self[order_id] = (verdict, reason)

        return Proposal(order_id, None if check else a_commit(order_id), settle)


def a_committer(store: FakeStore, lease: FakeLease | None = None, **policy: float) -> Committer:
    return Committer(
        lease=lease or FakeLease(),
        store=store,
        policy=CommitPolicy(**{"retry_first_s": 0, "retry_max_s": 0, **policy}),  # type: ignore[arg-type]
        failpoint=Failpoint(None),
    )


async def test_what_arrives_during_a_flush_is_the_next_flush() -> None:
    store, verdicts = FakeStore(), Verdicts()
    committer = a_committer(store)
    committer.add(verdicts.proposal("a"))
    await asyncio.sleep(0)
    for order_id in "bcd":
        committer.add(verdicts.proposal(order_id))
    await committer.stop()
    assert [ids for _, ids in store.flushes] == [["a"], ["b", "c", "d"]]
    assert {verdict for verdict, _ in verdicts.values()} == {Verdict.COMMITTED}


async def test_a_check_commits_nothing_but_waits_for_a_flush() -> None:
    store, verdicts = FakeStore(), Verdicts()
    committer = a_committer(store)
    committer.add(verdicts.proposal("a", check=True))
    assert not verdicts
    await committer.stop()
    assert store.flushes == [("t-0", [])]
    assert verdicts["a"][0] is Verdict.COMMITTED


async def test_a_void_flush_gives_up_what_is_lost_and_writes_the_rest_under_the_new_token() -> None:
    store, verdicts, lease = FakeStore(FlushResult(owned=False)), Verdicts(), FakeLease("a", "b")
    committer = a_committer(store, lease)
    committer.add(verdicts.proposal("a"))
    committer.add(verdicts.proposal("b", check=True))
    committer.add(verdicts.proposal("c"))
    await committer.stop()
    committer.add(verdicts.proposal("a2"))
    await committer.stop()
    assert {order_id: verdict for order_id, (verdict, _) in verdicts.items()} == {
        "a": Verdict.MOVED,
        "b": Verdict.MOVED,
        "c": Verdict.COMMITTED,
        "a2": Verdict.COMMITTED,
    }
    assert store.flushes == [("t-0", ["a", "c"]), ("t-1", ["c"]), ("t-1", ["a2"])]


async def test_what_a_flush_had_committed_before_it_was_void_is_committed() -> None:
    store = FakeStore(FlushResult(owned=False, committed=frozenset("a")))
    verdicts = Verdicts()
    committer = a_committer(store, FakeLease("a", "b"))
    committer.add(verdicts.proposal("a"))
    committer.add(verdicts.proposal("b"))
    await committer.stop()
    assert (verdicts["a"][0], verdicts["b"][0]) == (Verdict.COMMITTED, Verdict.MOVED)


async def test_who_has_no_time_left_hears_all_the_same_that_the_order_is_owned_elsewhere() -> None:
    store, verdicts = FakeStore(FlushResult(owned=False)), Verdicts()
    committer = a_committer(store, FakeLease("a"), retry_for_s=0)
    committer.add(verdicts.proposal("a"))
    await committer.stop()
    assert verdicts["a"][0] is Verdict.MOVED


async def test_a_lease_that_is_replaced_again_and_again_ends_in_a_no() -> None:
    store, verdicts = FakeStore(*[FlushResult(owned=False)] * 50), Verdicts()
    committer = a_committer(store, retry_for_s=0)
    committer.add(verdicts.proposal("a"))
    await committer.stop()
    assert verdicts["a"][0] is Verdict.UNAVAILABLE
    assert len(store.flushes) < 50


async def test_a_database_that_is_away_for_a_moment_only_delays() -> None:
    store, verdicts = FakeStore(StorageUnavailable("away"), StorageUnavailable("away")), Verdicts()
    committer = a_committer(store)
    committer.add(verdicts.proposal("a"))
    await committer.stop()
    assert verdicts["a"][0] is Verdict.COMMITTED
    assert committer.counts.retries == 2


async def test_a_database_that_stays_away_is_told_as_unavailable() -> None:
    store, verdicts = FakeStore(*[StorageUnavailable("away")] * 50), Verdicts()
    committer = a_committer(store, retry_for_s=0)
    committer.add(verdicts.proposal("a"))
    await committer.stop()
    assert verdicts["a"] == (Verdict.UNAVAILABLE, "away")


async def test_an_unknown_commit_that_was_done_is_not_done_again() -> None:
    store, verdicts = FakeStore(CommitUnknown("lost")), Verdicts()
    store.stored["a"] = Loaded(
        order=a_commit("a").order, undecodable=None, dedicated_group=None, keys={}, unpublished=()
    )
    committer = a_committer(store)
    committer.add(verdicts.proposal("a"))
    committer.add(verdicts.proposal("b"))
    await committer.stop()
    assert verdicts["a"][0] is verdicts["b"][0] is Verdict.COMMITTED
    assert store.flushes == [("t-0", ["a", "b"]), ("t-1", ["b"])]


async def test_an_unknown_commit_of_a_lost_order_is_left_to_its_new_owner() -> None:
    store, verdicts, lease = FakeStore(CommitUnknown("lost")), Verdicts(), FakeLease("a")
    store.stored["a"] = Loaded(
        order=a_commit("a").order, undecodable=None, dedicated_group=None, keys={}, unpublished=()
    )
    committer = a_committer(store, lease)
    committer.add(verdicts.proposal("a"))
    await committer.stop()
    assert verdicts["a"][0] is Verdict.MOVED
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
    committer = a_committer(store)
    for order_id in "abcde":
        committer.add(verdicts.proposal(order_id))
    await committer.stop()
    assert verdicts == {
        "e": (Verdict.OUTDATED, ""),
        "a": (Verdict.COMMITTED, ""),
        "b": (Verdict.REFUSED, "discount_exhausted"),
        "c": (Verdict.POISONED, "NUL"),
        "d": (Verdict.STALE, ""),
    }


async def test_a_flush_that_breaks_is_bisected_down_to_the_proposal_it_is_about() -> None:
    class Breaking(FakeStore):
        async def flush(self, process: str, token: str, commits: Sequence[Commit]) -> FlushResult:
            if any(commit.order.id == "o-3" for commit in commits):
                raise TypeError("a value that can't be written")
            return await super().flush(process, token, commits)

    verdicts = Verdicts()
    committer = a_committer(Breaking())
    for number in range(6):
        committer.add(verdicts.proposal(f"o-{number}"))
    await committer.stop()
    assert {order_id: verdict.name for order_id, (verdict, _) in verdicts.items()} == {
        **{f"o-{number}": "COMMITTED" for number in range(6)},
        "o-3": "POISONED",
    }


async def test_a_proposal_that_fails_to_take_its_verdict_keeps_nobody_else_from_theirs() -> None:
    def broken(verdict: Verdict, reason: str) -> None:
        raise ZeroDivisionError

    verdicts = Verdicts()
    committer = a_committer(FakeStore())
    committer.add(Proposal("o-1", a_commit("o-1"), broken))
    committer.add(verdicts.proposal("o-2"))
    await committer.stop()
    assert verdicts["o-2"][0] is Verdict.COMMITTED
    committer.add(verdicts.proposal("o-3"))
    await committer.stop()
    assert verdicts["o-3"][0] is Verdict.COMMITTED


async def test_a_message_that_changed_nothing_was_committed_only_if_its_id_is_remembered() -> None:
    unchanged = msgspec.structs.replace(a_commit("o-1"), message_id="k")
    store = FakeStore(CommitUnknown("lost"))
    stored = Loaded(order=unchanged.order, undecodable=None, dedicated_group=None, keys={}, unpublished=())
    store.stored["o-1"] = stored
    told: list[Verdict] = []
    committer = a_committer(store)
    committer.add(Proposal("o-1", unchanged, lambda verdict, _: told.append(verdict)))
    await committer.stop()
    assert (told, len(store.flushes)) == ([Verdict.COMMITTED], 2)  # it was written again

    store = FakeStore(CommitUnknown("lost"))
    store.stored["o-1"] = replace(stored, keys={"k": ""})
    committer = a_committer(store)
    committer.add(Proposal("o-1", unchanged, lambda verdict, _: told.append(verdict)))
    await committer.stop()
    assert (told[1:], len(store.flushes)) == ([Verdict.COMMITTED], 1)
