import pytest

from benchmarks.samples import latency, middle, middle_latency, percentile, spread


def test_a_percentile_is_a_sample_that_really_occurred() -> None:
    samples = [1.0, 2.0, 10.0, 100.0]
    assert [percentile(samples, percent) for percent in (25, 50, 51, 75, 76, 100)] == [1, 2, 10, 10, 100, 100]


def test_p999_of_a_thousand_samples_is_the_999th() -> None:
    assert percentile([float(n) for n in range(1, 1001)], 99.9) == 999


def test_p999_of_few_samples_is_the_largest() -> None:
    assert percentile([1.0, 2.0, 3.0], 99.9) == 3


def test_no_samples_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


@pytest.mark.parametrize("percent", [0, -1, 100.1])
def test_a_percentage_outside_of_0_to_100_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="not a percentage"):
        percentile([1.0], percent)


def test_latencies_in_any_order_are_described_in_milliseconds() -> None:
    spoken = latency([0.003, 0.001, 0.002, 0.250])
    assert (spoken.count, spoken.p50_ms, spoken.max_ms) == (4, 2, 250)
    assert spoken.p99_ms == spoken.p999_ms == 250


def test_one_slow_request_in_a_hundred_shows_in_p999_and_not_in_p99() -> None:
    spoken = latency([0.001] * 99 + [1.0])
    assert (spoken.p99_ms, spoken.p999_ms) == (1, 1000)


def test_the_middle_of_rounds_ignores_one_that_went_wrong() -> None:
    assert middle([100.0, 1.0, 102.0]) == 100


def test_rounds_of_latencies_keep_the_worst_maximum_and_count_all_samples() -> None:
    rounds = [latency([0.001]), latency([0.002, 0.002]), latency([0.009])]
    spoken = middle_latency(rounds)
    assert (spoken.count, spoken.p50_ms, spoken.max_ms) == (4, 2, 9)


def test_the_spread_is_relative_to_the_median() -> None:
    assert spread([90.0, 100.0, 110.0]) == pytest.approx(0.2)
    assert spread([5.0]) == 0
