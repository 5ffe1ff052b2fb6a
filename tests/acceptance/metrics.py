"""The metrics of the service under test."""

from __future__ import annotations

import urllib3
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.shop import Shop
from tests.acceptance.started import until

# One of a bulkhead that was asked, of a shard, and of the event bridge.
OF_EACH_KIND = {"ordersvc_call_outcomes", "ordersvc_commits", "ordersvc_consumed_messages"}


def scraped(shop: Shop, accept: str = "*/*") -> tuple[str, str]:
    """The text of the metrics, and its content type."""
    headers = {"Authorization": f"Bearer {shop.endpoints['token']}", "Accept": accept}
    answer = urllib3.request("GET", shop.endpoints["api"] + "/metrics", headers=headers)
    assert answer.status == 200
    return answer.data.decode(), answer.headers["content-type"]


def gathered(shop: Shop) -> dict[str, Metric]:
    """The service's own metrics by name, once the supervisor has figures of every kind of process."""

    def own() -> dict[str, Metric] | None:
        text, _ = scraped(shop)
        families = {family.name: family for family in text_string_to_metric_families(text)}
        found = {name: family for name, family in families.items() if name.startswith("ordersvc_")}
        return found if found.keys() >= OF_EACH_KIND else None

    return until(own, "the supervisor has gathered figures")
