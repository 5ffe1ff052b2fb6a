from __future__ import annotations

import asyncio

import pytest

from api.access.fair_slots import FairSlots, SlotLimits
from api.problems import Problem


class Work:
    """Work that is done when it is told to be; ``done`` has whose it was, in the order of the beginnings."""

    def __init__(self, **limits: float) -> None:
        self.slots = FairSlots(SlotLimits(**limits))  # type: ignore[arg-type]
        self.begun: list[str] = []
        self.may_end = asyncio.Event()

    def start(self, caller: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._do(caller))

    async def _do(self, caller: str) -> None:
        async with self.slots.slot(caller):
            self.begun.append(caller)
            await self.may_end.wait()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_caller_has_one_slot_and_others_go_before_its_further_wishes() -> None:
    work = Work(running_max=2, waiting_of_a_caller_max=3)
    tasks = [work.start(caller) for caller in ("a", "a", "a", "b", "c")]
    await settle()
    assert work.begun == ["a", "b"]
    work.may_end.set()
    await asyncio.gather(*tasks)
    assert sorted(work.begun) == ["a", "a", "a", "b", "c"]


@pytest.mark.parametrize(
    ("limits", "callers", "code"),
    [
        ({"running_max": 1, "waiting_of_a_caller_max": 2}, "aaaa", "rate_limited"),
        ({"running_max": 1, "waiting_max": 2}, "abcd", "overloaded"),
    ],
)
async def test_who_comes_when_too_many_wait_is_told_at_once(limits: dict[str, int], callers: str, code: str) -> None:
    work = Work(**limits)
    tasks = [work.start(caller) for caller in callers]
    await settle()
    with pytest.raises(Problem) as refused:
        await tasks[-1]
    assert refused.value.code == code
    assert refused.value.headers == ((b"retry-after", b"2"),)
    assert not any(task.done() for task in tasks[:-1])
    work.may_end.set()
    await asyncio.gather(*tasks[:-1])


async def test_who_waits_too_long_or_goes_away_leaves_the_queue() -> None:
    work = Work(running_max=1, wait_max_s=0.01)
    first, late = work.start("a"), work.start("b")
    with pytest.raises(Problem, match="overloaded"):
        await late
    gone = work.start("c")
    await settle()
    gone.cancel()
    work.may_end.set()
    await first
    await asyncio.wait([gone])
    await work.start("d")
    assert work.begun == ["a", "d"]


async def test_work_that_fails_gives_its_slot_back() -> None:
    work = Work(running_max=1)
    for caller in ("a", "a", "b"):
        task = work.start(caller)
        await settle()
        task.cancel()
        await asyncio.wait([task])
    work.may_end.set()
    await work.start("a")
    assert work.begun == ["a", "a", "b", "a"]
