"""A circuit breaker for one partner: after many failures in a row it asks nothing for a while, then tries once.

A value that is given the time: it has no clock, timer or task of its own, so it half-opens by itself when it is first
asked after the wait. Each try enters with a permit; a try from before the last change of state says nothing about now.
"""

from __future__ import annotations

from enum import StrEnum


class BreakerState(StrEnum):
    """Closed: calls pass. Open: none does. Half open: the next one is a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """``failures_max`` failures in a row open it; ``reset_s`` later one try is let through, which closes or reopens it.

    All times are seconds of one monotonic clock.
    """

    def __init__(self, *, failures_max: int, reset_s: float) -> None:
        self._failures_max = failures_max
        self._reset_s = reset_s
        self._failures = 0
        self._opened_at: float | None = None
        self._is_probing = False
        self._permit = 0

    def state(self, now: float) -> BreakerState:
        """Give the state as of ``now``."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._opened_at + self._reset_s else BreakerState.HALF_OPEN

    def admits(self, now: float) -> bool:
        """Tell whether ``enter`` would let a try through."""
        return self._opened_at is None or (now >= self._opened_at + self._reset_s and not self._is_probing)

    def enter(self, now: float) -> int | None:
        """Give a permit for one try, to be given back with ``leave``; None when nothing may be asked now."""
        if not self.admits(now):
            return None
        if self._opened_at is not None:
            self._is_probing = True
            self._permit += 1
        return self._permit

    def leave(self, permit: int, *, healthy: bool | None, now: float) -> None:
        """Take how the try went; ``healthy`` None when it was given up and says nothing."""
        if permit != self._permit:
            return
        if healthy is None:
            self._is_probing = False
        elif healthy:
            self._close()
        else:
            self._failures += 1
            if self._is_probing or self._failures >= self._failures_max:
                self._open(now)

    def _close(self) -> None:
        self._failures = 0
        if self._opened_at is not None:
            self._opened_at = None
            self._is_probing = False
            self._permit += 1

    def _open(self, now: float) -> None:
        self._opened_at = now
        self._is_probing = False
        self._permit += 1
