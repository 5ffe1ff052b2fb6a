"""What is said about many samples: percentiles from all of them, medians of rounds, and the spread between rounds.

Pure arithmetic: no clock and no input or output. Percentiles are by nearest rank, so each is a latency that really
happened, and nothing is thrown away or put into buckets first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Percentiles of ``count`` samples, in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Give the nearest-rank percentile of samples sorted upwards; raises ``ValueError`` when there are none."""
    if not ordered:
        raise ValueError("no samples")
    if not 0 < percent <= 100:
        raise ValueError(f"not a percentage: {percent}")
    # 99.9 % of 1,000 is 998.9999… in binary: rounding first keeps the rank that the decimal number means.
    rank = math.ceil(round(percent * len(ordered) / 100, 9))
    return ordered[rank - 1]


def latency(samples_s: Sequence[float]) -> Latency:
    """Describe latencies given in seconds, in any order."""
    ordered = sorted(samples_s)
    return Latency(
        count=len(ordered),
        p50_ms=percentile(ordered, 50) * 1e3,
        p99_ms=percentile(ordered, 99) * 1e3,
        p999_ms=percentile(ordered, 99.9) * 1e3,
        max_ms=percentile(ordered, 100) * 1e3,
    )


def middle(rounds: Sequence[float]) -> float:
    """Give the median of rounds; raises ``ValueError`` when there are none."""
    if not rounds:
        raise ValueError("no rounds")
    return median(rounds)


def middle_latency(rounds: Sequence[Latency]) -> Latency:
    """Give the median of each percentile over rounds; ``count`` is that of all samples together."""
    return Latency(
        count=sum(one.count for one in rounds),
        p50_ms=middle([one.p50_ms for one in rounds]),
        p99_ms=middle([one.p99_ms for one in rounds]),
        p999_ms=middle([one.p999_ms for one in rounds]),
        max_ms=max(one.max_ms for one in rounds),
    )


def spread(rounds: Sequence[float]) -> float:
    """Tell how far the rounds lie apart: (largest - smallest) / median; 0 for a single round."""
    centre = middle(rounds)
    return (max(rounds) - min(rounds)) / centre if centre else 0.0
