from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.figures import Figures

REPORT: dict[str, Any] = {
    "up": ["order-shard-0"],
    "expected": ["order-shard-0", "order-shard-1"],
    "supervisor": {"replaced_total": 2},
    "processes": {"order-shard-0": {"resident_orders": 7, "committed_total": 9.0}},
    "alerts": {"hung_process": 3},
}


async def test_what_the_supervisor_gathered_is_told_by_process() -> None:
    async def report() -> Mapping[str, Any]:
        return REPORT

    text = (await Figures(report, None).text()).decode()
    for line in (
        "ordersvc_supervisor_up 1.0",
        'ordersvc_process_up{process="order-shard-0"} 1.0',
        'ordersvc_process_up{process="order-shard-1"} 0.0',
        "ordersvc_supervisor_replaced_total 2.0",
        'ordersvc_resident_orders{process="order-shard-0"} 7.0',
        'ordersvc_committed_total{process="order-shard-0"} 9.0',
        'ordersvc_alerts_total{alert="hung_process"} 3.0',
    ):
        assert f"\n{line}\n" in text


async def test_without_a_supervisor_the_other_figures_are_told() -> None:
    async def report() -> Mapping[str, Any]:
        raise OSError("gone")

    text = (await Figures(report, None).text()).decode()
    assert "\nordersvc_supervisor_up 0.0\n" in text
    assert "ordersvc_http_requests_under_way" in text
