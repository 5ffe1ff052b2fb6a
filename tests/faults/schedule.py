"""Which fault happens when: a plan that follows from the seed alone, and is made before anything starts.

Every kind comes round in a shuffled order, again and again, so that each has its share in a run of any length.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

# Kind -> the shortest and longest time that it lasts, in seconds; 0: it is over at once.
LASTING: dict[str, tuple[float, float]] = {
    "kill_shard": (0, 0),
    "freeze_shard": (1.0, 9.0),
    "kill_bulkhead": (0, 0),
    "kill_bridge": (0, 0),
    "kill_supervisor": (0, 0),
    "kill_api": (0, 0),
    "kill_driver": (0, 0),
    "kill_gcs": (0, 0),
    "second_owner": (0, 0),
    "cut_database": (0, 0),
    "restart_database": (0, 0),
    "kill_database": (0, 0),
    "crowd_database": (2.0, 5.0),
    "refuse_writes": (1.0, 4.0),
    "cut_broker": (0, 0),
    "kill_broker": (0, 0),
    "alarm_broker": (2.0, 6.0),
    "kill_cache": (0, 0),
    "flush_cache": (0, 0),
    "fuzz_inbox": (0, 0),
    "hang_product": (3.0, 7.0),
    "hang_payment": (3.0, 7.0),
    "hang_user": (3.0, 7.0),
    "kill_partners": (0, 0),
    "lose_holds": (0, 0),
    "say_again": (0, 0),
    "crowd_order": (0, 0),
}
OFTEN = ("kill_shard", "cut_database")


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault that is to begin ``at_s`` seconds after the load. ``pick`` in 0..1 chooses among its possible targets."""

    at_s: float
    kind: str
    lasts_s: float
    pick: float


def plan(seed: int, seconds: float, *, every_s: float, kinds: tuple[str, ...] = tuple(LASTING)) -> list[Planned]:
    """The faults of a run: one about each ``every_s`` seconds, none in the first and last moments of it."""
    rng = random.Random(f"faults/{seed}")
    planned: list[Planned] = []
    at_s = every_s
    deck: list[str] = []
    while kinds and at_s < seconds - every_s:
        if not deck:
            deck = [*kinds, *(kind for kind in OFTEN if kind in kinds)]
            rng.shuffle(deck)
        kind = deck.pop()
        shortest, longest = LASTING[kind]
        planned.append(Planned(at_s, kind, rng.uniform(shortest, longest), rng.random()))
        at_s += every_s * rng.uniform(0.5, 1.5)
    return planned
