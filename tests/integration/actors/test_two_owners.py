"""Real shards on a real database: an order that is active in two of them, a shard whose orders were taken without its knowing it,
and an order that can't be read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
from structlog.testing import capture_logs

from actors.order.messages import NotOwner
from actors.order.replies import Reply
from domain.commands import AddItem, Pay, RetryNow
from domain.errors import Unavailable
from domain.slices import PARTITIONS
from tests.integration.actors.hosting import Hosted, an_id, creation, owner_of, until

ALL = frozenset(map(str, range(PARTITIONS)))
AWAY_S = 60.0
SEEN = "update processes set seen_at = clock_timestamp() - make_interval(secs => $2) where process = $1"


class WithoutAWay(Hosted):
    """A shard that waits for connections to the others for a while, and gets none."""

    policy = replace(
        Hosted.policy, partitions=replace(Hosted.policy.partitions, connect_within_s=AWAY_S / 2, seen_stale_s=1000.0)
    )


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[Hosted]:
    """The shard that serves, and comes first for every partition."""
    async with Hosted.running(database_url, "order-shard-0") as hosted:
        await hosted.takes(an_id())
        yield hosted


@pytest.fixture
async def other(database_url: str, home: Hosted) -> AsyncIterator[Hosted]:
    """The shard that stands by."""
    async with Hosted.running(database_url, "order-shard-1", home, state="standby") as hosted:
        await hosted.shard.partitions.look()
        yield hosted


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def take_over(other: Hosted, home: Hosted, order_id: str) -> None:
    """Let the one that stands by take all that is the other's, which goes on living and hears nothing of it."""
    other.lose(home)
    await other.takes(order_id)


async def give_back(other: Hosted, home: Hosted) -> None:
    """Let it see the other one again, to which everything goes back."""
    other.reach(home)

    async def has_all() -> bool:
        return home.shard.partitions.mine == ALL

    await until(has_all)


async def test_an_order_that_is_active_in_two_shards_is_changed_by_its_owner_only(
    home: Hosted, other: Hosted, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    order_id = an_id()
    assert isinstance(await home.told(order_id, creation(order_id), key="made"), Reply)
    # The home still has the order in memory: neither a change, nor a refusal, nor a repeat's answer is its to give.
    for body, key in ((AddItem("sku-3", 1), "late"), (Pay("card"), "refused"), (creation(order_id), "made")):
        assert isinstance(await home.told(order_id, RetryNow()), Reply)
        left_home = list(home.outside.events)
        await take_over(other, home, order_id)
        added = await other.told(order_id, AddItem("sku-2", 1))
        assert isinstance(added, Reply)
        assert home.owns(order_id)
        assert isinstance(await home.told(order_id, body, key=key), NotOwner), body
        assert not home.owns(order_id)
        assert home.outside.events == left_home
        assert await sql.fetchval("select version from orders where id = $1", order_id) == added.version
        await give_back(other, home)
    assert await sql.fetchval("select count(*) from inbox where message_id = 'late'") == 0


async def test_what_a_shard_decided_before_its_orders_were_taken_is_void_and_they_come_back_to_it(
    home: Hosted, other: Hosted, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    order_id = an_id()
    await home.told(order_id, creation(order_id))
    calls, events = list(home.outside.calls), list(home.outside.events)
    home.store.may_go_on = asyncio.Event()
    deciding = asyncio.create_task(home.told(order_id, AddItem("sku-2", 1), key="by the former owner"))

    async def is_stopped() -> bool:
        return home.store.is_waiting

    await until(is_stopped)
    await take_over(other, home, order_id)
    by_other = await other.told(order_id, AddItem("sku-3", 1))
    assert isinstance(by_other, Reply)
    home.store.may_go_on.set()
    assert isinstance(await deciding, NotOwner)
    assert (home.outside.calls, home.outside.events) == (calls, events)
    assert await sql.fetchval("select count(*) from inbox where message_id = 'by the former owner'") == 0
    assert await sql.fetchval("select version from orders where id = $1", order_id) == by_other.version

    await give_back(other, home)
    again = await home.told(order_id, AddItem("sku-2", 1), key="by the former owner")
    assert isinstance(again, Reply)
    assert again.version > by_other.version
    assert isinstance(await other.told(order_id, AddItem("sku-4", 1)), NotOwner)


async def test_a_shard_with_nothing_to_write_learns_from_the_tables_that_its_orders_were_taken(
    home: Hosted, other: Hosted
) -> None:
    """One had its orders taken while nothing made it write, and believed for as long that they were its own."""
    order_id = an_id()
    await home.told(order_id, creation(order_id))
    await take_over(other, home, order_id)
    assert home.owns(order_id)
    home.shard.partitions.recheck_soon()

    async def knows() -> bool:
        return not home.shard.partitions.mine

    await until(knows)
    assert home.shard.statistics()["resident_orders"] == 0
    await give_back(other, home)
    assert await owner_of(home.store, order_id) == home.process
    # Its token is not the one that it had: its first flush finds that out, and is made again under the new one.
    assert isinstance(await home.told(order_id, AddItem("sku-2", 1)), Reply)


async def test_a_shard_that_one_other_can_not_reach_keeps_its_orders(
    database_url: str, home: Hosted, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """It goes on renewing its row, so it lives: who has no way to it takes nothing from it."""
    token = home.shard.partitions.token
    async with WithoutAWay.running(database_url, "order-shard-1", state="standby") as other:
        await other.shard.partitions.look()
        other.ahead_s += AWAY_S
        await sql.execute(SEEN, home.process, 0.0)
        await other.shard.partitions.look()
        assert not other.shard.partitions.mine
        assert set((await home.store.owners()).values()) == {home.process}
        assert (await home.store.flush(home.process, token, [])).owned
        await sql.execute(SEEN, home.process, 2 * AWAY_S)
        await other.shard.partitions.look()
        assert other.shard.partitions.mine == ALL
        assert not (await home.store.flush(home.process, token, [])).owned


async def test_a_shard_whose_orders_were_taken_time_and_again_has_them_back_each_time(
    home: Hosted, other: Hosted
) -> None:
    order_id = an_id()
    await home.told(order_id, creation(order_id))
    for _ in range(4):
        await take_over(other, home, order_id)
        assert isinstance(await other.told(order_id, AddItem("sku-2", 1)), Reply)
        assert isinstance(await home.told(order_id, AddItem("sku-3", 1)), NotOwner)
        await give_back(other, home)
        assert isinstance(await home.told(order_id, AddItem("sku-3", 1)), Reply)
        assert isinstance(await other.told(order_id, AddItem("sku-2", 1)), NotOwner)


async def test_an_order_that_can_not_be_read_is_set_aside_with_an_alert_and_its_neighbours_go_on(
    home: Hosted, other: Hosted, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    broken, well = an_id(), an_id()
    for order_id in (broken, well):
        await home.told(order_id, creation(order_id))
    snapshot = await sql.fetchval("select snapshot from orders where id = $1", broken)
    await sql.execute("update orders set snapshot = 'rubbish' where id = $1", broken)
    with capture_logs() as logs:
        await take_over(other, home, broken)
        told = await asyncio.gather(other.told(broken, AddItem("sku-2", 1)), other.told(well, AddItem("sku-2", 1)))
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
