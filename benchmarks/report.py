"""What a measurement leaves behind: figures, the targets they are held to, a table for people and JSON for programs.

A figure that falls short is printed as missed with its ratio to the target; nothing is rounded in its favour.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Verdict(StrEnum):
    """How a figure stands to its target."""

    MET = "met"
    MISSED = "missed"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Target:
    """What the figure ``key`` is held to: ``bound`` is a least where ``at_least``, else a most."""

    key: str
    bound: float
    at_least: bool

    def verdict(self, figure: float | None) -> Verdict:
        """Judge a figure; the bound itself is good enough."""
        if figure is None:
            return Verdict.NOT_MEASURED
        good = figure >= self.bound if self.at_least else figure <= self.bound
        return Verdict.MET if good else Verdict.MISSED

    def ratio(self, figure: float) -> float:
        """Tell how much of the target was reached: 1 is exactly met, more is better, whichever way it points."""
        numerator, denominator = (figure, self.bound) if self.at_least else (self.bound, figure)
        return numerator / denominator if denominator else float("inf")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for people; every cell is text already."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        """Lay the table out with aligned columns: the first to the left, numbers to the right."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        drawn = [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        return "\n".join([self.title, drawn[0], "  ".join("-" * width for width in widths), *drawn[1:]])


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a picture: ``y`` over ``x``."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What the picture shows; ``x`` values are drawn as categories."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of one measurement. ``notes`` say under which conditions a figure holds, or why it is void."""

    name: str
    machine: dict[str, str | int]
    figures: dict[str, float]
    targets: tuple[Target, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def text(self) -> str:
        """Give everything for a terminal: machine, tables, then each target with its verdict."""
        head = f"{self.name}: " + ", ".join(f"{key} {value}" for key, value in self.machine.items())
        parts = [head, *(table.text() for table in self.tables), *self.notes]
        if self.targets:
            parts.append(verdicts(self.targets, self.figures).text())
        return "\n\n".join(parts)

    def document(self) -> dict[str, object]:
        """Give the JSON form: ``{name, machine, figures{key: number}, targets{key: number}}``."""
        return {
            "name": self.name,
            "machine": self.machine,
            "figures": self.figures,
            "targets": {target.key: target.bound for target in self.targets},
        }


def verdicts(targets: Sequence[Target], figures: dict[str, float]) -> Table:
    """Hold the figures to their targets, one row each."""
    rows = []
    for target in targets:
        figure = figures.get(target.key)
        verdict = target.verdict(figure)
        word = f"{verdict} ({target.ratio(figure):.2f} of it)" if figure is not None else str(verdict)
        sign = ">=" if target.at_least else "<="
        rows.append((target.key, "-" if figure is None else number(figure), f"{sign} {number(target.bound)}", word))
    return Table("targets", ("figure", "measured", "target", "verdict"), tuple(rows))


def overview(reports: Sequence[Report]) -> Table:
    """Hold the figures of several reports to their targets in one table."""
    rows = [
        (f"{report.name}: {row[0]}", *row[1:])
        for report in reports
        for row in verdicts(report.targets, report.figures).rows
    ]
    return Table("every figure that has a target", ("figure", "measured", "target", "verdict"), tuple(rows))


def number(value: float) -> str:
    """Write a number with three figures that count, and thousands apart."""
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124  NaN is the only value unlike itself
        return str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def together(reports: Sequence[Report]) -> dict[str, object]:
    """Join several reports into one document of the same shape; keys are ``<report>.<figure>``."""
    return {
        "name": "all",
        "machine": reports[0].machine if reports else {},
        "figures": {f"{report.name}.{key}": value for report in reports for key, value in report.figures.items()},
        "targets": {f"{report.name}.{target.key}": target.bound for report in reports for target in report.targets},
    }


def write_json(path: Path, reports: Sequence[Report]) -> None:
    """Write one report as it is, several joined."""
    document = reports[0].document() if len(reports) == 1 else together(reports)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
