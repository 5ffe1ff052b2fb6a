import pytest

from benchmarks.publisher_share import share_of


def test_samples_with_a_frame_of_the_publisher_are_its_share() -> None:
    lines = [
        "main;run (messaging/publishing/publisher.py:10) 30",
        "main;decide (sagas/decide.py:1) 60",
        "a;b (aiormq/channel.py:5) 10",
    ]
    assert share_of(lines) == pytest.approx(0.4)


def test_lines_that_are_no_samples_are_passed_over() -> None:
    assert share_of(["", "nonsense", "x (messaging/a.py) many"]) == 0
