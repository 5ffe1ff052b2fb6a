import asyncio

import pytest

from benchmarks.load import Outcome, closed_loop, closed_loop_for, meanwhile, open_loop


async def test_a_closed_loop_has_no_more_in_flight_than_it_was_told() -> None:
    running = most = 0

    async def job(index: int) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return "even" if index % 2 == 0 else "odd"

    outcome = await closed_loop(job, total=50, in_flight=4)
    assert most == 4
    assert {name: len(samples) for name, samples in outcome.latencies_s.items()} == {"even": 25, "odd": 25}


async def test_what_failed_is_counted_and_has_no_latency() -> None:
    async def job(index: int) -> str:
        return "" if index < 3 else "done"

    outcome = await closed_loop(job, total=10, in_flight=2)
    assert (outcome.done, outcome.failed, outcome.error_share) == (7, 3, 0.3)
    assert len(outcome.samples()) == 7


async def test_an_open_loop_charges_a_stall_to_everyone_who_would_have_come_meanwhile() -> None:
    free = asyncio.Event()

    async def job(index: int) -> str:
        if index == 0:
            asyncio.get_running_loop().call_later(0.2, free.set)
        await free.wait()  # the server stands still for a fifth of a second
        return "request"

    outcome = await open_loop(job, rate_per_s=100, seconds=0.2)
    slow = [sample for sample in outcome.samples() if sample > 0.05]
    assert outcome.done == 20
    assert len(slow) >= 12, "a closed loop would have seen one slow request"


async def test_an_open_loop_asks_at_its_rate_whatever_the_answers_take() -> None:
    async def job(_: int) -> str:
        await asyncio.sleep(0.3)
        return "slow"

    outcome = await open_loop(job, rate_per_s=200, seconds=0.1)
    assert outcome.done == 20
    assert outcome.seconds < 20 * 0.3, "one after the other would take six seconds"


async def test_an_open_loop_that_gathers_starts_together_what_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds > 0:
            waited.append(seconds)
        await real_sleep(seconds)

    async def job(_: int) -> str:
        return "job"

    real_sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", sleep)
    outcome = await open_loop(job, rate_per_s=1000, seconds=0.2, gathered_s=0.02)
    assert outcome.done == 200
    assert len(waited) <= 10, "ten times a fiftieth of a second, and not two hundred times a thousandth"


async def test_a_loop_for_a_time_begins_nothing_afterwards() -> None:
    begun = []

    async def job(index: int) -> str:
        begun.append(index)
        await asyncio.sleep(0.005)
        return "job"

    outcome = await closed_loop_for(job, seconds=0.05, in_flight=2)
    assert outcome.done == len(begun) > 2
    assert sorted(begun) == list(range(len(begun)))


def test_an_outcome_without_anything_has_a_rate_of_nothing() -> None:
    outcome = Outcome(latencies_s={}, failed=0, seconds=0)
    assert (outcome.rate, outcome.error_share) == (0, 0)


@pytest.mark.parametrize(("done", "failed", "share"), [(9, 1, 0.1), (0, 5, 1.0)])
def test_the_error_share_is_of_all_that_were_asked(done: int, failed: int, share: float) -> None:
    assert Outcome(latencies_s={"a": [0.1] * done}, failed=failed, seconds=1).error_share == share


async def test_what_goes_on_meanwhile_ends_with_what_it_goes_beside() -> None:
    done = asyncio.Event()

    async def job(index: int) -> str:
        if index == 2:
            done.set()
        return "job"

    async with meanwhile(job, rate_per_s=500) as outcomes:
        await done.wait()
        assert not outcomes
    assert outcomes[0].done >= 3
