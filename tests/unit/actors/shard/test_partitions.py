"""Which partitions a shard takes and gives away, by what it sees itself, on the model of the tables."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest

from actors.shard.partitions import OwnedPartitions, PartitionPolicy, first
from domain.slices import PARTITIONS, dedicated_partition, partition_of
from storage.errors import StorageUnavailable
from storage.writes.owners import ListedProcess
from tests.faults.simulation.database import MemoryStore, Row

ORDER = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b01"
EVERY = frozenset(map(str, range(PARTITIONS)))
POLICY = PartitionPolicy(
    look_every_s=3600, seen_stale_s=10, connect_within_s=2, steady_s=1, give_pause_s=0, retry_first_s=0
)


class Tables:
    """The model of the database, asked as ``storage.writes.owners.Ownership`` is.

    ``lost``: methods whose next answer is lost, ``undone``: whose next statement is.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.model = MemoryStore(lambda: datetime(2026, 11, 24, tzinfo=UTC) + timedelta(seconds=self.now_s))
        self.lost: set[str] = set()
        self.undone: set[str] = set()

    def start(self, process: str, name: str, state: str = "serving") -> None:
        self.model.register(process, name, state)

    async def _ask(self, method: str, *arguments: object) -> object:
        await asyncio.sleep(0)
        if method in self.undone:
            self.undone.remove(method)
            raise StorageUnavailable("the connection was lost")
        result = getattr(self.model, method)(*arguments)
        if method in self.lost:
            self.lost.remove(method)
            raise StorageUnavailable("the answer was lost")
        return result

    async def listed(self) -> list[ListedProcess]:
        return await self._ask("listed")  # type: ignore[return-value]

    async def renew(self, process: str) -> str:
        return await self._ask("renew", process)  # type: ignore[return-value]

    async def owned(self, process: str) -> frozenset[str]:
        return await self._ask("owned", process)  # type: ignore[return-value]

    async def owners(self) -> dict[str, str | None]:
        return await self._ask("owners")  # type: ignore[return-value]

    async def take(self, process: str, former: str | None, partitions: Collection[str]) -> frozenset[str]:
        return await self._ask("take", process, former, partitions)  # type: ignore[return-value]

    async def give(self, process: str, token: str, partition: str, to: str) -> bool:
        return await self._ask("give", process, token, partition, to)  # type: ignore[return-value]

    async def split(self, process: str, token: str, order_id: str) -> bool:
        return await self._ask("split", process, token, order_id)  # type: ignore[return-value]

    async def merge(self, process: str, token: str, order_id: str) -> bool:
        return await self._ask("merge", process, token, order_id)  # type: ignore[return-value]

    async def closed(self, partitions: Collection[str]) -> list[str]:
        return await self._ask("closed", partitions)  # type: ignore[return-value]

    def counts(self) -> Counter[str | None]:
        """How many partitions each process owns."""
        return Counter(self.model.owner_of.values())


class Shard:
    """A shard's partitions, and what they ask of its orders and of the others."""

    def __init__(self, tables: Tables, process: str, name: str, *up: str) -> None:
        self.up = set(up)
        self.told: list[str] = []
        self.forgotten: list[str] = []
        self.asked: list[tuple[str, ...]] = []
        self.released: dict[str, str] = {}
        self.held: list[str] = []
        self.owned = OwnedPartitions(process, name, tables, self, self, POLICY, lambda: tables.now_s)

    async def start(self) -> Shard:
        self.owned.token = await self.owned._store.renew(self.owned.process)
        return self

    def is_up(self, name: str) -> bool:
        return name in self.up

    def forget(self, name: str) -> None:
        self.forgotten.append(name)

    def notify(self, name: str, method: str, *arguments: object) -> None:
        if method == "look":
            self.told.append(name)
        else:
            assert method == "split"
            self.asked.append((name, *map(str, arguments)))

    def adopt(self, partitions: frozenset[str]) -> None: ...

    def release(self, partitions: frozenset[str], to: str) -> None:
        self.released |= dict.fromkeys(partitions, to)

    def hold(self, partition: str) -> None:
        self.held.append(partition)

    def go_on(self, partition: str) -> None:
        self.held.remove(partition)

    async def settled(self) -> None:
        await asyncio.sleep(0)


async def two_shards(tables: Tables) -> tuple[Shard, Shard]:
    """Two that serve and see each other for long; each owns its share."""
    for k in range(2):
        tables.start(f"p{k}", f"order-shard-{k}")
    one = await Shard(tables, "p0", "order-shard-0", "order-shard-1").start()
    other = await Shard(tables, "p1", "order-shard-1", "order-shard-0").start()
    for shard in (one, other):
        await shard.owned.look()
    return one, other


def test_each_partition_has_the_same_first_shard_everywhere_and_shards_have_like_shares() -> None:
    there = [a_row(f"order-shard-{k}", "serving") for k in range(4)]
    counts = Counter(first(partition, there) for partition in EVERY)
    assert counts == Counter(first(partition, there[::-1]) for partition in EVERY)
    assert min(counts.values()) > PARTITIONS / 4 / 2
    gone = {p: first(p, there[1:]) for p in EVERY if first(p, there) != "order-shard-0"}
    assert all(first(p, there) == name for p, name in gone.items())  # nobody's but the lost one's partitions move


def test_who_stands_by_comes_after_all_that_serve_and_the_process_of_one_order_before() -> None:
    there = [a_row("order-shard-0", "standby"), a_row("order-shard-1", "serving"), a_row("order-x", "serving")]
    assert {first(partition, there) for partition in EVERY} == {"order-shard-1"}
    assert first("order-x", there) == "order-x"
    assert first("order-y", there) == "order-shard-1"
    assert first("0", there[:1]) == "order-shard-0"
    assert first("0", there[2:]) is None


def a_row(name: str, state: str) -> ListedProcess:
    return ListedProcess(
        process=name, name=name, state=state, seen_s=0, started_s=0, started_at=datetime(2026, 1, 1, tzinfo=UTC)
    )


async def test_shards_share_what_nobody_owns_and_a_late_one_is_given_its_share_one_by_one() -> None:
    tables = Tables()
    tables.start("p0", "order-shard-0")
    one = await Shard(tables, "p0", "order-shard-0").start()
    await one.owned.look()
    assert one.owned.mine == EVERY
    tables.start("p1", "order-shard-1")
    one.up.add("order-shard-1")
    await one.owned.look()
    assert one.owned.mine == EVERY  # it is there for too short a time
    tables.now_s = 2
    await one.owned.look()
    assert tables.counts()["p1"] == PARTITIONS - len(one.owned.mine) > 0
    assert set(one.released.values()) == set(one.told) == {"order-shard-1"}
    assert not one.held
    other = await Shard(tables, "p1", "order-shard-1", "order-shard-0").start()
    await other.owned.look()
    assert other.owned.mine == EVERY - one.owned.mine


async def test_what_a_lost_shard_owned_is_taken_at_once_under_a_new_token_of_its_own() -> None:
    tables = Tables()
    one, other = await two_shards(tables)
    token = other.owned.token
    one.up.clear()
    one.owned.connection_changed("order-shard-1")
    await one.owned.look()
    assert one.owned.mine == EVERY
    assert not tables.model.holds("p1", token)
    await other.owned.renew()
    assert other.owned.mine == frozenset()
    assert set(other.released) == EVERY - frozenset(name for name in EVERY if first_of_two(name) == "order-shard-0")


def first_of_two(partition: str) -> str | None:
    return first(partition, [a_row(f"order-shard-{k}", "serving") for k in range(2)])


async def test_a_shard_that_is_only_not_to_be_reached_from_here_keeps_what_it_took() -> None:
    """Two that do not see each other took from each other for ever."""
    tables = Tables()
    one, _ = await two_shards(tables)
    mine = one.owned.mine
    tables.now_s = 5
    one.up.clear()
    one.owned.connection_changed("order-shard-1")
    tables.now_s = 8
    tables.model.seen("p1")
    await one.owned.look()
    assert one.owned.mine == mine


async def test_a_shard_that_renewed_its_row_after_its_connection_was_lost_is_lost_once_the_row_is_stale() -> None:
    """It counted as alive for as long as its row stood: what it owned had no owner for ten minutes."""
    tables = Tables()
    one, _ = await two_shards(tables)
    mine = one.owned.mine
    tables.now_s = 5
    one.up.clear()
    one.owned.connection_changed("order-shard-1")
    tables.now_s = 6
    tables.model.seen("p1")  # for the last time
    await one.owned.look()
    assert one.owned.mine == mine
    tables.now_s = 15
    tables.model.seen("p0")
    await one.owned.look()
    assert one.owned.mine == mine
    tables.now_s = 17
    tables.model.seen("p0")
    await one.owned.look()
    assert one.owned.mine == EVERY


async def test_a_shard_whose_row_is_stale_is_lost_once_this_one_has_read_for_long_enough() -> None:
    tables = Tables()
    one, _ = await two_shards(tables)
    mine = one.owned.mine
    tables.now_s = 11
    tables.model.seen("p0")
    tables.lost = {"owners"}
    with pytest.raises(StorageUnavailable):
        await one.owned.look()
    one.owned._reading_since_s = None  # as its loop notes: the database was away, and all rows are stale
    await one.owned.look()
    assert one.owned.mine == mine
    tables.now_s = 22
    tables.model.seen("p0")
    await one.owned.look()
    assert one.owned.mine == EVERY


async def test_a_shard_takes_from_no_other_while_its_own_row_is_as_stale_as_all() -> None:
    """The database's clock was set forward: every row is stale, and the connections stand."""
    tables = Tables()
    one, other = await two_shards(tables)
    before = dict(tables.model.owner_of)
    for second in range(1, 12):
        tables.now_s = second
        for process in ("p0", "p1"):
            tables.model.seen(process)
        await one.owned.look()
        await other.owned.look()
    assert tables.model.owner_of == before
    long_ago = tables.model.seen_at["p0"].replace(year=2025)
    tables.model.seen_at = dict.fromkeys(tables.model.seen_at, long_ago)
    await one.owned.look()
    await other.owned.look()
    assert tables.model.owner_of == before


async def test_the_partitions_of_an_earlier_incarnation_are_lost() -> None:
    tables = Tables()
    one, _ = await two_shards(tables)
    tables.now_s = 1
    tables.start("p1b", "order-shard-1", "starting")
    await one.owned.look()
    assert one.owned.mine == EVERY


async def test_a_shard_that_stands_by_leaves_what_nobody_owns_to_one_that_starts_for_a_while() -> None:
    """It took everything at each start of the service, and gave it away one by one as soon as the other was there."""
    tables = Tables()
    tables.start("p0", "order-shard-0", "starting")
    tables.start("p1", "order-shard-1", "standby")
    standby = await Shard(tables, "p1", "order-shard-1").start()
    await standby.owned.look()
    assert standby.owned.mine == frozenset()
    tables.now_s = POLICY.start_within_s
    await standby.owned.look()
    assert standby.owned.mine == EVERY


async def test_a_shard_that_is_drained_gives_all_away_and_takes_nothing() -> None:
    tables = Tables()
    one, _ = await two_shards(tables)
    tables.now_s = 2
    tables.model.roles["order-shard-0"] = "draining"
    await one.owned.look()
    assert one.owned.mine == frozenset()
    assert one.owned.emptied.is_set()
    assert tables.counts() == {"p1": PARTITIONS}


async def test_the_last_shard_keeps_what_it_has_although_it_is_to_be_drained() -> None:
    tables = Tables()
    tables.start("p0", "order-shard-0")
    one = await Shard(tables, "p0", "order-shard-0").start()
    await one.owned.look()
    tables.model.roles["order-shard-0"] = "draining"
    await one.owned.look()
    assert one.owned.mine == EVERY


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_partition_whose_giving_is_in_doubt_belongs_to_whom_the_table_says_under_a_new_token(
    is_done: bool,
) -> None:
    tables = Tables()
    one, _ = await two_shards(tables)
    tables.now_s = 2
    token = one.owned.token
    tables.model.roles["order-shard-0"] = "draining"
    (tables.lost if is_done else tables.undone).add("give")
    await one.owned.look()
    assert one.owned.token != token
    assert one.owned.mine == tables.model.owned("p0")
    assert not one.held


async def test_an_order_of_its_own_partition_goes_to_its_process_and_comes_back_when_it_is_closed() -> None:
    tables = Tables()
    one, other = await two_shards(tables)
    owner = one if partition_of(ORDER) in one.owned.mine else other
    tables.model.rows[ORDER] = a_stored_row(is_open=True)
    partition = dedicated_partition(ORDER)
    tables.start("pd", partition)
    own = await Shard(tables, "pd", partition, "order-shard-0", "order-shard-1").start()
    await own.owned.look()
    assert own.asked == [(owner.owned._name, ORDER)]
    await owner.owned.split(ORDER)
    assert owner.owned.owns(ORDER)
    assert partition in owner.owned.mine
    owner.up.add(partition)
    await owner.owned.look()
    tables.now_s = 2
    await owner.owned.look()
    assert owner.told == [partition]
    assert partition not in owner.owned.mine
    await own.owned.look()
    assert own.owned.mine == {partition}
    assert len(own.asked) == 1
    tables.model.rows[ORDER] = a_stored_row(is_open=False, dedicated_group=partition)
    await own.owned.look()
    assert own.owned.emptied.is_set()
    assert partition not in tables.model.owner_of
    del tables.model.processes["pd"]
    await owner.owned.look()
    assert owner.forgotten == [partition]


async def test_an_order_of_another_shard_is_not_split_off() -> None:
    tables = Tables()
    one, other = await two_shards(tables)
    stranger = other if partition_of(ORDER) in one.owned.mine else one
    tables.model.rows[ORDER] = a_stored_row(is_open=True)
    await stranger.owned.split(ORDER)
    assert dedicated_partition(ORDER) not in tables.model.owner_of


def a_stored_row(*, is_open: bool, dedicated_group: str | None = None) -> Row:
    return Row(
        version=1,
        slice=0,
        schema_number=1,
        snapshot=b"",
        deadline=None,
        check_at=None,
        is_open=is_open,
        is_running=False,
        number=None,
        total=0,
        dedicated_group=dedicated_group,
    )
