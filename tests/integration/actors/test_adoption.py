"""An order that moves into a process of its own while answers of the database are lost: it belongs to somebody all the time, and
nobody has to ask for its deadline to ring.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import asyncpg
import pytest

from actors.clock import DatabaseClock
from actors.committer import CommitPolicy
from actors.replies import Reply
from actors.shard import OrderShard, ShardPolicy
from actors.surroundings import GroupLimits, Surroundings
from actors.wire import Moved
from domain.commands import AddItem
from domain.slices import dedicated_group
from storage.errors import StorageUnavailable
from storage.snapshots import Commit, FlushResult, Loaded
from tests.integration.actors.test_two_owners import LAYOUT, Held, Hosted, an_id, creation, until

POLL_EVERY_S = 0.05
VERSION = "select version from orders where id = $1"


class Unlucky(Held):
    """A store whose next statements of a kind are done while their answers are lost, or are not done at all."""

    dedications_unanswered = 0
    loads_refused = 0
    flushes_refused = 0

    async def dedicate(self, order_id: str, shard: str) -> int:
        epoch = await super().dedicate(order_id, shard)
        if self.dedications_unanswered:
            self.dedications_unanswered -= 1
            raise StorageUnavailable("the answer was lost")
        return epoch

    async def load(self, order_ids: Sequence[str]) -> dict[str, Loaded]:
        if self.loads_refused:
            self.loads_refused -= 1
            raise StorageUnavailable("not now")
        return await super().load(order_ids)

    async def flush(self, group: str, epoch: int, commits: Sequence[Commit]) -> FlushResult:
        if self.flushes_refused and commits:
            self.flushes_refused -= 1
            raise StorageUnavailable("not now")
        return await super().flush(group, epoch, commits)


class OwnProcess(Hosted):
    """The process of one order."""

    store: Unlucky

    def __init__(self, store: Unlucky, order_id: str) -> None:
        super().__init__(store, 0, POLL_EVERY_S)
        self.group = dedicated_group(order_id)
        policy = ShardPolicy(poll_every_s=POLL_EVERY_S, sweep_every_s=60, take_back_first_s=0.05, take_retry_s=0.05)
        self.shard = OrderShard(self.group, self.group, LAYOUT, store, policy, self._around)

    ahead_s = 0.0

    def _around(self, shard: OrderShard) -> Surroundings:
        return replace(
            super()._around(shard),
            clock=DatabaseClock(self.store.now, lambda: time.monotonic() + self.ahead_s),
            limits=GroupLimits(idle_s=0.0),
            commit_policy=CommitPolicy(retry_for_s=0.0, retry_first_s=0.01),
        )


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[Hosted]:
    """The shard of the order's slice."""
    store = await Held.open(database_url, application_name="home")
    assert isinstance(store, Held)
    hosted = Hosted(store, 0, 60)
    await hosted.shard.start()
    yield hosted
    await hosted.shard.stop()
    await store.close()


@pytest.fixture
async def order_id(home: Hosted) -> str:
    """An order that its slice's shard has."""
    order_id = an_id()
    assert isinstance(await home.told(order_id, creation(order_id)), Reply)
    return order_id


@pytest.fixture
async def own(database_url: str, order_id: str) -> AsyncIterator[OwnProcess]:
    """The process that is to have it."""
    store = await Unlucky.open(database_url, application_name="own")
    assert isinstance(store, Unlucky)
    hosted = OwnProcess(store, order_id)
    await hosted.shard.start()
    yield hosted
    await hosted.shard.stop()
    await store.close()


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def has_it(own: OwnProcess) -> None:
    async def is_resident() -> bool:
        return own.shard.statistics()["resident_orders"] == 1

    await until(is_resident)


async def test_an_order_is_adopted_although_the_database_s_answers_are_lost(
    home: Hosted, own: OwnProcess, order_id: str
) -> None:
    own.store.dedications_unanswered = 3
    await home.shard.hand_over(order_id, own.shard.adopt)
    await has_it(own)
    assert isinstance(await own.told(order_id, AddItem("sku-2", 1), group=own.group), Reply)
    assert isinstance(await home.told(order_id, AddItem("sku-3", 1)), Moved)


async def test_adopting_it_twice_at_once_or_again_leaves_it_with_its_owner(
    home: Hosted, own: OwnProcess, order_id: str
) -> None:
    async def adopt_twice() -> None:
        own.store.dedications_unanswered = 1
        await asyncio.gather(own.shard.adopt(), own.shard.adopt())

    await home.shard.hand_over(order_id, adopt_twice)
    await own.shard.adopt()
    assert isinstance(await own.told(order_id, AddItem("sku-2", 1), group=own.group), Reply)
    assert own.shard.statistics()["groups"] == 1


async def test_whoever_asked_for_it_may_be_gone(home: Hosted, own: OwnProcess, order_id: str) -> None:
    async def gives_up() -> None:
        own.store.dedications_unanswered = 2
        await asyncio.wait_for(own.shard.adopt(), 0.0)

    with pytest.raises(TimeoutError):
        await home.shard.hand_over(order_id, gives_up)
    asking = asyncio.create_task(own.shard.adopt())
    await asyncio.sleep(0)
    asking.cancel()
    await has_it(own)
    assert isinstance(await home.told(order_id, AddItem("sku-3", 1)), Moved)


async def test_it_is_woken_again_when_it_could_not_be_read(home: Hosted, own: OwnProcess, order_id: str) -> None:
    own.store.loads_refused = 3
    await home.shard.hand_over(order_id, own.shard.adopt)
    await has_it(own)
    assert own.store.loads_refused == 0


async def test_a_deadline_that_came_while_nothing_could_be_written_rings_again(
    home: Hosted, own: OwnProcess, order_id: str, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await home.shard.hand_over(order_id, own.shard.adopt)
    await has_it(own)
    before: int = await sql.fetchval(VERSION, order_id)
    own.store.flushes_refused = 3
    own.ahead_s = 3600.0

    async def has_rung() -> bool:
        version: int = await sql.fetchval(VERSION, order_id)
        return version > before

    await until(has_rung)
    assert own.store.flushes_refused == 0
