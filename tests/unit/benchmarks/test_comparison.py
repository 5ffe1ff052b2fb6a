import pytest

from benchmarks.comparison import Comparison, compare, medians


def test_a_figure_is_the_median_of_its_turns() -> None:
    assert medians([{"rate": 3.0}, {"rate": 100.0}, {"rate": 1.0}]) == {"rate": 3.0}
    assert medians([{"rate": 1.0}, {"rate": 2.0}]) == {"rate": 1.5}


def test_a_figure_that_a_turn_lacks_has_no_median() -> None:
    assert medians([{"rate": 1.0, "cost": 2.0}, {"rate": 1.0}]) == {"rate": 1.0}
    assert medians([{"rate": 1.0}, {"rate": 1.0, "cost": 2.0}]) == {"rate": 1.0}


def test_without_turns_there_is_no_median() -> None:
    with pytest.raises(ValueError, match="no turns"):
        medians([])


def test_a_ratio_is_ours_to_the_others_medians() -> None:
    compared = compare({"ours": [{"rate": 9.0}, {"rate": 1.0}, {"rate": 3.0}], "beside": [{"rate": 2.0}]})
    assert compared.ratio("rate") == 1.5


@pytest.mark.parametrize(("ours", "beside"), [({}, {"rate": 1.0}), ({"rate": 1.0}, {}), ({"rate": 1.0}, {"rate": 0.0})])
def test_what_one_side_lacks_or_has_none_of_has_no_ratio(ours: dict[str, float], beside: dict[str, float]) -> None:
    compared = Comparison(ours, beside)
    assert compared.ratio("rate") is None
    assert not any(key.startswith("ratio.") for key in compared.figures())


def test_the_figures_of_both_are_kept_under_their_sides() -> None:
    assert Comparison({"rate": 3.0}, {"rate": 2.0, "cost": 1.0}).figures() == {
        "ours.rate": 3.0,
        "beside.rate": 2.0,
        "beside.cost": 1.0,
        "ratio.rate": 1.5,
    }


def test_a_row_shows_what_there_is_and_only_where_there_is_something() -> None:
    table = Comparison({"rate": 3.0}, {"rate": 2.0, "cost": 1.0}).table(
        "title", [("a rate", "rate"), ("a cost", "cost"), ("a wait", "wait")]
    )
    assert table.rows == (("a rate", "3", "2", "1.5"), ("a cost", "-", "1", "-"))
