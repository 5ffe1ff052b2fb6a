"""What is compared has a picture: each side a line of its own."""

from __future__ import annotations

from pathlib import Path

from benchmarks import create, stored
from benchmarks.load import Outcome
from benchmarks.picture import draw


def ran(rate: float) -> Outcome:
    return Outcome(latencies_s={"create": [0.01] * int(rate)}, failed=0, seconds=1.0)


def test_creations_are_drawn_by_round_and_side(tmp_path: Path) -> None:
    report = create.report({"bare": [ran(50), ran(40)], "ours": [ran(20), ran(10)]}, ran(10), 1.0)
    assert [(line.label, line.y) for line in report.charts[0].series] == [
        ("bare", (50.0, 40.0)),
        ("ours", (20.0, 10.0)),
    ]
    assert draw(report, tmp_path / "create.svg")


def test_few_and_many_stored_orders_are_drawn_beside_each_other(tmp_path: Path) -> None:
    lists = {"few": {"by_id": [0.001]}, "many": {"by_id": [0.002]}}
    report = stored.report({"few": [ran(20)], "many": [ran(10)]}, lists, 1_000_000)
    assert [chart.series[0].y for chart in report.charts] == [(20.0, 10.0), (1.0, 2.0)]
    assert draw(report, tmp_path / "stored.svg")
