from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from actors.process_metrics import histogram
from api.monitoring.metrics import Merged, ReportCollector, ServiceMetrics

REPORT: dict[str, Any] = {
    "up": ["order-shard-0"],
    "expected": ["order-shard-0", "order-shard-1"],
    "supervisor": {"replaced_total": 2},
    "processes": {
        "order-shard-0": {"resident_orders": 7, "commits_total": 9.0, "of_tomorrow": 1.0},
        "bulkhead-user": {
            "call_outcomes_total:not_sent": 4.0,
            "call_outcomes_total:declined": 1.0,
            **histogram("call_attempt_seconds", (0.1, 1.0), (3, 2, 1), 7.5),
        },
    },
    "alerts": {"hung_process": 3},
}


async def reported() -> Mapping[str, Any]:
    return REPORT


async def gone() -> Mapping[str, Any]:
    raise OSError("gone")


async def text_of(accept: str = "") -> str:
    return (await ServiceMetrics(reported, None).text(accept))[0].decode()


async def test_what_the_supervisor_gathered_is_told_by_process() -> None:
    text = await text_of()
    for line in (
        "ordersvc_supervisor_up 1.0",
        'ordersvc_process_up{process="order-shard-0"} 1.0',
        'ordersvc_process_up{process="order-shard-1"} 0.0',
        "ordersvc_supervisor_replaced_total 2.0",
        'ordersvc_resident_orders{process="order-shard-0"} 7.0',
        'ordersvc_commits_total{process="order-shard-0"} 9.0',
        'ordersvc_alerts_total{alert="hung_process"} 3.0',
    ):
        assert f"\n{line}\n" in text


async def test_what_became_of_something_is_a_label() -> None:
    text = await text_of()
    assert text.count("# TYPE ordersvc_call_outcomes_total counter") == 1
    assert '\nordersvc_call_outcomes_total{outcome="not_sent",process="bulkhead-user"} 4.0\n' in text
    assert '\nordersvc_call_outcomes_total{outcome="declined",process="bulkhead-user"} 1.0\n' in text


async def test_a_histogram_counts_all_up_to_each_bound() -> None:
    text = await text_of()
    for line in (
        "# TYPE ordersvc_call_attempt_seconds histogram",
        'ordersvc_call_attempt_seconds_bucket{le="0.1",process="bulkhead-user"} 3.0',
        'ordersvc_call_attempt_seconds_bucket{le="1.0",process="bulkhead-user"} 5.0',
        'ordersvc_call_attempt_seconds_bucket{le="+Inf",process="bulkhead-user"} 6.0',
        'ordersvc_call_attempt_seconds_count{process="bulkhead-user"} 6.0',
        'ordersvc_call_attempt_seconds_sum{process="bulkhead-user"} 7.5',
    ):
        assert f"\n{line}\n" in text


async def test_each_says_what_it_is_and_one_of_another_release_that_it_is_not_known() -> None:
    text = await text_of()
    assert "\n# HELP ordersvc_resident_orders Orders whose actors are in memory\n" in text
    assert "\n# HELP ordersvc_supervisor_replaced_total Processes that were replaced because they hung\n" in text
    assert "\n# HELP ordersvc_of_tomorrow A figure that a process of another release reports\n" in text


async def test_without_a_supervisor_the_other_figures_are_told() -> None:
    text, _ = await ServiceMetrics(gone, None).text()
    assert b"\nordersvc_supervisor_up 0.0\n" in text
    assert b"ordersvc_http_requests_under_way" in text


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0,*/*;q=0.1", "application/openmetrics-text; version=1.0.0;"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0;"),
        ("application/openmetrics-text; version=0.0.1", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text; version=new", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/json, nonsense;;=", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
async def test_who_asks_chooses_the_form(accept: str, content_type: str) -> None:
    text, told = await ServiceMetrics(reported, None).text(accept)
    assert told.startswith(content_type)
    assert text.endswith(b"# EOF\n") == told.startswith("application/openmetrics-text")


async def test_openmetrics_can_be_read_and_no_series_says_when_another_began() -> None:
    text = await text_of("application/openmetrics-text")
    read = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    families = {each.name: each for each in read}
    assert families["ordersvc_call_outcomes"].type == "counter"
    assert not [
        sample.name for family in families.values() for sample in family.samples if sample.name.endswith("_created")
    ]


def test_a_metric_that_both_the_api_and_processes_have_is_described_once() -> None:
    """Prometheus refuses all of a text that describes a metric twice."""
    own = CollectorRegistry()
    Counter("ordersvc_unreadable_promotions", "Those of the API", registry=own).inc()
    report = {**REPORT, "processes": {"order-shard-0": {"unreadable_promotions_total": 2.0}}}
    families = [
        each for each in Merged(own, ReportCollector(report)).collect() if each.name == "ordersvc_unreadable_promotions"
    ]
    values = {
        sample.labels.get("process"): sample.value
        for family in families
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    assert (len(families), values) == (1, {None: 1.0, "order-shard-0": 2.0})
