"""Pictures of reports: one SVG a report, its charts beside each other. The only home of matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Report

mpl.use("svg")
from matplotlib import pyplot as plt

INCHES_WIDE = 6.0
INCHES_HIGH = 4.0


def draw(report: Report, path: Path) -> bool:
    """Write the report's charts as SVG; False when it has none. Values are labelled: the picture stands alone."""
    if not report.charts:
        return False
    size = (INCHES_WIDE * len(report.charts), INCHES_HIGH)
    figure, axes = plt.subplots(1, len(report.charts), figsize=size, squeeze=False, layout="constrained")
    for axis, chart in zip(axes[0], report.charts, strict=True):
        for series in chart.series:
            ticks = [f"{x:g}" for x in series.x]
            axis.plot(ticks, series.y, marker="o", label=series.label)
            for tick, y in zip(ticks, series.y, strict=True):
                axis.annotate(
                    f"{y:,.0f}" if y >= 100 else f"{y:.3g}",
                    (tick, y),
                    textcoords="offset points",
                    xytext=(0, 5),
                    fontsize=8,
                )
        axis.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
        axis.set_ylim(bottom=0)
        axis.grid(visible=True, alpha=0.3)
        axis.legend()
    machine = report.machine
    figure.suptitle(f"{report.name}: {machine.get('cpu')}, {machine.get('cores')} cores", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg")
    plt.close(figure)
    return True
