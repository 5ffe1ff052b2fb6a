"""Two sides beside each other: medians of their turns, and what is ours to what is the other's. Arithmetic and text only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.report import Table, number
from benchmarks.samples import middle

Figures = dict[str, float]

OURS = "ours"
BESIDE = "beside"
RATIO = "ratio"
# What is measured twice on a quiet machine differs by so much.
NO_WORSE_MIN = 0.95
NO_DEARER_MAX = 1 / NO_WORSE_MIN


def medians(turns: Sequence[Mapping[str, float]]) -> Figures:
    """The median of each figure that all turns have; raises ``ValueError`` when there are no turns."""
    if not turns:
        raise ValueError("no turns")
    return {key: middle([turn[key] for turn in turns]) for key in turns[0] if all(key in turn for turn in turns)}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures of both sides under the same keys."""

    ours: Figures
    beside: Figures

    def ratio(self, key: str) -> float | None:
        """Ours to the other's; None where one of the two has no such figure, or the other's is 0."""
        if key not in self.ours or not self.beside.get(key):
            return None
        return self.ours[key] / self.beside[key]

    def figures(self) -> Figures:
        """All of it in one: ``ours.KEY``, ``beside.KEY``, and ``ratio.KEY`` where there is one."""
        both = {f"{OURS}.{key}": figure for key, figure in self.ours.items()}
        both |= {f"{BESIDE}.{key}": figure for key, figure in self.beside.items()}
        ratios = {f"{RATIO}.{key}": self.ratio(key) for key in self.ours}
        return both | {key: ratio for key, ratio in ratios.items() if ratio is not None}

    def table(self, title: str, rows: Iterable[tuple[str, str]]) -> Table:
        """A row for each (label, key) that one of the sides has a figure for."""
        cells = tuple(
            (label, _text(self.ours.get(key)), _text(self.beside.get(key)), _text(self.ratio(key)))
            for label, key in rows
            if key in self.ours or key in self.beside
        )
        return Table(title, ("", OURS, BESIDE, RATIO), cells)


def compare(turns: Mapping[str, Sequence[Mapping[str, float]]]) -> Comparison:
    """The medians of both sides' turns, by the sides' names."""
    return Comparison(medians(turns[OURS]), medians(turns[BESIDE]))


def _text(figure: float | None) -> str:
    return "-" if figure is None else number(figure)
