from pathlib import Path

import pytest

from loadtests.running import HERE, LIMITS, SCENARIOS, Line, Load, Result, read_lines

ROW = {"Name": "create", "Request Count": "10", "Failure Count": "2", "50%": "12", "99%": "N/A", "Requests/s": "3.5"}


def load(users: int = 1, rate_per_s: float = 1, seconds: int = 1) -> Load:
    return Load(scenario="new_orders", users=users, rate_per_s=rate_per_s, seconds=seconds, state=Path("state"))


def test_a_load_within_the_limits_may_run() -> None:
    LIMITS.check(load(LIMITS.users, LIMITS.rate_per_s, LIMITS.seconds))


@pytest.mark.parametrize(
    "beyond",
    [
        load(users=0),
        load(users=LIMITS.users + 1),
        load(rate_per_s=0),
        load(rate_per_s=LIMITS.rate_per_s + 1),
        load(seconds=0),
        load(seconds=LIMITS.seconds + 1),
    ],
)
def test_a_load_beyond_the_limits_is_refused(beyond: Load) -> None:
    with pytest.raises(ValueError, match="not"):
        LIMITS.check(beyond)


def test_every_scenario_has_a_file_that_says_what_it_imitates() -> None:
    for scenario in SCENARIOS:
        assert (HERE / f"{scenario}.py").read_text().startswith('"""Imitates ')


def test_an_operation_without_answers_has_no_percentiles() -> None:
    (line,) = read_lines([ROW])
    assert (line.name, line.requests, line.failures, line.p50_ms, line.p99_ms) == ("create", 10, 2, 12, 0)


def test_the_error_share_is_that_of_all_operations_together() -> None:
    together = Line(name="Aggregated", requests=10, failures=2, p50_ms=1, p99_ms=1, rate_per_s=1)
    other = Line(name="create", requests=5, failures=0, p50_ms=1, p99_ms=1, rate_per_s=1)
    assert Result((other, together)).error_share == 0.2


def test_a_load_without_requests_has_no_error_share() -> None:
    assert Result(()).error_share == 0
