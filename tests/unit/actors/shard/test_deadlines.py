"""Deadlines ring at least once, in order, and never early."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from actors.shard.deadlines import Deadlines

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now_is = START

    def __call__(self) -> datetime:
        return self.now_is


async def rung_until(rung: list[str], count: int) -> None:
    async with asyncio.timeout(5):
        while len(rung) < count:
            await asyncio.sleep(0)


async def test_due_deadlines_ring_in_the_order_of_their_times() -> None:
    clock, rung = Clock(), list[str]()
    deadlines = Deadlines(clock, rung.append)
    deadlines.expect("late", START + timedelta(seconds=2))
    deadlines.expect("soon", START + timedelta(seconds=1))
    clock.now_is = START + timedelta(seconds=3)
    deadlines.expect("now", START)
    await rung_until(rung, 3)
    assert rung == ["now", "soon", "late"]


async def test_a_timer_that_fires_before_the_database_says_so_does_not_ring() -> None:
    clock, rung = Clock(), list[str]()
    deadlines = Deadlines(clock, rung.append)
    deadlines.expect("a", START + timedelta(microseconds=1))
    for _ in range(50):
        await asyncio.sleep(0)
    assert rung == []
    clock.now_is = START + timedelta(microseconds=1)
    await rung_until(rung, 1)


async def test_what_lies_beyond_the_horizon_is_left_to_the_poll() -> None:
    deadlines = Deadlines(Clock(), lambda _: None, horizon_s=10)
    deadlines.expect("far", START + timedelta(seconds=11))
    assert len(deadlines) == 0


async def test_without_a_horizon_a_deadline_is_remembered_however_far_away_it_is() -> None:
    """An order in a process of its own is looked after by no poll: what lay beyond the horizon rang seconds too late."""
    deadlines = Deadlines(Clock(), lambda _: None, horizon_s=None)
    deadlines.expect("far", START + timedelta(days=30))
    assert len(deadlines) == 1
    deadlines.stop()


async def test_the_number_of_remembered_deadlines_is_bounded() -> None:
    deadlines = Deadlines(Clock(), lambda _: None, max_entries=2)
    for name in "abc":
        deadlines.expect(name, START + timedelta(seconds=5))
    assert len(deadlines) == 2
    deadlines.stop()


async def test_after_the_stop_nothing_rings() -> None:
    clock, rung = Clock(), list[str]()
    deadlines = Deadlines(clock, rung.append)
    deadlines.expect("a", START)
    deadlines.stop()
    for _ in range(20):
        await asyncio.sleep(0)
    assert rung == []
