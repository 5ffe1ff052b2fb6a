"""Which counters of other processes have grown: reported at once, then seldom, so that operators see it and are not flooded."""

from __future__ import annotations

from collections.abc import Mapping


class GrowthAlarm:
    """Watches one figure of each process. Growth is reported at once, and more of it ``every_s`` later at the earliest."""

    def __init__(self, figure: str, *, every_s: float) -> None:
        self._figure = figure
        self._every_s = every_s
        self._last: dict[str, float] = {}
        self._untold: dict[str, float] = {}
        self._told_at_s: dict[str, float] = {}

    def grown(self, process: str, figures: Mapping[str, float], now_s: float) -> float:
        """Give by how much the figure has grown since the last report; 0 where it has not, or the last report is too recent.

        ``now_s`` is of a monotonic clock. A process that was started again counts from 0.
        """
        if self._figure not in figures:
            return 0.0
        value, last = figures[self._figure], self._last.get(process, 0.0)
        self._last[process] = value
        untold = self._untold.get(process, 0.0) + (value - last if value >= last else value)
        told_at_s = self._told_at_s.get(process)
        if untold and (told_at_s is None or now_s - told_at_s >= self._every_s):
            self._told_at_s[process], self._untold[process] = now_s, 0.0
            return untold
        self._untold[process] = untold
        return 0.0
