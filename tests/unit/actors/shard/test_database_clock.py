"""The estimate of the database's clock is never ahead of it, and behind by no more than it says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.shard.database_clock import DRIFT_MAX, DatabaseClock

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
READING_S = timedelta(microseconds=2)  # times are whole microseconds; two roundings are in each comparison
ways_s = st.floats(0, 0.5)


class World:
    """The database's clock, ours, and the way between them. ``rate``: what theirs goes on by in one second of ours."""

    def __init__(self, rate: float = 1.0) -> None:
        self.ours_s = 1000.0
        self.theirs_s = 0.0
        self.rate = rate
        self.there_s = self.back_s = 0.0
        self.clock = DatabaseClock(self._read, lambda: self.ours_s)

    def pass_time(self, seconds: float) -> None:
        self.ours_s += seconds
        self.theirs_s += seconds * self.rate

    @property
    def true(self) -> datetime:
        return START + timedelta(seconds=self.theirs_s)

    @property
    def behind_s(self) -> float:
        return (self.true - self.clock.now()).total_seconds()

    async def _read(self) -> datetime:
        self.pass_time(self.there_s)
        reading = self.true
        self.pass_time(self.back_s)
        return reading

    def synchronise(self, there_s: float = 0.0, back_s: float = 0.0) -> None:
        self.there_s, self.back_s = there_s, back_s
        asyncio.run(self.clock.synchronise())


@settings(deadline=None)
@given(
    st.floats(1 - DRIFT_MAX, 1 + DRIFT_MAX),
    st.lists(st.tuples(ways_s, ways_s, st.floats(0, 600)), min_size=1, max_size=8),
)
def test_it_is_never_ahead_whatever_the_ways_and_the_drift_and_behind_by_no_more_than_it_says(
    rate: float, readings: list[tuple[float, float, float]]
) -> None:
    world = World(rate)
    for there_s, back_s, then_s in readings:
        world.synchronise(there_s, back_s)
        for seconds in (0.0, then_s):
            world.pass_time(seconds)
            behind = world.true - world.clock.now()
            assert -READING_S <= behind <= timedelta(seconds=world.clock.behind_max_s) + READING_S


def test_a_reading_that_took_long_does_not_take_the_place_of_a_quick_one() -> None:
    """Under load the answer waited for the loop for 10 ms and more, and so much did every told time lie behind."""
    world = World()
    world.synchronise(0.0002, 0.0003)
    for _ in range(5):
        world.pass_time(1.0)
        world.synchronise(0.001, 0.040)
    assert world.behind_s < 0.003
    assert world.clock.behind_max_s < 0.005


def test_a_quick_reading_gives_way_once_clocks_may_have_drifted_by_more_than_a_slow_one_takes() -> None:
    world = World()
    world.synchronise(0.0002, 0.0003)
    world.pass_time(0.040 / DRIFT_MAX)
    assert world.behind_s > 0.040
    world.synchronise(0.001, 0.020)
    assert 0.019 < world.behind_s < 0.021


def test_a_clock_that_was_set_back_is_followed_at_once() -> None:
    """Another server took over whose clock is behind: no deadline may fire by the former one's."""
    world = World()
    world.synchronise(0.001, 0.001)
    world.theirs_s -= 60.0
    assert world.behind_s < -59
    world.synchronise(0.050, 0.050)
    assert 0 <= world.behind_s <= world.clock.behind_max_s


def test_a_clock_that_was_set_forward_is_followed_at_once() -> None:
    world = World()
    world.synchronise(0.001, 0.001)
    world.theirs_s += 60.0
    world.synchronise(0.010, 0.020)
    assert 0 <= world.behind_s <= 0.0201
