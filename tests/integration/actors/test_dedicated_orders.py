"""An order that moves into a process of its own while answers of the database are lost: one process owns it all the time, and its
deadline rings without being asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TypeVar

import asyncpg
import pytest

from actors.order.commit_loop import CommitPolicy
from actors.order.messages import NotOwner
from actors.order.replies import Reply
from actors.shard.context import ResidentLimits
from domain.commands import AddItem
from domain.slices import dedicated_partition
from storage.errors import StorageUnavailable
from storage.writes.order_store import Commit, FlushResult, Loaded
from storage.writes.owners import ListedProcess
from tests.integration.actors.hosting import Held, Hosted, an_id, creation, until

T = TypeVar("T")

AT_ONCE_S = 0.05
COMES_NOW = "update orders set deadline = clock_timestamp(), check_at = clock_timestamp() where id = $1"
VERSION = "select version from orders where id = $1"


class Unlucky(Held):
    """A store whose next statements of a kind are done while their answers are lost, or are not done at all."""

    splits_unanswered = 0
    gives_unanswered = 0
    renewals_unanswered = 0
    looks_refused = 0
    loads_refused = 0
    flushes_refused = 0

    def _lose(self, kind: str) -> None:
        left: int = getattr(self, kind)
        if left:
            setattr(self, kind, left - 1)
            raise StorageUnavailable(f"one of {left} {kind}")

    async def split(self, process: str, token: str, order_id: str) -> bool:
        is_done = await super().split(process, token, order_id)
        self._lose("splits_unanswered")
        return is_done

    async def give(self, process: str, token: str, partition: str, to: str) -> bool:
        is_done = await super().give(process, token, partition, to)
        self._lose("gives_unanswered")
        return is_done

    async def renew(self, process: str) -> str:
        token = await super().renew(process)
        self._lose("renewals_unanswered")
        return token

    async def listed(self) -> list[ListedProcess]:
        self._lose("looks_refused")
        return await super().listed()

    async def load(self, order_ids: Sequence[str]) -> dict[str, Loaded]:
        self._lose("loads_refused")
        return await super().load(order_ids)

    async def flush(self, process: str, token: str, commits: Sequence[Commit]) -> FlushResult:
        if commits:
            self._lose("flushes_refused")
        return await super().flush(process, token, commits)


class Busy(Hosted):
    """A shard that looks after its orders all the time, and keeps no idle one in memory."""

    store: Unlucky
    policy = replace(
        Hosted.policy,
        poll_every_s=AT_ONCE_S,
        read_again_s=AT_ONCE_S,
        orders=ResidentLimits(idle_s=0.0),
        commits=CommitPolicy(retry_for_s=0.0, retry_first_s=0.01),
        partitions=replace(Hosted.policy.partitions, look_every_s=AT_ONCE_S),
    )


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[Busy]:
    """The shard of the order's slice."""
    async with Busy.running(database_url, "order-shard-0", store_of=Unlucky) as hosted:
        await hosted.takes(an_id())
        yield hosted


@pytest.fixture
async def order_id(home: Busy) -> str:
    """An order that its slice's shard has."""
    order_id = an_id()
    assert isinstance(await home.told(order_id, creation(order_id)), Reply)
    return order_id


@pytest.fixture
async def own(database_url: str, home: Busy, order_id: str) -> AsyncIterator[Busy]:
    """The process that is to have it."""
    async with Busy.running(database_url, dedicated_partition(order_id), home, store_of=Unlucky) as hosted:
        yield hosted


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def has_it(own: Busy, home: Busy, order_id: str) -> None:
    """Return once the order's process has it; it answers, and the shard that had it does not any more."""
    await own.takes(order_id)
    assert isinstance(await own.told(order_id, AddItem("sku-2", 1)), Reply)

    async def has_let_go() -> bool:
        return isinstance(await home.told(order_id, AddItem("sku-3", 1)), NotOwner)

    await until(has_let_go)
    assert own.shard.partitions.mine == {own.name}
    assert own.name not in home.shard.partitions.mine


async def test_it_moves_although_the_database_s_answers_are_lost(home: Busy, own: Busy, order_id: str) -> None:
    home.store.splits_unanswered = 1
    home.store.gives_unanswered = 1
    home.store.renewals_unanswered = 3
    own.store.looks_refused = 3
    await home.shard.partitions.split(order_id)
    await has_it(own, home, order_id)
    assert home.store.splits_unanswered == home.store.gives_unanswered == home.store.renewals_unanswered == 0
    assert own.store.looks_refused == 0
    new = an_id()
    assert isinstance(await home.told(new, creation(new)), Reply)


async def test_asking_for_it_twice_at_once_or_again_leaves_it_with_its_process(
    home: Busy, own: Busy, order_id: str
) -> None:
    home.store.splits_unanswered = 1
    await asyncio.gather(home.shard.partitions.split(order_id), home.shard.partitions.split(order_id))
    await has_it(own, home, order_id)
    await home.shard.partitions.split(order_id)
    await has_it(own, home, order_id)


async def test_who_asked_for_it_may_be_gone(home: Busy, own: Busy, order_id: str) -> None:
    asking = asyncio.create_task(home.shard.partitions.split(order_id))

    async def is_split() -> bool:
        return own.name in await home.store.owners()

    async def is_begun() -> bool:
        return asking.done() or await is_split()

    await until(is_begun)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    await has_it(own, home, order_id)


async def test_messages_that_come_while_it_moves_are_answered_by_who_has_it(
    home: Busy, own: Busy, order_id: str
) -> None:
    async def told() -> list[Reply]:
        """Ask the one and then the other, as a router does, until one of them has it."""
        replies = []
        for _ in range(20):
            answer = None
            while not isinstance(answer, Reply):
                answer = await home.told(order_id, AddItem("sku-2", 1))
                if isinstance(answer, NotOwner):
                    answer = await own.told(order_id, AddItem("sku-2", 1))
            replies.append(answer)
        return replies

    asking = asyncio.create_task(told())
    await home.shard.partitions.split(order_id)
    versions = [reply.version for reply in await asking]
    assert versions == sorted(set(versions))
    await has_it(own, home, order_id)


async def test_its_calls_are_made_again_by_its_process(home: Busy, own: Busy, order_id: str) -> None:
    await home.shard.partitions.split(order_id)
    asked = {call.key for call in home.outside.calls if call.order_id == order_id}
    assert asked

    async def are_made() -> bool:
        return asked <= {call.key for call in own.outside.calls}

    await until(are_made)
    assert all(call.may_have_happened for call in own.outside.calls)


async def test_a_deadline_that_came_while_nothing_could_be_read_or_written_rings_again(
    home: Busy, own: Busy, order_id: str, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    own.store.loads_refused = 3
    own.store.flushes_refused = 3
    await home.shard.partitions.split(order_id)
    await own.takes(order_id)
    before: int = await sql.fetchval(VERSION, order_id)
    own.ahead_s = 3600.0
    await sql.execute(COMES_NOW, order_id)

    async def has_rung() -> bool:
        version: int = await sql.fetchval(VERSION, order_id)
        return version > before

    await until(has_rung)
    assert own.store.loads_refused == own.store.flushes_refused == 0


async def test_the_loss_of_its_process_gives_it_to_the_shard_of_its_slice_and_its_neighbours_never_left(
    home: Busy, own: Busy, order_id: str, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    await home.shard.partitions.split(order_id)
    await has_it(own, home, order_id)
    token = own.shard.partitions.token
    home.lose(own)
    await home.takes(order_id)

    async def has_it_back() -> bool:
        return isinstance(await home.told(order_id, AddItem("sku-3", 1)), Reply)

    await until(has_it_back)
    assert own.name in home.shard.partitions.mine
    assert not (await own.store.flush(own.process, token, [])).owned
    assert isinstance(await own.told(order_id, AddItem("sku-4", 1)), NotOwner)
    assert await sql.fetchval("select dedicated_group from orders where id = $1", order_id) == own.name
