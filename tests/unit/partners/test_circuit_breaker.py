"""The circuit breaker as a value that is told the time."""

from __future__ import annotations

from partners.circuit_breaker import BreakerState, CircuitBreaker


def _opened(at: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(failures_max=3, reset_s=2.0)
    for _ in range(3):
        _fail(breaker, at)
    assert breaker.state(at) is BreakerState.OPEN
    return breaker


def _fail(breaker: CircuitBreaker, now: float) -> None:
    permit = breaker.enter(now)
    assert permit is not None
    breaker.leave(permit, healthy=False, now=now)


def test_opens_after_so_many_failures_in_a_row_and_not_before() -> None:
    breaker = CircuitBreaker(failures_max=3, reset_s=2.0)
    _fail(breaker, 0)
    _fail(breaker, 0)
    assert breaker.state(0) is BreakerState.CLOSED
    _fail(breaker, 0)
    assert breaker.state(0) is BreakerState.OPEN
    assert breaker.enter(1.9) is None


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = CircuitBreaker(failures_max=3, reset_s=2.0)
    for _ in range(10):
        _fail(breaker, 0)
        _fail(breaker, 0)
        permit = breaker.enter(0)
        assert permit is not None
        breaker.leave(permit, healthy=True, now=0)
    assert breaker.state(0) is BreakerState.CLOSED


def test_half_opens_by_itself_and_lets_one_try_through_at_a_time() -> None:
    breaker = _opened()
    assert breaker.state(2.0) is BreakerState.HALF_OPEN
    assert breaker.enter(2.0) is not None
    assert not breaker.admits(2.0)
    assert breaker.enter(50.0) is None


def test_the_probe_that_succeeds_closes_it() -> None:
    breaker = _opened()
    probe = breaker.enter(2.0)
    assert probe is not None
    breaker.leave(probe, healthy=True, now=2.1)
    assert breaker.state(2.1) is BreakerState.CLOSED
    _fail(breaker, 2.2)
    assert breaker.state(2.2) is BreakerState.CLOSED


def test_the_probe_that_fails_opens_it_for_another_wait() -> None:
    breaker = _opened()
    _fail(breaker, 2.0)
    assert breaker.state(3.9) is BreakerState.OPEN
    assert breaker.enter(3.9) is None
    assert breaker.enter(4.0) is not None


def test_a_probe_that_was_given_up_makes_room_for_the_next() -> None:
    breaker = _opened()
    probe = breaker.enter(2.0)
    assert probe is not None
    breaker.leave(probe, healthy=None, now=2.0)
    assert breaker.enter(2.0) is not None


def test_a_try_from_before_the_opening_says_nothing_about_now() -> None:
    breaker = CircuitBreaker(failures_max=1, reset_s=2.0)
    early = breaker.enter(0)
    assert early is not None
    _fail(breaker, 0)
    breaker.leave(early, healthy=True, now=0.5)
    assert breaker.state(0.5) is BreakerState.OPEN
    probe = breaker.enter(2.0)
    assert probe is not None
    breaker.leave(early, healthy=False, now=2.0)
    breaker.leave(probe, healthy=True, now=2.0)
    assert breaker.state(2.0) is BreakerState.CLOSED
