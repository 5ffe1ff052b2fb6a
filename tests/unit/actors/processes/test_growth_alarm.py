"""A counter that grows is told at once, and not over and over."""

from __future__ import annotations

from actors.processes.growth_alarm import GrowthAlarm

NAME = "bulkhead-payment"


def _alarm() -> GrowthAlarm:
    return GrowthAlarm("refused_total", every_s=60.0)


def test_growth_is_told_at_once_and_only_where_there_is_any() -> None:
    alarm = _alarm()
    assert alarm.grown(NAME, {"refused_total": 0.0}, 0.0) == 0.0
    assert alarm.grown(NAME, {"refused_total": 3.0}, 2.0) == 3.0
    assert alarm.grown(NAME, {"refused_total": 3.0}, 200.0) == 0.0
    assert alarm.grown(NAME, {"refused_total": 4.0}, 202.0) == 1.0


def test_a_figure_that_is_there_at_the_first_look_has_grown() -> None:
    """A supervisor that was started again has seen nothing; better told twice than never."""
    assert _alarm().grown(NAME, {"refused_total": 7.0}, 0.0) == 7.0


def test_growth_that_goes_on_is_told_once_a_minute_and_in_all() -> None:
    alarm = _alarm()
    told = [alarm.grown(NAME, {"refused_total": float(second)}, float(second)) for second in range(1, 182)]
    assert [grown for grown in told if grown] == [1.0, 60.0, 60.0, 60.0]


def test_a_process_that_was_started_again_counts_from_nothing() -> None:
    alarm = _alarm()
    assert alarm.grown(NAME, {"refused_total": 9.0}, 0.0) == 9.0
    assert alarm.grown(NAME, {"refused_total": 2.0}, 100.0) == 2.0


def test_each_process_has_its_own_and_others_have_no_such_figure() -> None:
    alarm = _alarm()
    assert alarm.grown(NAME, {"refused_total": 1.0}, 0.0) == 1.0
    assert alarm.grown("bulkhead-user", {"refused_total": 1.0}, 0.0) == 1.0
    assert alarm.grown("order-shard-0", {"resident_orders": 5.0}, 0.0) == 0.0
