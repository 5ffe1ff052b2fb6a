import json
from pathlib import Path

import pytest

from benchmarks.report import Report, Table, Target, Verdict, number, overview, together, verdicts, write_json

AT_LEAST = Target("rate", 100, at_least=True)
AT_MOST = Target("cost", 4, at_least=False)


def report(name: str = "life", **figures: float) -> Report:
    return Report(name=name, machine={"cores": 2}, figures=figures, targets=(AT_LEAST, AT_MOST))


@pytest.mark.parametrize(
    ("target", "figure", "verdict"),
    [
        (AT_LEAST, 100, Verdict.MET),
        (AT_LEAST, 99.9, Verdict.MISSED),
        (AT_MOST, 4, Verdict.MET),
        (AT_MOST, 4.01, Verdict.MISSED),
        (AT_MOST, None, Verdict.NOT_MEASURED),
    ],
)
def test_the_bound_itself_is_good_enough_and_nothing_beyond_it(
    target: Target, figure: float | None, verdict: Verdict
) -> None:
    assert target.verdict(figure) is verdict


def test_a_ratio_below_one_means_missed_whichever_way_the_bound_points() -> None:
    assert AT_LEAST.ratio(50) == 0.5
    assert AT_MOST.ratio(8) == 0.5
    assert AT_MOST.ratio(2) == 2


def test_a_cost_of_nothing_meets_any_bound() -> None:
    assert AT_MOST.ratio(0) == float("inf")


def test_a_missed_target_is_printed_as_missed_with_its_ratio() -> None:
    rows = verdicts((AT_LEAST, AT_MOST), {"rate": 42.0}).rows
    assert rows == (("rate", "42", ">= 100", "missed (0.42 of it)"), ("cost", "-", "<= 4", "not measured"))


def test_a_figure_is_not_rounded_up_to_its_target() -> None:
    assert verdicts((AT_LEAST,), {"rate": 99.9999}).rows[0][3].startswith("missed")


def test_the_document_has_the_agreed_shape() -> None:
    assert report(rate=1.0).document() == {
        "name": "life",
        "machine": {"cores": 2},
        "figures": {"rate": 1.0},
        "targets": {"rate": 100, "cost": 4},
    }


def test_several_reports_are_joined_under_their_names() -> None:
    joined = together([report("life", rate=1.0), report("create", rate=2.0)])
    assert joined["figures"] == {"life.rate": 1.0, "create.rate": 2.0}
    assert joined["machine"] == {"cores": 2}


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "figures.json"
    write_json(file, [report(rate=3.5)])
    assert json.loads(file.read_text())["figures"] == {"rate": 3.5}


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    lines = Table("title", ("what", "n"), (("a long name", "1"), ("b", "1,000"))).text().splitlines()
    assert lines[0] == "title"
    assert {len(line) for line in lines[1:]} == {len("a long name  1,000")}


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.94, "99.9"), (0.12345, "0.123"), (0.0, "0"), (float("inf"), "inf")]
)
def test_numbers_have_three_figures_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_the_overview_has_each_target_of_each_report_once() -> None:
    table = overview([report("life", rate=120), report("create", cost=8)])
    assert [(row[0], row[1]) for row in table.rows] == [
        ("life: rate", "120"),
        ("life: cost", "-"),
        ("create: rate", "-"),
        ("create: cost", "8"),
    ]
