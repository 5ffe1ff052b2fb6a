from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from actors.processes.periodic_jobs import PeriodicJob, PeriodicJobs
from storage.errors import StorageUnavailable


class Clock:
    """A clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Work:
    """A chore with so many pieces to do; it notes when it did one."""

    def __init__(self, clock: Clock, pieces: int, fails: int = 0) -> None:
        self._clock = clock
        self.pieces = pieces
        self.fails = fails
        self.done_at: list[float] = []

    async def step(self) -> tuple[int, bool]:
        if self.fails:
            self.fails -= 1
            raise StorageUnavailable("away")
        self.done_at.append(self._clock())
        did = min(1, self.pieces)
        self.pieces -= did
        return did, self.pieces > 0


def job(work: Work, name: str = "work") -> PeriodicJob:
    return PeriodicJob(name=name, every_s=60, step=work.step)


async def during(jobs: PeriodicJobs, until: Callable[[], bool]) -> None:
    """Let the chores run until something is true."""
    running = asyncio.create_task(jobs.run())
    async with asyncio.timeout(10):
        while not until():
            await asyncio.sleep(0)
    running.cancel()


def of(clock: Clock, *given: PeriodicJob) -> PeriodicJobs:
    return PeriodicJobs(given, monotonic=clock, pause_s=0, look_every_s=0)


async def test_a_chore_is_done_step_by_step_until_there_is_no_more_and_again_when_it_is_due() -> None:
    clock = Clock()
    work, other = Work(clock, 3), Work(clock, 0)
    jobs = of(clock, job(work), job(other, "other"))
    await during(jobs, lambda: len(work.done_at) == 3)
    assert len(other.done_at) == 1
    clock.now_s += 61
    work.pieces = 1
    await during(jobs, lambda: len(work.done_at) == 4 and len(other.done_at) == 2)
    assert work.done_at == [100, 100, 100, 161]
    assert jobs.counts() == {"work_total": 4, "other_total": 0, "chores_failed_total": 0}


async def test_a_step_that_fails_is_tried_again_later_and_keeps_no_other_from_being_done() -> None:
    clock = Clock()
    failing, other = Work(clock, 1, fails=1), Work(clock, 2)
    jobs = of(clock, job(failing), job(other, "other"))
    await during(jobs, lambda: len(other.done_at) == 2)
    assert (failing.done_at, jobs.counts()["chores_failed_total"]) == ([], 1)
    clock.now_s += 5.1
    await during(jobs, lambda: bool(failing.done_at))


async def test_a_mistake_in_a_step_does_not_end_the_chores() -> None:
    clock = Clock()
    other = Work(clock, 2)

    def broken() -> Awaitable[tuple[int, bool]]:
        raise KeyError("mistake")

    jobs = of(clock, PeriodicJob(name="broken", every_s=1, step=broken), job(other, "other"))
    await during(jobs, lambda: len(other.done_at) == 2)
    assert jobs.counts()["chores_failed_total"] == 1
