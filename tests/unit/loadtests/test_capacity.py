import pytest

from benchmarks.plan import Costs
from benchmarks.processes import Group
from loadtests.capacity import Limits, Step, knee, plan

LIMITS = Limits(p99_ms=100, error_share=0.01)
MACHINE: dict[str, str | int] = {"cpu": "a model", "cores": 2}


def step(wanted: float, reached: float | None = None, p99_ms: float = 50, error_share: float = 0) -> Step:
    return Step(
        wanted_per_s=wanted,
        reached_per_s=wanted if reached is None else reached,
        p50_ms=10,
        p99_ms=p99_ms,
        error_share=error_share,
        costs=Costs.of({Group.SHARDS: 6.0, Group.POSTGRES: 4.0}),
    )


def test_the_knee_is_the_last_step_that_was_carried() -> None:
    assert knee([step(10), step(20), step(40, p99_ms=500)], LIMITS) == step(20)


@pytest.mark.parametrize("bad", [step(20, p99_ms=101), step(20, error_share=0.02), step(20, reached=15)])
def test_slow_failing_and_lagging_steps_are_not_carried(bad: Step) -> None:
    assert knee([step(10), bad], LIMITS) == step(10)


def test_a_step_beyond_the_knee_that_happens_to_be_good_does_not_count() -> None:
    assert knee([step(10), step(20, p99_ms=900), step(40)], LIMITS) == step(10)


def test_without_a_carried_step_there_is_no_knee() -> None:
    assert knee([step(10, p99_ms=900)], LIMITS) is None
    assert "below the first step" in plan([step(10, p99_ms=900)], LIMITS, MACHINE)


def test_the_plan_says_what_a_core_carries_and_what_saturates_first() -> None:
    text = plan([step(10), step(20)], LIMITS, MACHINE)
    assert "Knee: **20 lives a second**" in text
    assert "One core carries 70 lives a second" in text
    assert "| 16 | 350 | postgres |" in text


def test_a_plan_needs_a_measurement() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        plan([], LIMITS, MACHINE)
