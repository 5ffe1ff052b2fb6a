"""What the command line says about how to measure; one frozen value, handed to every measurement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``quick``: small sizes, to see that it works. ``state``: the folder of a running service, else one is started.

    ``peers``: the other engines too. ``rounds``: how often each side has its turn. ``levels``: how many at once; empty: the
    measurement's own. ``beside``: the folder of another version of this project; with ``beside_command``, of any service of the
    same contract that the command starts there. ``open_rates``: lives at constant rates too.
    """

    rounds: int = 3
    quick: bool = False
    peers: bool = False
    state: Path | None = None
    levels: tuple[int, ...] = ()
    beside: Path | None = None
    beside_command: str = ""
    open_rates: bool = False

    def size(self, full: int, quick: int) -> int:
        """Choose between a whole measurement and a look."""
        return quick if self.quick else full
