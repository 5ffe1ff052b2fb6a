"""The metrics: this API's own, and what the supervisor has gathered from the other processes.

It only gathers. With the supervisor away the API's own metrics are given, and that it is away. The caller chooses the form, Prometheus
text or OpenMetrics, by the header ``Accept``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from actors.process_metrics import BUCKET_LABEL, PROCESS_METRICS, SUM, SUPERVISOR_METRICS, UNKNOWN, ProcessMetric

_log = structlog.get_logger()

REPORT_TIMEOUT_S = 2.0
TASKS_FAILED = Counter(
    "ordersvc_http_tasks_failed", "Failures that nothing foresaw in work that runs by itself", ["task"]
)
PREFIX = "ordersvc_"
_TOTAL = "_total"


class ServiceMetrics:
    """Gathers the metrics when they are asked for."""

    def __init__(self, report: Callable[[], Awaitable[Mapping[str, Any]]], folder: Path | None) -> None:
        """``report``: the supervisor's. ``folder``: where several API processes keep their figures, or None for one."""
        self._report = report
        self._folder = folder
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, that says when it began

    async def text(self, accept: str = "") -> tuple[bytes, str]:
        """Give them all, and their content type: OpenMetrics where ``accept`` names it, else Prometheus text. Never raises."""
        reported = ReportCollector(await self._reported())
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return encode(Merged(self._own(), reported)), content_type

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
        except Exception as error:  # noqa: BLE001 - any error means that the supervisor is away: the metrics say so
            _log.warning("report_not_had", error=type(error).__name__)
            return None


class Merged(Collector):
    """The metrics of several collectors, each metric once: a text that describes one twice is refused by those who read it."""

    def __init__(self, *collectors: Collector) -> None:
        self._collectors = collectors

    def collect(self) -> Iterable[Metric]:
        """Give the families."""
        families: dict[str, Metric] = {}
        for collector in self._collectors:
            for family in collector.collect():
                first = families.setdefault(family.name, family)
                if first is not family:
                    first.samples += family.samples
        return families.values()


class ReportCollector(Collector):
    """The supervisor's report as metrics; one that processes report has the process as a label."""

    def __init__(self, report: Mapping[str, Any] | None) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """Give the families."""
        report = self._report
        yield GaugeMetricFamily(f"{PREFIX}supervisor_up", "The supervisor answers", value=float(report is not None))
        if report is None:
            return
        up = GaugeMetricFamily(
            f"{PREFIX}process_up", "The process is up, as the supervisor sees it", labels=["process"]
        )
        is_up = set(report["up"])
        for name in report["expected"]:
            up.add_metric([name], float(name in is_up))
        yield up
        alerts = CounterMetricFamily(f"{PREFIX}alerts", "Alerts that the supervisor has raised", labels=["alert"])
        for name, count in report["alerts"].items():
            alerts.add_metric([name], float(count))
        yield alerts
        for name, value in report["supervisor"].items():
            family = _family(f"{PREFIX}supervisor_{name}", SUPERVISOR_METRICS.get(name, ProcessMetric(UNKNOWN)), [])
            family.add_metric([], float(value))
            yield family
        by_metric: dict[str, dict[str, dict[str, float]]] = {}
        for process, figures in report["processes"].items():
            for figure, value in figures.items():
                name, _, label = figure.partition(":")
                by_metric.setdefault(name, {}).setdefault(process, {})[label] = float(value)
        for name, values in sorted(by_metric.items()):
            yield _of_processes(name, values)


def _of_processes(name: str, values: Mapping[str, Mapping[str, float]]) -> Metric:
    """The family of a metric that processes report; its figures by process, and then by the value of its label, if it has one."""
    metric = PROCESS_METRICS.get(name, ProcessMetric(UNKNOWN))
    if metric.label == BUCKET_LABEL:
        return _histogram(name, metric, values)
    family = _family(f"{PREFIX}{name}", metric, ["process", *([metric.label] if metric.label else [])])
    for process, figures in values.items():
        for label, value in figures.items():
            family.add_metric([process, *([label] if metric.label else [])], value)
    return family


def _histogram(name: str, metric: ProcessMetric, values: Mapping[str, Mapping[str, float]]) -> Metric:
    family = HistogramMetricFamily(f"{PREFIX}{name}", metric.help, labels=["process"])
    for process, figures in values.items():
        bounds = sorted((bound for bound in figures if bound != SUM), key=float)
        at_most = accumulate(figures[bound] for bound in bounds)
        family.add_metric([process], list(zip(bounds, at_most, strict=True)), figures[SUM])
    return family


def _family(name: str, metric: ProcessMetric, labels: list[str]) -> CounterMetricFamily | GaugeMetricFamily:
    """A counter where the name says so, else a gauge."""
    if name.endswith(_TOTAL):
        return CounterMetricFamily(name.removesuffix(_TOTAL), metric.help, labels=labels)
    return GaugeMetricFamily(name, metric.help, labels=labels)
