"""A shard wakes and publishes for the partitions it owns, whatever fails now and then, and what it has counted it goes on counting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from actors.order.messages import DeliveryOutcome, NotOwner, decode_outcome, encode_message
from actors.order.replies import Reply
from actors.rpc.clients import ProcessClient
from actors.shard.make_shard import make_shard
from actors.shard.partitions import PartitionPolicy
from actors.shard.shard import Shard, ShardPolicy
from domain.commands import Actor, ActorType, Message, Wake
from domain.errors import Unavailable
from domain.slices import PARTITIONS
from storage.writes.owners import ListedProcess
from supervised import Restarts, failures_total
from tests.unit.actors.shard.test_residents import Memory, a_creation

POLICY = ShardPolicy(
    poll_every_s=0.001, sweep_every_s=0.001, read_again_s=0, partitions=PartitionPolicy(look_every_s=0.001)
)
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


class Tables(Memory):
    """A store in which the shard is alone. What it reads for orders fails in a way that nobody foresaw, while ``is_broken``."""

    def __init__(self) -> None:
        super().__init__()
        self.is_broken = False
        self.polled: list[frozenset[str]] = []
        self.swept = 0
        self.resumed: list[frozenset[str]] = []
        self.owner_of: dict[str, str | None] = {str(k): None for k in range(PARTITIONS)}

    async def listed(self) -> list[ListedProcess]:
        return [
            ListedProcess(process="p", name="order-shard-0", state="serving", seen_s=0, started_s=0, started_at=STARTED)
        ]

    async def renew(self, process: str) -> str:
        return "t"

    async def owned(self, process: str) -> frozenset[str]:
        return frozenset(name for name, owner in self.owner_of.items() if owner == process)

    async def owners(self) -> dict[str, str | None]:
        return dict(self.owner_of)

    async def take(self, process: str, former: str | None, partitions: Collection[str]) -> frozenset[str]:
        self.owner_of.update(dict.fromkeys(partitions, process))
        return frozenset(partitions)

    async def give(self, process: str, token: str, partition: str, to: str) -> bool:
        raise AssertionError

    async def split(self, process: str, token: str, order_id: str) -> bool:
        raise AssertionError

    async def merge(self, process: str, token: str, order_id: str) -> bool:
        raise AssertionError

    async def closed(self, partitions: Collection[str]) -> list[str]:
        return []

    async def running(
        self, partitions: frozenset[str], after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[tuple[str, datetime]]:
        if self.is_broken:
            raise ZeroDivisionError
        self.resumed.append(partitions)
        return ()

    async def due(self, partitions: frozenset[str], ahead_s: float, limit: int) -> Sequence[tuple[str, datetime]]:
        if self.is_broken:
            raise ZeroDivisionError
        self.polled.append(partitions)
        return ()

    async def unpublished_orders(self, partitions: frozenset[str], older_than_s: float, limit: int) -> Sequence[str]:
        if self.is_broken:
            raise ZeroDivisionError
        self.swept += 1
        return ()

    async def unpublished(self, order_ids: Sequence[str]) -> dict[str, Any]:
        return {}

    async def mark_published(self, events: Sequence[tuple[str, int]]) -> None:
        raise AssertionError


class Alone:
    """No other process is there."""

    on_found: Callable[[str], None] | None = None
    on_lost: Callable[[str, str], None] | None = None

    def is_up(self, name: str) -> bool:
        return False

    def forget(self, name: str) -> None:
        raise AssertionError

    def notify(self, name: str, method: str, *arguments: object) -> None:
        raise AssertionError

    def get(self, name: str) -> ProcessClient:
        raise AssertionError


async def a_shard(tables: Tables) -> Shard:
    shard = make_shard(
        "p",
        "order-shard-0",
        store=tables,
        clients=Alone(),
        policy=POLICY,
        make_publisher=tables.make_publisher,
        perform=tables.perform,
    )
    await shard.start()
    await until(lambda: len(shard.partitions.mine) == PARTITIONS)
    return shard


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.001)


async def told(shard: Shard, envelope: bytes) -> DeliveryOutcome:
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    shard.deliver(answer.set_result, envelope)
    async with asyncio.timeout(5):
        return decode_outcome(await answer)


async def create(shard: Shard, number: int) -> None:
    order_id = f"0198f7a2-8e11-7aa0-9a0e-{number:012x}"
    message = Message(id="k", body=a_creation(order_id), actor=Actor(ActorType.CLIENT, "x"), keyed=True)
    assert isinstance(await told(shard, encode_message(order_id, message)), Reply)


async def test_a_shard_polls_sweeps_and_resumes_for_the_partitions_that_it_owns() -> None:
    tables = Tables()
    shard = await a_shard(tables)
    await until(lambda: bool(tables.polled and tables.swept and tables.resumed))
    assert tables.polled[-1] == frozenset(map(str, range(PARTITIONS)))
    assert frozenset().union(*tables.resumed) == frozenset(map(str, range(PARTITIONS)))
    await shard.stop()


async def test_what_fails_in_a_way_that_nobody_foresaw_is_counted_and_done_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop that polls deadlines ended at the first error that it did not expect, without a line in the log."""
    monkeypatch.setattr("supervised.RESTARTS", Restarts(wait_first_s=0.001, wait_max_s=0.001))
    tables = Tables()
    shard = await a_shard(tables)
    before = failures_total()
    tables.is_broken = True
    await until(lambda: failures_total() >= before + 4)
    tables.is_broken = False
    polled, swept = len(tables.polled), tables.swept
    await until(lambda: len(tables.polled) > polled and tables.swept > swept)
    await shard.stop()


async def test_partitions_whose_orders_could_not_be_resumed_are_resumed_again() -> None:
    tables = Tables()
    shard = await a_shard(tables)
    await until(lambda: bool(tables.resumed))
    tables.is_broken = True
    before, resumed = failures_total(), len(tables.resumed)
    shard.adopt(frozenset("7"))
    await until(lambda: failures_total() > before)
    tables.is_broken = False
    await until(lambda: len(tables.resumed) > resumed)
    assert tables.resumed[-1] == frozenset("7")
    await shard.stop()


async def test_what_was_committed_stays_counted_when_partitions_are_lost() -> None:
    """The counters were sums over what was at hand: they fell when some of it was lost, which reads as a restart."""
    tables = Tables()
    shard = await a_shard(tables)
    for number in range(4):
        await create(shard, number)
    before = shard.statistics()
    assert (before["partitions"], before["commits_total"]) == (PARTITIONS, 4)
    tables.owner_of = dict.fromkeys(tables.owner_of, "another")
    tables.listed = another  # type: ignore[method-assign]
    await until(lambda: not shard.statistics()["partitions"])
    after = shard.statistics()
    assert after["resident_orders"] == 0
    assert all(after[name] >= before[name] for name in before if name.endswith("_total"))
    await shard.stop()


async def another() -> list[ListedProcess]:
    """Another shard has come, and owns all."""
    return [
        ListedProcess(process=process, name=name, state="serving", seen_s=0, started_s=0, started_at=STARTED)
        for process, name in (("p", "order-shard-0"), ("another", "order-shard-1"))
    ]


async def test_a_message_for_an_order_of_another_shard_is_told_so() -> None:
    tick = Message(id="w", body=Wake(), actor=Actor(ActorType.TIMER, "t"))
    tables = Tables()
    shard = await a_shard(tables)
    tables.owner_of = dict.fromkeys(tables.owner_of, "another")
    tables.listed = another  # type: ignore[method-assign]
    await until(lambda: not shard.partitions.mine)
    assert await told(shard, encode_message("0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00", tick)) == NotOwner("")
    await shard.stop()


async def test_a_message_that_cannot_be_read_costs_its_own_sender_an_answer() -> None:
    shard = await a_shard(Tables())
    unread = await told(shard, b"\x90")
    assert isinstance(unread, Unavailable)
    assert unread.code == "order_failed"
    await shard.stop()
