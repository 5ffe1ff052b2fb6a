from pathlib import Path

import pytest

from benchmarks.bench_beside import RATIO_TARGETS, arguments_of, report
from benchmarks.comparison import Comparison
from benchmarks.options import Options


def test_a_turn_is_told_where_to_write_and_no_more_than_it_takes() -> None:
    options = Options(quick=True, levels=(1, 16))
    told = arguments_of("engine", Path("/somewhere"), options, takes_levels=False)
    assert told == [
        *("engine", "--rounds", "3", "--json", "/somewhere/figures.json", "--pictures", "/somewhere"),
        "--quick",
    ]
    assert arguments_of("engine", Path("/somewhere"), options, takes_levels=True)[-2:] == ["--levels", "1,16"]
    assert "--quick" not in arguments_of("resident", Path("/somewhere"), Options(), takes_levels=False)


@pytest.mark.parametrize("name", RATIO_TARGETS)
def test_what_is_not_measured_has_no_target(name: str) -> None:
    assert report(name, Comparison({"rate": 1.0}, {"rate": 1.0})).targets == ()


def test_our_medians_are_held_to_the_benchmarks_targets_and_the_ratios_to_theirs() -> None:
    ours, beside = {"bytes_per_order": 5000.0, "orders": 10.0}, {"bytes_per_order": 4000.0, "orders": 10.0, "old": 1.0}
    found = report("resident", Comparison(ours, beside))
    assert [target.key for target in found.targets] == ["ours.bytes_per_order", "ratio.bytes_per_order"]
    assert [str(target.verdict(found.figures[target.key])) for target in found.targets] == ["met", "missed"]
    assert [row[0] for row in found.tables[0].rows] == ["bytes_per_order", "orders", "old"]


def test_recovery_is_held_to_all_that_recovery_itself_is() -> None:
    figures = {"kill_p50_s": 0.1, "resumed_first_s": 0.4, "lost": 0.0}
    assert {"ours.kill_p50_s", "ours.lost"} <= {one.key for one in report("recovery", Comparison(figures, {})).targets}
