"""What may go wrong, how often, and when: one seed decides everything, and each seed has weather of its own.

Each run has a random part of the faults only: a fault that always happens hides what only happens without it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from random import Random

STATEMENT_MS = (0.2, 2.0)
NETWORK_MS = (0.05, 1.0)
PARTNER_MS = (1.0, 40.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """Probabilities of each fault a time it could happen; ``…_every_s``: the mean time between two."""

    statement_refused: float
    answer_lost: float
    statement_slow: float
    crash_at_failpoint: float
    kill_every_s: float
    stop_every_s: float
    cut_every_s: float
    shard_role_every_s: float
    database_down_every_s: float
    broker_down_every_s: float
    connection_dropped: float
    nack: float
    partner_not_reached: float
    partner_answer_lost: float
    partner_slow: float
    partner_page: float
    partner_undecided: float
    undecided_for_ever: float
    charge_rejected: float
    charge_refused: float
    charge_mismatched: float
    refund_rejected: float
    refund_refused: float
    repeat_refused: float
    event_lost: float
    event_repeated: float
    event_late: float
    hold_lost_every_s: float
    price_every_s: float
    customer_every_s: float
    copy_not_dropped: float
    passivate_every_s: float
    prices_fall: float


USUAL = Chances(
    statement_refused=0.03,
    answer_lost=0.05,
    statement_slow=0.02,
    crash_at_failpoint=0.01,
    kill_every_s=6.0,
    stop_every_s=9.0,
    cut_every_s=7.0,
    shard_role_every_s=8.0,
    database_down_every_s=12.0,
    broker_down_every_s=10.0,
    connection_dropped=0.03,
    nack=0.03,
    partner_not_reached=0.04,
    partner_answer_lost=0.12,
    partner_slow=0.05,
    partner_page=0.1,
    partner_undecided=0.15,
    undecided_for_ever=0.2,
    charge_rejected=0.12,
    charge_refused=0.05,
    charge_mismatched=0.03,
    refund_rejected=0.03,
    refund_refused=0.03,
    repeat_refused=0.05,
    event_lost=0.3,
    event_repeated=0.3,
    event_late=0.2,
    hold_lost_every_s=15.0,
    price_every_s=10.0,
    customer_every_s=15.0,
    copy_not_dropped=0.3,
    passivate_every_s=8.0,
    prices_fall=0.15,
)
NEVER = 1e9


class Chaos:
    """The random numbers of a run, and the faults that it has. ``calm`` ends all faults."""

    def __init__(self, seed: int, often: Collection[str] = ()) -> None:
        """``often``: faults that this run has in any case, and more of them than usual."""
        self.random = Random(seed)
        self.is_calm = False
        share = self.random.choice((0.3, 0.5, 0.8))
        chosen = {}
        for name in Chances.__slots__:
            usual = getattr(USUAL, name)
            is_on, strength = self.random.random() < share, self.random.choice((0.5, 1.0, 3.0))
            if name in often:
                is_on, strength = True, 3.0
            if name.endswith("_every_s"):
                chosen[name] = usual / strength if is_on else NEVER
            else:
                chosen[name] = min(usual * strength, 1.0) if is_on else 0.0
        self.chances = Chances(**chosen)
        # Whose orders get a process each.
        self.dedicated_customers = ("c-1003",) if self.random.random() < 0.4 else ()

    def strikes(self, chance: float) -> bool:
        """Whether a fault of that probability happens now."""
        return not self.is_calm and chance > 0.0 and self.random.random() < chance

    def among(self, range_ms: tuple[float, float]) -> float:
        """A time of a range of milliseconds, in seconds."""
        return self.random.uniform(*range_ms) / 1000

    def next_in_s(self, every_s: float) -> float:
        """When something that happens every so often happens next."""
        return self.random.expovariate(1.0 / every_s)
