"""A database of the first release, whose groups of slices had owners and epochs, is taken over: no order of it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace

from domain.order import Order, Status
from domain.slices import DEDICATED, PARTITIONS, dedicated_partition, partition_of
from storage import migrate as runner
from storage.migrate import migrate
from storage.writes.flush_statement import COLUMNS, NOT_STORED
from storage.writes.order_store import Commit, OrderStore
from tests.integration.storage.orders import a_commit, an_order, next_of
from tests.integration.storage.owning import owner_of_all, until_waiting

T = TypeVar("T")

ORDERS = 10_000
READ_AT_ONCE_ORDERS = 1_000
CLOSED = (Status.DELIVERED, Status.CANCELLED)
# The file that was the last one of a release before this, and the last one without partitions.
LAST_FILES = ("0007_figures.sql", "0012_given_back.sql")
# How the first release held a group's epoch in each flush, took a group, and gave an order a group of its own.
FLUSH = "select from owners where grp = $1 and epoch = $2 for share"
TAKE = """
insert into owners (grp, epoch, shard, taken_at) values ($1, nextval('epochs'), $2, clock_timestamp())
on conflict (grp) do update set epoch = nextval('epochs'), shard = excluded.shard, taken_at = excluded.taken_at
returning epoch
"""
RENEW = "update owners set epoch = nextval('epochs') where grp = $1 and epoch = $2 returning epoch"
DEDICATE = "update orders set dedicated_group = $2 where id = $1 and dedicated_group is null"
FORGET = "delete from owners where grp = $1"
GROUPS = ("slices-0-of-2", "slices-1-of-2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An order of the first release. ``check_at`` is never later than the deadline."""

    commit: Commit
    check_at: datetime | None
    is_dedicated: bool
    is_set_aside: bool
    is_published: bool

    @property
    def order(self) -> Order:
        return self.commit.order

    @property
    def is_running(self) -> bool:
        return bool(self.order.steps) and not self.is_set_aside


@dataclass(slots=True)
class FirstRelease:
    """The database, with the orders in it by id and the epochs of their owners by group."""

    url: str
    orders: dict[str, Stored]
    epochs: dict[str, int] = field(default_factory=dict)

    def partition_of(self, order_id: str) -> str:
        return dedicated_partition(order_id) if self.orders[order_id].is_dedicated else partition_of(order_id)


def stored_orders(now: datetime) -> Iterable[Stored]:
    """Orders in every state, each with and without a step that runs, a deadline that has come, and an event that waits."""
    random = Random(7)
    for n in range(ORDERS):
        status = list(Status)[n % len(Status)]
        is_closed = status in CLOSED
        order = an_order(order_id=str(UUID(int=random.getrandbits(128), version=4)), skus=("sku-1",), status=status)
        if is_closed or random.random() < 0.5:
            order = replace(order, steps=())
        deadline = None if is_closed else now + timedelta(seconds=random.choice((-3600, -1, 3600)))
        is_set_aside = not is_closed and random.random() < 0.02
        is_dedicated = random.random() < 0.02
        check_at = deadline
        if deadline is not None and random.random() < 0.3:
            check_at = min(deadline, now - timedelta(seconds=60))  # the deadline has moved on from there
        yield Stored(
            commit=a_commit(order, deadline=deadline, message_id="made", fingerprint="f", reply=order.id.encode()),
            check_at=None if is_set_aside else check_at,
            is_dedicated=is_dedicated,
            is_set_aside=is_set_aside,
            is_published=random.random() < 0.8,
        )


async def go_back_to(sql: asyncpg.Connection[Any], last_file: str) -> None:
    """Leave nothing in the database but what the migrations up to a file make."""
    await sql.execute("drop schema public cascade")
    await sql.execute("create schema public")
    await sql.execute(runner.MAKE_TABLE)
    for file in sorted(runner.MIGRATIONS.glob("*.sql")):
        if file.name <= last_file:
            text = file.read_text(encoding="utf-8")
            await sql.execute(text)
            checksum = sha256(text.encode()).hexdigest()
            await sql.execute("insert into schema_migrations (name, checksum) values ($1, $2)", file.name, checksum)


async def fill(sql: asyncpg.Connection[Any], stored: Iterable[Stored]) -> None:
    """Write the rows of orders, with what belongs to each."""
    columns = [(name, source) for name, _, source in COLUMNS if name not in NOT_STORED]
    orders, events, unpublished, inbox = [], [], [], []
    for each in stored:
        commit, order_id = each.commit, UUID(each.order.id)
        row = {name: _value(commit, source) for name, source in columns}
        row |= {
            "id": order_id,
            "skus": row["skus"].split(chr(31)),
            "check_at": each.check_at,
            "dedicated_group": dedicated_partition(each.order.id) if each.is_dedicated else None,
            "set_aside": "unreadable" if each.is_set_aside else None,
        }
        orders.append(row)
        for event in commit.events:
            events.append((order_id, event.at, 1, 1, event.type, event.actor_type, event.actor_id, event.body))
            if not each.is_published:
                unpublished.append((order_id, event.at, 1, row["slice"]))
        inbox.append((order_id, event.at, True, commit.message_id, commit.fingerprint, commit.reply))
    names = list(orders[0])
    await sql.copy_records_to_table("orders", columns=names, records=[tuple(row[n] for n in names) for row in orders])
    for table, records, columns_of in (
        ("order_events", events, "order_id at seq version type actor_type actor_id body"),
        ("unpublished_events", unpublished, "order_id at seq slice"),
        ("inbox", inbox, "order_id at is_creation message_id fingerprint reply"),
    ):
        await sql.copy_records_to_table(table, columns=columns_of.split(), records=records)


def pieces(every: Sequence[T]) -> Iterator[Sequence[T]]:
    """Parts that can be read and written at once."""
    for first in range(0, len(every), READ_AT_ONCE_ORDERS):
        yield every[first : first + READ_AT_ONCE_ORDERS]


def _value(commit: Commit, source: Any) -> Any:
    if not isinstance(source, str):
        return source(commit)
    value: Any = commit
    for name in source.split("."):
        value = getattr(value, name)
    return value


@pytest.fixture(params=LAST_FILES)
async def first(
    request: pytest.FixtureRequest, database_url: str, sql: asyncpg.Connection[asyncpg.Record]
) -> FirstRelease:
    """A database that a release before partitions has used."""
    await go_back_to(sql, request.param)
    now = datetime.now(UTC).replace(microsecond=0)
    made = FirstRelease(database_url, {each.order.id: each for each in stored_orders(now)})
    await fill(sql, made.orders.values())
    dedicated = [dedicated_partition(order_id) for order_id, each in made.orders.items() if each.is_dedicated]
    for group in (*GROUPS, *dedicated):
        made.epochs[group] = await sql.fetchval(TAKE, group, "order-shard-0")
    return made


@pytest.fixture
async def store(first: FirstRelease) -> AsyncIterator[OrderStore]:
    """A store of this release, on the database that was migrated."""
    await migrate(first.url)
    opened = await OrderStore.open(first.url, application_name="test-store")
    yield opened
    await opened.close()


async def test_every_order_of_the_first_release_is_found_by_who_takes_all_partitions(
    first: FirstRelease, store: OrderStore
) -> None:
    orders = first.orders
    states = {(each.order.status, each.is_running, each.is_dedicated, each.is_published) for each in orders.values()}
    assert {status for status, *_ in states} == set(Status)
    lease = await owner_of_all(store, "order-shard-0")
    every = await store.owned(lease.process)
    dedicated = {dedicated_partition(order_id) for order_id, each in orders.items() if each.is_dedicated}
    assert dedicated
    assert every == dedicated | set(map(str, range(PARTITIONS)))

    for ids in pieces(list(orders)):
        loaded = await store.load(ids)
        for order_id in ids:
            each = orders[order_id]
            assert loaded[order_id].order == each.order
            assert loaded[order_id].dedicated_group == (first.partition_of(order_id) if each.is_dedicated else None)
            assert loaded[order_id].keys == {"made": "f"}
            assert loaded[order_id].unpublished == (() if each.is_published else each.commit.events)
    some = next(iter(orders))
    assert await store.reply(some, "made") == some.encode()

    # Each order is found in its partition and in no other.
    now = await store.now()
    due: dict[str, str] = {}
    running: dict[str, str] = {}
    for partition in every:
        own = frozenset((partition,))
        due |= dict.fromkeys([order_id for order_id, _ in await store.due(own, 0, ORDERS)], partition)
        running |= dict.fromkeys([order_id for order_id, _ in await store.running(own, None, ORDERS)], partition)
    assert due == {
        order_id: first.partition_of(order_id)
        for order_id, each in orders.items()
        if each.commit.deadline is not None and each.commit.deadline <= now and not each.is_set_aside
    }
    assert running == {order_id: first.partition_of(order_id) for order_id, each in orders.items() if each.is_running}
    assert {order_id for order_id, _ in await store.due(every, 0, ORDERS)} == due.keys()

    found: set[str] = set()
    while ids := await store.unpublished_orders(every, 5, READ_AT_ONCE_ORDERS):
        assert not found & set(ids)
        found |= set(ids)
        await store.mark_published([(order_id, 1) for order_id in ids])
    assert found == {order_id for order_id, each in orders.items() if not each.is_published}

    # They go on: each is changed under the lease, and what is closed goes back to the partition of its slice.
    later = [a_commit(next_of(each.order), deadline=None) for each in orders.values() if each.order.status in CLOSED]
    later += [a_commit(next_of(each.order)) for each in orders.values() if each.order.status not in CLOSED]
    for commits in pieces(later):
        result = await store.flush(*lease, commits)
        assert result.committed == {commit.order.id for commit in commits}
    closed = await store.closed(dedicated)
    assert set(closed) == {name for name in dedicated if orders[name.removeprefix(DEDICATED)].order.is_closed}
    assert closed
    for name in closed:
        assert await store.merge(*lease, name.removeprefix(DEDICATED))
    assert await store.owned(lease.process) == every - set(closed)


async def test_a_shard_of_the_first_release_that_still_runs_writes_nothing_and_can_take_nothing(
    first: FirstRelease, store: OrderStore, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    for group, epoch in first.epochs.items():
        assert await sql.fetch(FLUSH, group, epoch) == []
    before = await sql.fetch("select * from owners order by grp")
    own = next(group for group in first.epochs if group.startswith(DEDICATED))
    for statement, *arguments in (
        (TAKE, GROUPS[0], "order-shard-0"),
        (TAKE, "slices-0-of-1", "order-shard-0"),
        (RENEW, GROUPS[0], first.epochs[GROUPS[0]]),
        (FORGET, own),
    ):
        with pytest.raises(asyncpg.RaiseError, match="belongs to a later release"):
            await sql.fetch(statement, *arguments)
    assert await sql.fetch("select * from owners order by grp") == before


@pytest.mark.parametrize("first", LAST_FILES[1:], indirect=True)
async def test_what_the_first_release_was_writing_is_written_before_its_database_is_taken_over(
    first: FirstRelease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A flush, and an order that gets a group of its own, are under way while the migrations run."""
    plain = [order_id for order_id, each in first.orders.items() if not each.is_dedicated]
    changed, moved = plain[0], plain[1]
    group = dedicated_partition(moved)
    transaction = sql.transaction()
    await transaction.start()
    assert await sql.fetch(FLUSH, GROUPS[0], first.epochs[GROUPS[0]])
    await sql.execute("update orders set total = 4711 where id = $1", changed)
    epoch = await sql.fetchval(TAKE, group, group)
    await sql.execute(DEDICATE, moved, group)
    migrating = asyncio.create_task(migrate(first.url))
    await until_waiting(sql)
    await transaction.commit()
    await migrating
    assert await sql.fetchval("select total from orders where id = $1", changed) == 4711
    assert await sql.fetch(FLUSH, group, epoch) == []
    assert await sql.fetchval("select count(*) from partitions where partition = $1", group) == 1
