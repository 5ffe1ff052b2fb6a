from __future__ import annotations

import pytest

from messaging.consuming.unanswered import REMEMBERED_MAX_MESSAGES, Unanswered


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_at_work_for_too_long_is_counted_until_it_ends(clock: Clock) -> None:
    messages = Unanswered(10, clock)
    work = messages.begin(b"a")
    clock.now_s = 10
    assert (messages.at_work, messages.count()) == (1, 0)
    clock.now_s = 10.1
    assert messages.count() == 1
    messages.end(work)
    assert (messages.at_work, messages.count()) == (0, 0)


def test_of_what_is_given_back_the_first_time_counts_until_it_is_answered(clock: Clock) -> None:
    messages = Unanswered(10, clock)
    for _ in range(6):
        work = messages.begin(b"a")
        clock.now_s += 2
        messages.given_back(work)
        messages.end(work)
    assert messages.count() == 1
    messages.answered(messages.begin(b"b"))
    assert messages.count() == 1
    messages.answered(messages.begin(b"a"))
    assert messages.count() == 0


def test_what_does_not_come_again_is_forgotten(clock: Clock) -> None:
    """Somebody else took it, or an operator purged the queue."""
    messages = Unanswered(10, clock)
    work = messages.begin(b"a")
    clock.now_s = 11
    messages.given_back(work)
    messages.end(work)
    assert messages.count() == 1
    clock.now_s = 22
    assert messages.count() == 0


def test_no_more_than_a_bound_are_remembered(clock: Clock) -> None:
    messages = Unanswered(10, clock)
    for number in range(REMEMBERED_MAX_MESSAGES + 10):
        work = messages.begin(str(number).encode())
        messages.given_back(work)
        messages.end(work)
    clock.now_s = 10.0
    for number in range(REMEMBERED_MAX_MESSAGES + 10):
        messages.given_back(messages.begin(str(number).encode()))
    assert len(messages._given_back) == REMEMBERED_MAX_MESSAGES
