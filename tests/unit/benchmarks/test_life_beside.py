"""What a life costs, from what all lives of a turn did, and what both sides are held to."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import life_beside
from benchmarks.comparison import Comparison
from benchmarks.load import Outcome
from benchmarks.picture import draw
from benchmarks.postgres_work import Work
from benchmarks.spending import Spent

TEN = Outcome(latencies_s={"life": [0.1] * 10}, failed=0, seconds=4.0)


def figures(rate: float, *levels: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for level in levels:
        costs = {"service": Spent(0.2, 0.1, 300), "postgres": Spent(0.1, 0.0, 50)}
        one = life_beside.of_a_life(TEN, 10 / rate, costs, Work(20480, 30, 400))
        one |= life_beside.latencies({"life": [0.1, 0.2]}) | {"failed": 0.0, "refused": 0.0}
        found |= {f"{key}_{level}": figure for key, figure in one.items()}
    return found


def test_a_life_costs_its_share_of_what_all_did() -> None:
    found = life_beside.of_a_life(TEN, 5.0, {"api": Spent(0.2, 0.1, 300), "postgres": Spent(0.1)}, Work(20480, 30, 400))
    assert found["lives_per_s"] == 2
    assert found["cpu_ms_api"] == pytest.approx(30)
    assert (found["user_ms"], found["system_ms"], found["cpu_ms"]) == pytest.approx((30, 10, 40))
    assert (found["switches_api"], found["switches"]) == (30, 30)
    assert (found["wal_kib"], found["fsyncs"], found["pages"]) == (2, 3, 40)


def test_an_operation_that_was_never_done_has_no_latency() -> None:
    found = life_beside.latencies({"read": [], "last event": [0.003, 0.001, 0.002]})
    assert found == pytest.approx({"p50_ms_last_event": 2.0, "p99_ms_last_event": 3.0})


def test_only_levels_that_were_measured_have_a_target() -> None:
    compared = Comparison(figures(20, 1, 16), figures(10, 1, 16))
    report = life_beside.report(compared, (1, 16), 10.0, is_checkout=True)
    assert [target.key for target in report.targets] == ["ratio.lives_per_s_1", "ratio.lives_per_s_16"]
    assert report.figures["ratio.lives_per_s_16"] == 2


def test_a_service_by_hand_is_held_to_targets_of_its_own() -> None:
    compared = Comparison(figures(20, 1), figures(20, 1))
    report = life_beside.report(compared, (1,), 20.0, is_checkout=False)
    assert {target.key: target.bound for target in report.targets}["ratio.lives_per_s_1"] == 1.1


def test_what_broke_off_is_said() -> None:
    compared = Comparison(figures(20, 1), figures(20, 1) | {"failed_1": 2.0})
    assert any("BROKE OFF" in note for note in life_beside.report(compared, (1,), 20.0, is_checkout=True).notes)
    whole = Comparison(figures(20, 1), figures(20, 1))
    assert not any("BROKE OFF" in note for note in life_beside.report(whole, (1,), 20.0, is_checkout=True).notes)


def test_constant_rates_have_a_table_where_they_were_asked_for() -> None:
    ours = figures(20, 1) | {"p50_ms_read_at_50": 1.0, "failed_at_50": 0.0}
    titles = [table.title for table in life_beside.report(Comparison(ours, ours), (1,), 20.0, is_checkout=True).tables]
    assert "latency in ms at a constant rate, % of the best" in titles
    without = Comparison(figures(20, 1), figures(20, 1))
    titles = [table.title for table in life_beside.report(without, (1,), 20.0, is_checkout=True).tables]
    assert "latency in ms at a constant rate, % of the best" not in titles


def test_both_sides_are_drawn_over_the_levels(tmp_path: Path) -> None:
    report = life_beside.report(Comparison(figures(20, 1, 16), figures(10, 1, 16)), (1, 16), 10.0, is_checkout=True)
    assert [(line.label, line.y) for line in report.charts[0].series] == [
        ("ours", (20.0, 20.0)),
        ("beside", (10.0, 10.0)),
    ]
    assert draw(report, tmp_path / "life.svg")
