"""The metrics as Prometheus text: this API's own, and what the supervisor has gathered from the other processes.

It only gathers. With the supervisor away the API's own figures are told, and that it is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

_log = structlog.get_logger()

REPORT_TIMEOUT_S = 2.0
TASKS_FAILED = Counter(
    "ordersvc_http_tasks_failed", "Failures that nothing foresaw in work that runs by itself", ["task"]
)
_TOTAL = "_total"


class Figures:
    """Gathers the metrics when they are asked for."""

    def __init__(self, report: Callable[[], Awaitable[Mapping[str, Any]]], folder: Path | None) -> None:
        """``report``: the supervisor's. ``folder``: where several API processes keep their figures, or None for one."""
        self._report = report
        self._folder = folder

    async def text(self) -> bytes:
        """Give them all; never raises."""
        registry = CollectorRegistry()
        registry.register(ReportCollector(await self._reported()))
        return generate_latest(self._own()) + generate_latest(registry)

    def _own(self) -> CollectorRegistry:
        if self._folder is None:
            return REGISTRY
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._folder))  # type: ignore[no-untyped-call]
        return registry

    async def _reported(self) -> Mapping[str, Any] | None:
        try:
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                return await self._report()
        except Exception as error:  # noqa: BLE001 - whatever keeps the supervisor from answering, the metrics say so
            _log.warning("report_not_had", error=type(error).__name__)
            return None


class ReportCollector(Collector):
    """The supervisor's report as metrics; a figure is named after itself and has the process as a label."""

    def __init__(self, report: Mapping[str, Any] | None) -> None:
        self._report = report

    def collect(self) -> Iterable[Metric]:
        """Give the families."""
        report = self._report
        yield GaugeMetricFamily("ordersvc_supervisor_up", "The supervisor answers", value=float(report is not None))
        if report is None:
            return
        up = GaugeMetricFamily(
            "ordersvc_process_up", "The process is up, as the supervisor sees it", labels=["process"]
        )
        is_up = set(report["up"])
        for name in report["expected"]:
            up.add_metric([name], float(name in is_up))
        yield up
        alerts = CounterMetricFamily("ordersvc_alerts", "Alerts that the supervisor has raised", labels=["alert"])
        for name, count in report["alerts"].items():
            alerts.add_metric([name], float(count))
        yield alerts
        for name, value in report["supervisor"].items():
            yield _family(f"ordersvc_supervisor_{name}", {}, float(value))
        by_figure: dict[str, dict[str, float]] = {}
        for process, figures in report["processes"].items():
            for name, value in figures.items():
                by_figure.setdefault(name, {})[process] = float(value)
        for name, values in sorted(by_figure.items()):
            yield _family(f"ordersvc_{name}", values)


def _family(name: str, values: Mapping[str, float], value: float | None = None) -> Metric:
    """A counter where the name says so, else a gauge; with one value, or one for each process."""
    if name.endswith(_TOTAL):
        counter = CounterMetricFamily(
            name.removesuffix(_TOTAL),
            "See docs/operations.md",
            value=value,
            labels=None if value is not None else ["process"],
        )
        for process, each in values.items():
            counter.add_metric([process], each)
        return counter
    gauge = GaugeMetricFamily(
        name, "See docs/operations.md", value=value, labels=None if value is not None else ["process"]
    )
    for process, each in values.items():
        gauge.add_metric([process], each)
    return gauge
