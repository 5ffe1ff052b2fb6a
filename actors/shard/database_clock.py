"""The database's clock, as this process estimates it: never ahead of it, so that no deadline fires early (docs/faults.md, L11)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

DRIFT_MAX = 0.0002
"""How far two clocks may drift apart, seconds a second: two crystals, each off by 100 millionths, in the worst direction."""


class DatabaseClock:
    """Reads the database's time now and then and counts on from the best reading with the monotonic clock.

    The database read its clock at some moment between the question and the answer. Counted from the answer on, a reading is behind
    by at most its round trip, and never ahead; it falls behind further by ``DRIFT_MAX`` as it ages, since the clocks may drift. So
    each reading bounds the database's clock from below, and the one that says most is kept: usually that of the shortest round trip,
    until it has aged. A reading that was taken while the loop or the database was held up takes no better one's place (after
    F. Cristian, "Probabilistic clock synchronization", 1989).
    """

    def __init__(self, read: Callable[[], Awaitable[datetime]], monotonic: Callable[[], float]) -> None:
        self._read = read
        self._monotonic = monotonic
        self._base = datetime(1970, 1, 1, tzinfo=UTC)
        self._base_s = 0.0
        self._round_trip_s: float | None = None

    async def synchronise(self) -> None:
        """Read the database's clock once; raises what the reader raises."""
        asked_s = self._monotonic()
        reading = await self._read()
        answered_s = self._monotonic()
        round_trip_s = (answered_s - asked_s) * (1 + DRIFT_MAX)
        latest = reading + timedelta(seconds=round_trip_s)
        # Later than it can be by this reading: the database's clock was set back, or another server took over.
        is_wrong = self._round_trip_s is None or self._at(answered_s) > latest
        if is_wrong or reading >= self._at(answered_s):
            self._base, self._base_s, self._round_trip_s = reading, answered_s, round_trip_s

    def now(self) -> datetime:
        """The estimate: timezone-aware UTC, not later than the database's clock."""
        return self._at(self._monotonic())

    @property
    def behind_max_s(self) -> float:
        """How far the estimate may be behind the database's clock now, in seconds."""
        if self._round_trip_s is None:
            return 0.0
        return self._round_trip_s + 2 * DRIFT_MAX * (self._monotonic() - self._base_s)

    def _at(self, monotonic_s: float) -> datetime:
        return self._base + timedelta(seconds=(monotonic_s - self._base_s) * (1 - DRIFT_MAX))
