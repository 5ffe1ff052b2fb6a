"""Real shards on a real database: an order that is active in two of them, a shard that was replaced without knowing it, and an
order that can't be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from actors.catalogue import Catalogue
from actors.clock import DatabaseClock
from actors.committer import CommitPolicy
from actors.failpoints import Failpoint
from actors.groups import Layout
from actors.numbers import OrderNumbers
from actors.replies import Reply
from actors.shard import OrderShard, ShardPolicy
from actors.surroundings import GroupLimits, Surroundings
from actors.wire import Moved, Told, decode_told, encode_letter
from domain.calls import Call, Outcome
from domain.commands import Actor, ActorType, AddItem, Body, CreateOrder, Message, NewLine, Pay, RetryNow
from domain.errors import Unavailable
from domain.order import Order
from messaging.publisher import Outbound
from sagas.decision import Rules
from storage.snapshots import Commit, FlushResult, OrderStore

LAYOUT = Layout(2)
GROUP = "slices-0-of-2"
WITHIN_S = 20.0
LASTING_S = 0.5
TAKE_BACK_FIRST_S = 0.05


class Held(OrderStore):
    """A store on the way to which a process can be stopped, as by SIGSTOP just before it sends a commit."""

    may_go_on: asyncio.Event | None = None
    is_waiting = False

    async def flush(self, group: str, epoch: int, commits: Sequence[Commit]) -> FlushResult:
        if self.may_go_on is not None and commits:
            self.is_waiting = True
            await self.may_go_on.wait()
        return await super().flush(group, epoch, commits)


class Outside:
    """What left a shard: events for the publisher and calls for the partners."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.calls: list[Call] = []

    def offer(self, order_id: str, events: Sequence[Outbound]) -> None:
        self.events += [(order_id, event.sequence) for event in events]

    def forget(self, order_ids: Iterable[str]) -> None: ...

    def leave(self, order_ids: Iterable[str]) -> None: ...

    def send(self, calls: Iterable[Call]) -> None:
        self.calls += calls

    def send_again(self, calls: Iterable[Call]) -> None:
        self.calls += calls

    def committed(self, order: Order) -> None: ...

    def answered(self, order: Order, key: str, outcome: Outcome) -> None: ...


class Hosted:
    """A shard with its store and what has left it."""

    def __init__(self, store: Held, number: int, poll_every_s: float) -> None:
        self.store = store
        self.outside = Outside()
        policy = ShardPolicy(
            poll_every_s=poll_every_s,
            sweep_every_s=60,
            take_back_first_s=TAKE_BACK_FIRST_S,
            take_back_lasting_s=LASTING_S,
        )
        name = f"order-shard-{number}"
        self.shard = OrderShard(name, f"slices-{number}-of-2", LAYOUT, store, policy, self._around)

    def _around(self, shard: OrderShard) -> Surroundings:
        return Surroundings(
            shard=shard.name,
            store=self.store,
            publisher=self.outside,
            calls=self.outside,
            clock=DatabaseClock(self.store.now, time.monotonic),
            catalogue=Catalogue(product_max_age_s=30, customer_max_age_s=30, max_entries=10, monotonic=time.monotonic),
            numbers=OrderNumbers(self.store.take_numbers),
            rules=Rules(),
            limits=GroupLimits(set_aside_retry_s=0.1),
            commit_policy=CommitPolicy(),
            failpoint=Failpoint(None),
            monotonic=time.monotonic,
        )

    async def told(self, order_id: str, body: Body, *, key: str = "", take: bool = False, group: str = GROUP) -> Told:
        """What the sender of a command is told by this shard, which was asked past every router."""
        message = Message(
            id=key or str(uuid4()), body=body, actor=Actor(ActorType.CLIENT, "c"), keyed=True, fingerprint="f"
        )
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.shard.deliver(answer.set_result, group, take, encode_letter(order_id, message))
        return decode_told(await answer)


def an_id() -> str:
    """The id of an order of the group."""
    while LAYOUT.group_of(order_id := str(uuid4())) != GROUP:
        pass
    return order_id


def creation(order_id: str) -> CreateOrder:
    return CreateOrder(customer_id="c-1", currency="EUR", lines=(NewLine("sku-1", 2),), order_id=order_id)


async def until(is_so: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await is_so():
            await asyncio.sleep(0.01)


async def is_at_home(sql: asyncpg.Connection[asyncpg.Record]) -> bool:
    return bool(await sql.fetchval("select shard = $2 from owners where grp = $1", GROUP, LAYOUT.home_of(GROUP)))


@contextlib.asynccontextmanager
async def two_shards(database_url: str, poll_every_s: float) -> AsyncIterator[tuple[Hosted, Hosted]]:
    """The shard where the group is at home, and the one that stands in for it."""
    both = []
    for number in (0, 1):
        store = await Held.open(database_url, application_name=f"shard-{number}")
        assert isinstance(store, Held)
        both.append(Hosted(store, number, poll_every_s))
        await both[number].shard.start()
    yield both[0], both[1]
    for hosted in both:
        await hosted.shard.stop()
        await hosted.store.close()


@pytest.fixture
async def home_and_other(database_url: str) -> AsyncIterator[tuple[Hosted, Hosted]]:
    """Two shards that look after nothing by themselves."""
    async with two_shards(database_url, poll_every_s=60) as both:
        yield both


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_an_order_that_is_active_in_two_shards_is_changed_by_its_owner_only(
    home_and_other: tuple[Hosted, Hosted], sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    home, other = home_and_other
    order_id = an_id()
    assert isinstance(await home.told(order_id, creation(order_id), key="made"), Reply)
    added = await other.told(order_id, AddItem("sku-2", 1), take=True)
    assert isinstance(added, Reply)
    left_home = list(home.outside.events)
    # The home still has the order in memory: neither a change, nor a refusal, nor a repeat's answer is its to give.
    for body, key in ((AddItem("sku-3", 1), "late"), (Pay("card"), "refused"), (creation(order_id), "made")):
        assert isinstance(await home.told(order_id, body, key=key), Moved), body
        await other.told(an_id(), RetryNow(), take=True)  # it has the group back by now: take it away again
    assert home.outside.events == left_home
    assert await sql.fetchval("select version from orders where id = $1", order_id) == added.version
    assert await sql.fetchval("select count(*) from inbox where message_id = 'late'") == 0


async def test_what_a_shard_decided_before_it_was_replaced_is_void_and_it_takes_its_orders_back(
    home_and_other: tuple[Hosted, Hosted], sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    zombie, other = home_and_other
    order_id = an_id()
    await zombie.told(order_id, creation(order_id))
    calls, events = list(zombie.outside.calls), list(zombie.outside.events)
    zombie.store.may_go_on = asyncio.Event()
    deciding = asyncio.create_task(zombie.told(order_id, AddItem("sku-2", 1), key="by the zombie"))

    async def is_stopped() -> bool:
        return zombie.store.is_waiting

    await until(is_stopped)
    by_other = await other.told(order_id, AddItem("sku-3", 1), take=True)
    assert isinstance(by_other, Reply)
    zombie.store.may_go_on.set()
    assert isinstance(await deciding, Moved)
    assert (zombie.outside.calls, zombie.outside.events) == (calls, events)
    assert await sql.fetchval("select count(*) from inbox where message_id = 'by the zombie'") == 0
    assert await sql.fetchval("select version from orders where id = $1", order_id) == by_other.version

    await until(lambda: is_at_home(sql))
    again = await zombie.told(order_id, AddItem("sku-2", 1), key="by the zombie")
    assert isinstance(again, Reply)
    assert again.version > by_other.version
    assert isinstance(await other.told(order_id, AddItem("sku-4", 1)), Moved)


async def test_a_shard_with_nothing_to_write_sees_that_it_was_replaced_and_takes_its_orders_back(
    database_url: str, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """One was killed, and came back while another was about to stand in for it. The other had the group from then on, for as
    long as nothing made the first one write.
    """
    async with two_shards(database_url, poll_every_s=0.05) as (_, other):
        await other.told(an_id(), RetryNow(), take=True)
        await until(lambda: is_at_home(sql))


async def test_a_shard_whose_orders_have_been_at_home_for_a_while_takes_them_back_as_fast_as_the_first_time(
    home_and_other: tuple[Hosted, Hosted], sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Else the tenth loss in a process's life would cost as much as the tenth in a row."""
    home, other = home_and_other
    order_id = an_id()
    await home.told(order_id, creation(order_id))

    async def is_home() -> bool:
        return home.shard.statistics()["groups"] == 1

    async def has_lasted() -> bool:
        return asyncio.get_running_loop().time() > since_s + LASTING_S

    async def is_taken() -> bool:
        return isinstance(await other.told(order_id, AddItem("sku-2", 1), take=True), Reply)

    for _ in range(4):
        await until(is_taken)  # it may have to hear first that it has not got them any more
        assert isinstance(await home.told(order_id, AddItem("sku-3", 1)), Moved)
        await until(is_home)
        since_s = asyncio.get_running_loop().time()
        await until(has_lasted)
    assert home.shard._take_back_s == 2 * TAKE_BACK_FIRST_S  # what it will wait if it loses them again at once


async def test_an_order_that_can_not_be_read_is_set_aside_with_an_alert_and_its_neighbours_go_on(
    home_and_other: tuple[Hosted, Hosted], sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    home, other = home_and_other
    broken, well = an_id(), an_id()
    for order_id in (broken, well):
        await home.told(order_id, creation(order_id))
    snapshot = await sql.fetchval("select snapshot from orders where id = $1", broken)
    await sql.execute("update orders set snapshot = 'rubbish' where id = $1", broken)
    with capture_logs() as logs:
        told = await asyncio.gather(
            other.told(broken, AddItem("sku-2", 1), take=True), other.told(well, AddItem("sku-2", 1), take=True)
        )
    assert isinstance(told[0], Unavailable)
    assert told[0].code == "order_set_aside"
    assert isinstance(told[1], Reply)
    alerts = [entry for entry in logs if entry["event"] == "order_set_aside"]
    assert [(entry["order_id"], entry["log_level"]) for entry in alerts] == [(broken, "error")]

    async def is_marked() -> bool:
        row = await sql.fetchrow("select set_aside, needs_attention from orders where id = $1", broken)
        return row is not None and row["set_aside"] is not None and row["needs_attention"]

    await until(is_marked)
    await sql.execute("update orders set snapshot = $2 where id = $1", broken, snapshot)
    assert isinstance(await other.told(broken, RetryNow()), Reply)  # staff have mended it
    assert isinstance(await other.told(broken, AddItem("sku-2", 1)), Reply)
    assert await sql.fetchval("select set_aside from orders where id = $1", broken) is None
