from __future__ import annotations

import typing

import pytest

from actors.process_metrics import PROCESS_METRICS, SUPERVISOR_METRICS, histogram, labelled
from actors.processes.bulkhead import outcome_label
from domain.calls import Outcome, outside_name


def test_figures_of_a_metric_with_a_label_are_named_after_its_values() -> None:
    assert labelled("calls_total", {"done": 2, "lost": 0}) == {"calls_total:done": 2.0, "calls_total:lost": 0.0}


def test_a_histogram_has_a_figure_a_bucket_one_for_what_is_above_and_the_sum() -> None:
    assert histogram("wait_seconds", (0.5, 10.0), (1, 2, 3), 40.5) == {
        "wait_seconds:0.5": 1.0,
        "wait_seconds:10.0": 2.0,
        "wait_seconds:+Inf": 3.0,
        "wait_seconds:sum": 40.5,
    }


def test_a_histogram_without_a_count_for_what_is_above_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        histogram("wait_seconds", (0.5, 10.0), (1, 2), 40.5)


def test_operators_see_these_outcomes_of_calls_whatever_the_classes_are_called() -> None:
    """They are in dashboards and alerts: another name for a class is not to change them unnoticed."""
    assert {outcome_label(outside_name(each)) for each in typing.get_args(Outcome)} == {
        *("products_fetched", "customer_fetched", "hold_answered", "payment_answered", "refund_answered"),
        *("declined", "not_known", "not_sent", "unknown"),
    }


@pytest.mark.parametrize("name", [*PROCESS_METRICS, *SUPERVISOR_METRICS])
def test_each_metric_says_what_it_is_in_a_sentence(name: str) -> None:
    text = (PROCESS_METRICS | SUPERVISOR_METRICS)[name].help  # type: ignore[operator]
    assert text[0].isupper() or text[0].isdigit()
    assert not text.endswith(".")
