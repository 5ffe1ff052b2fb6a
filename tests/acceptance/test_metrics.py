"""The metrics of a running service are as Prometheus's conventions want them, and are told in the form that is asked for."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from actors.process_metrics import UNKNOWN
from tests.acceptance.metrics import gathered, scraped
from tests.acceptance.shop import Shop
from tests.acceptance.test_published import whole_life
from tests.tools.promtool import findings_of

# What Prometheus 2.50 asks with.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,*/*;q=0.1"
)


@pytest.fixture(scope="module", autouse=True)
def _lived(shop: Shop) -> None:
    whole_life(shop)
    gathered(shop)


def test_promtool_finds_nothing_in_them(shop: Shop) -> None:
    assert findings_of(scraped(shop)[0]) == []


def test_each_says_what_it_is_and_none_is_missing_from_the_table_of_metrics(shop: Shop) -> None:
    families = gathered(shop)
    helps = {name: family.documentation for name, family in families.items()}
    assert {name for name, text in helps.items() if not text or text == UNKNOWN} == set()


def test_what_became_of_calls_and_messages_is_a_label(shop: Shop) -> None:
    families = gathered(shop)
    calls = {sample.labels["outcome"]: sample.value for sample in families["ordersvc_call_outcomes"].samples}
    assert calls["payment_answered"] >= 2
    assert calls["hold_answered"] >= 1
    attempts = families["ordersvc_call_attempt_seconds"]
    counted = {each.labels["process"]: each.value for each in attempts.samples if each.name.endswith("_count")}
    assert attempts.type == "histogram"
    assert counted["bulkhead-payment"] >= 2
    messages = {sample.labels["outcome"] for sample in families["ordersvc_consumed_messages"].samples}
    assert messages == {"delivered", "retried", "dead_lettered"}


def test_they_are_openmetrics_where_that_is_asked_for_and_have_no_series_of_creation_times(shop: Shop) -> None:
    plain, plain_type = scraped(shop)
    text, content_type = scraped(shop, PROMETHEUS)
    assert plain_type.startswith("text/plain")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    names = {family.name for family in openmetrics_families(text)}  # type: ignore[no-untyped-call]
    assert names == {family.name for family in text_string_to_metric_families(plain)}
    assert not [line for line in (plain + text).splitlines() if "_created" in line]
