"""A shard looks after each of its groups, whatever becomes of the others, and what it has counted it goes on counting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

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
from domain.commands import Actor, ActorType, Message, Wake
from domain.errors import Unavailable
from sagas.decision import Rules
from storage.errors import StorageUnavailable
from supervised import failures_total
from tests.unit.actors.test_group import Memory, a_creation

HOME, OTHER = "slices-0-of-2", "slices-1-of-2"
POLICY = ShardPolicy(poll_every_s=0.001, sweep_every_s=0.001, take_back_first_s=3600.0)


class Tables(Memory):
    """A store of two groups. What reads the first one's fails in a way that nobody foresaw, while ``is_broken``."""

    def __init__(self) -> None:
        super().__init__()
        self.is_broken = False
        self.refuses_to_give: Exception | None = None
        self.polled = 0
        self.swept = 0

    async def take(self, group: str, shard: str) -> int:
        await asyncio.sleep(0)
        if self.refuses_to_give is not None:
            raise self.refuses_to_give
        return 1

    async def dedicate(self, order_id: str, shard: str) -> int:
        raise AssertionError

    async def running(
        self, group: tuple[int, int], after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[tuple[str, datetime]]:
        return ()

    async def due(self, group: tuple[int, int], ahead_s: float, limit: int) -> Sequence[tuple[str, datetime]]:
        if self.is_broken and group[0] == 0:
            raise ZeroDivisionError
        self.polled += group[0]
        return ()

    async def unpublished_orders(self, group: tuple[int, int], older_than_s: float, limit: int) -> Sequence[str]:
        if self.is_broken and group[0] == 0:
            raise ZeroDivisionError
        self.swept += group[0]
        return ()

    async def unpublished(self, order_ids: Sequence[str]) -> dict[str, Any]:
        return {}


async def a_shard(tables: Tables) -> OrderShard:
    def around(_: OrderShard) -> Surroundings:
        return Surroundings(
            shard="order-shard-0",
            store=tables,
            publisher=tables,
            calls=tables.calls,
            clock=DatabaseClock(tables.now, time.monotonic),
            catalogue=Catalogue(product_max_age_s=1, customer_max_age_s=1, max_entries=10, monotonic=time.monotonic),
            numbers=OrderNumbers(tables.take_numbers),
            rules=Rules(),
            limits=GroupLimits(),
            commit_policy=CommitPolicy(),
            failpoint=Failpoint(None),
            monotonic=time.monotonic,
        )

    shard = OrderShard("order-shard-0", HOME, Layout(2), tables, POLICY, around)
    await shard.start()
    return shard


async def told(shard: OrderShard, group: str, letter: bytes, *, take: bool) -> Told:
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    shard.deliver(answer.set_result, group, take, letter)
    async with asyncio.timeout(5):
        return decode_told(await answer)


async def create(shard: OrderShard, group: str, number: int) -> None:
    order_id = next(
        f"0198f7a2-8e11-7aa0-9a0e-{number:04x}{n:08x}"
        for n in range(10_000)
        if Layout(2).group_of(f"0198f7a2-8e11-7aa0-9a0e-{number:04x}{n:08x}") == group
    )
    message = Message(id="k", body=a_creation(order_id), actor=Actor(ActorType.CLIENT, "x"), keyed=True)
    assert isinstance(await told(shard, group, encode_letter(order_id, message), take=True), Reply)


async def test_a_group_that_cannot_be_looked_after_keeps_no_other_from_it_and_is_counted() -> None:
    """The loop that polls deadlines ended for all groups at the first error that it did not expect, without a line in the log."""
    tables = Tables()
    shard = await a_shard(tables)
    await create(shard, OTHER, 1)
    before = failures_total()
    tables.is_broken = True
    polled, swept = tables.polled, tables.swept
    async with asyncio.timeout(10):
        while tables.polled < polled + 3 or tables.swept < swept + 3:
            await asyncio.sleep(0.001)
    assert failures_total() - before >= 4
    await shard.stop()


async def test_what_was_committed_stays_counted_when_a_group_is_lost() -> None:
    """The counters were sums over the groups at hand: they fell when one was lost, which reads as a restart."""
    tables = Tables()
    shard = await a_shard(tables)
    for number in range(2):
        await create(shard, HOME, number)
        await create(shard, OTHER, number)
    before = shard.statistics()
    assert (before["groups"], before["commits_total"]) == (2, 4)
    tables.is_ours = False
    async with asyncio.timeout(10):
        while shard.statistics()["groups"]:
            await asyncio.sleep(0.001)
    after = shard.statistics()
    assert all(after[name] >= before[name] for name in before if name.endswith("_total"))
    await shard.stop()


WAKE = encode_letter(
    "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00", Message(id="w", body=Wake(), actor=Actor(ActorType.TIMER, "t"))
)


async def test_messages_for_a_group_that_is_elsewhere_are_told_so_unless_it_is_to_be_taken() -> None:
    tables = Tables()
    shard = await a_shard(tables)
    assert await told(shard, OTHER, WAKE, take=False) == Moved("")
    taken = asyncio.gather(*(told(shard, OTHER, WAKE, take=take) for take in (True, False, True)))
    assert not any(isinstance(each, Moved) for each in await taken)
    assert shard.statistics()["groups"] == 2
    await shard.stop()


async def test_messages_that_wait_for_a_group_that_cannot_be_taken_are_told_so() -> None:
    tables = Tables()
    shard = await a_shard(tables)
    for error in (StorageUnavailable("away"), ZeroDivisionError()):
        before = failures_total()
        tables.refuses_to_give = error
        for each in await asyncio.gather(*(told(shard, OTHER, WAKE, take=True) for _ in range(3))):
            assert isinstance(each, Unavailable)
            assert each.code == "database_unavailable"
        assert failures_total() - before == isinstance(error, ZeroDivisionError)
    await shard.stop()


async def test_a_message_that_cannot_be_read_costs_its_own_sender_an_answer() -> None:
    shard = await a_shard(Tables())
    unread = await told(shard, HOME, b"\x90", take=False)
    assert isinstance(unread, Unavailable)
    assert unread.code == "order_failed"
    await shard.stop()
