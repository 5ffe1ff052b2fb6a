from collections import Counter

from benchmarks.load import Outcome
from benchmarks.overload import TARGETS, Overloaded, Useful, report
from benchmarks.processes import Group
from benchmarks.report import Verdict


def overloaded(useful_per_s: float, *, lost: int = 0, grown: float = 1.0) -> Overloaded:
    return Overloaded(
        best_per_s=100.0,
        asked_per_s=200.0,
        useful_per_s=useful_per_s,
        best_per_cpu_s=100.0,
        useful_per_cpu_s=useful_per_s,
        outcome=Outcome(latencies_s={"create": [0.1]}, failed=1, seconds=1.0),
        statuses=Counter({201: 1, 503: 1}),
        without_retry_after=0,
        promised=1,
        lost=lost,
        restless=0,
        settling_s=0.0,
        growths={Group.API: grown},
        peaks={Group.API: 1 << 20},
    )


def verdicts(**kinds: Overloaded) -> dict[str, Verdict]:
    figures = report(kinds).figures
    return {target.key: target.verdict(figures.get(target.key)) for target in TARGETS}


def test_nine_tenths_of_the_best_are_enough() -> None:
    assert set(verdicts(create=overloaded(90.0), life=overloaded(95.0)).values()) == {Verdict.MET}


def test_a_collapse_a_loss_and_growing_memory_are_seen_in_either_kind_of_load() -> None:
    told = verdicts(create=overloaded(89.0, grown=1.2), life=overloaded(95.0, lost=1))
    missed = {key for key, verdict in told.items() if verdict is Verdict.MISSED}
    assert missed == {"create_useful_of_best", "memory_growth", "lost"}


async def test_only_what_succeeds_between_the_two_moments_is_useful() -> None:
    async def job(index: int) -> str:
        return "done" if index else ""

    inside = Useful(job, from_s=0.0, to_s=1e12)
    outside = Useful(job, from_s=0.0, to_s=0.0, began_s=-1.0)
    for useful in (inside, outside):
        assert [await useful.run(index) for index in (0, 1, 2)] == ["", "done", "done"]
    assert (inside.done, outside.done) == (2, 0)
