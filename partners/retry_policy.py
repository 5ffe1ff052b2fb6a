"""When a call may be made again: which outcomes allow it, how long to wait, and how many repeats there may be in all.

Pure values; the waiting itself is done by the bulkhead.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.calls import Charge, NotSent, Outcome, Request, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential with full jitter: anything from 0 to ``first_s`` * 2^(tries - 1), which stops growing at ``max_s``.

    After M. Brooker, "Exponential Backoff And Jitter": of the usual forms the one with the fewest calls in all.
    """

    first_s: float
    max_s: float

    def delay_s(self, tries: int, random: float) -> float:
        """Give the wait after the ``tries``-th try (1 is the first); ``random`` lies in 0..1."""
        return random * min(self.max_s, self.first_s * 2.0 ** min(tries - 1, 30))


class RetryBudget:
    """A bucket of tokens: each call puts a fraction of one in, each repeat takes a whole one out.

    So repeats never exceed that fraction of the calls (and ``burst_max`` at the start): when a partner is down, retries
    must not multiply the load that may have brought it down.
    """

    def __init__(self, *, fraction: float, burst_max: float) -> None:
        self._fraction = fraction
        self._burst_max = burst_max
        self._tokens = burst_max

    def earn(self) -> None:
        """Count a first try."""
        self._tokens = min(self._burst_max, self._tokens + self._fraction)

    def spend(self) -> bool:
        """Take a token for a repeat; False when there is none."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def is_repeatable(request: Request, outcome: Outcome) -> bool:
    """Tell whether ``request`` may be sent again, with the same id, after ``outcome``.

    What was never sent always may. What may have happened may where it is a read or an idempotent write; but not a
    charge: the order has to know at once that the money is in doubt, and asks with ``Verify``.
    """
    match outcome:
        case NotSent():
            return True
        case Unknown():
            return not isinstance(request, Charge)
        case _:
            return False
