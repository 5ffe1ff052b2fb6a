"""No task ends unnoticed: a loop is started again, a piece of work that fails is counted, and nothing else starts tasks."""

from __future__ import annotations

import ast
import asyncio
import gc
import itertools
from pathlib import Path

import pytest

from supervised import Restarts, awaited, every, failures_total, on_failure, supervised, supervised_once
from tests.unit.conftest import Run

ROOT = Path(__file__).parent.parent.parent
SERVICE = ("actors", "api", "domain", "messaging", "partners", "sagas", "storage")
STARTS_TASKS = {"create_task", "ensure_future", "TaskGroup", "run_coroutine_threadsafe"}


def test_tasks_are_started_in_one_place_only() -> None:
    """A loop that was started without a look at its end was gone for good after its first error, and nobody heard of it."""
    files = [file for folder in SERVICE for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in STARTS_TASKS)
        or (isinstance(node, ast.ImportFrom) and STARTS_TASKS & {name.name for name in node.names})
    ]
    assert found == []


def test_a_loop_that_fails_is_started_again_ever_later_and_at_once_when_it_had_lasted(run: Run) -> None:
    """The waits are 1, 2, 4 and 4 s; after a minute without a failure it is 1 s again."""
    starts: list[float] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        async def work() -> None:
            starts.append(loop.time())
            if len(starts) == 5:
                await asyncio.sleep(60)
            if len(starts) < 7:
                raise LookupError("unforeseen")

        before = failures_total()
        await supervised("a-loop", work, restarts=Restarts(wait_first_s=1, wait_max_s=4, lasting_s=60))
        assert failures_total() - before == 6

    run(scenario())
    assert [later - earlier for earlier, later in itertools.pairwise(starts)] == [1, 2, 4, 4, 61, 2]


def test_a_loop_that_returns_or_is_cancelled_is_over(run: Run) -> None:
    async def scenario() -> None:
        starts: list[int] = []

        async def work() -> None:
            starts.append(1)
            if len(starts) == 2:
                await asyncio.sleep(3600)

        await supervised("a-loop", work)
        assert len(starts) == 1
        task = supervised("a-loop", work)
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert (task.cancelled(), len(starts)) == (True, 2)

    run(scenario())


def test_work_that_fails_is_counted_and_told_under_its_name(run: Run) -> None:
    heard: list[str] = []
    on_failure(heard.append)

    async def scenario() -> None:
        async def work() -> None:
            await asyncio.sleep(1)
            raise ValueError("unforeseen")

        before = failures_total()
        await asyncio.wait([supervised_once("some-work", work())])
        assert failures_total() - before == 1

    run(scenario())
    assert heard == ["some-work"]


def test_work_is_not_lost_to_the_garbage_collector(run: Run) -> None:
    """Asyncio itself holds tasks weakly: one that waits for something that nobody else holds is collected."""
    done: list[int] = []

    async def scenario() -> None:
        async def work() -> None:
            await asyncio.sleep(1)
            done.append(1)

        supervised_once("some-work", work())
        await asyncio.sleep(0.5)
        gc.collect()
        await asyncio.sleep(1)

    run(scenario())
    assert done == [1]


def test_what_is_awaited_gives_its_failure_to_who_awaits_it(run: Run) -> None:
    async def scenario() -> None:
        async def work() -> int:
            raise ValueError("the starter's")

        before = failures_total()
        with pytest.raises(ValueError, match="the starter's"):
            await awaited("some-work", work())
        assert failures_total() == before

    run(scenario())


def test_a_step_is_done_again_and_again_whatever_comes_of_it(run: Run) -> None:
    """What was expected is no failure; what was not is counted, told of, and the next step comes no later for it."""
    steps: list[float] = []
    failed: list[Exception] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        async def step() -> None:
            steps.append(loop.time())
            if len(steps) == 2:
                raise LookupError("unforeseen")
            if len(steps) == 3:
                raise TimeoutError("now and then")

        before = failures_total()
        task = every("a-step", 2, step, expected=(TimeoutError,), on_failed=failed.append)
        await asyncio.sleep(11)
        task.cancel()
        assert failures_total() - before == 1

    run(scenario())
    assert [later - earlier for earlier, later in itertools.pairwise(steps)] == [2, 2, 2, 2]
    assert [str(error) for error in failed] == ["unforeseen"]
