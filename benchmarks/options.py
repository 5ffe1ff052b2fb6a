"""What the command line says about how to measure; one frozen value, handed to every measurement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``quick``: small sizes, to see that it works. ``state``: the folder of a running service, else one is started.

    ``peers``: the other engines too. ``rounds``: how often each side has its turn.
    """

    rounds: int = 3
    quick: bool = False
    peers: bool = False
    state: Path | None = None

    def size(self, full: int, quick: int) -> int:
        """Choose between a whole measurement and a look."""
        return quick if self.quick else full
