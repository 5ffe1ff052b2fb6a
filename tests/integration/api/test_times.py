from __future__ import annotations

import pytest

from tests.integration.api.conftest import RealWorld
from tests.integration.storage.orders import a_commit, an_order
from tests.unit.api.harness import token

ADMIN = token("admin")
FIRST = ("0001-01-01T00:00:00Z", "0001-01-01T05:30:00+05:30", "0000-12-31T12:00:00-12:00")
LAST = ("9999-12-31T23:59:59.999999Z", "9999-12-31T11:59:59.999999-12:00")
INSIDE = (*FIRST, *LAST, "0001-01-01", "9999-12-31T12:00:00Z", "0001-01-01T12:00:00Z")
OUTSIDE = ("0001-01-01T00:00:00%2B00:01", "0000-12-31", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00Z")
QUESTIONS = (
    ("/api/orders", "created_from"),
    ("/api/orders", "created_to"),
    ("/api/customers/c-1001/orders", "created_from"),
    ("/api/orders/statistics", "from"),
    ("/api/orders/statistics", "to"),
)


@pytest.mark.parametrize("customer", [None, "c-1001"])
async def test_times_at_both_ends_of_all_time_are_answered(real: RealWorld, customer: str | None) -> None:
    """They were 500: some could not be brought to UTC, others not reckoned with."""
    await real.store.flush(*real.lease, [a_commit(an_order())])
    bearer = token(customer_id=customer) if customer else ADMIN
    for path, name in QUESTIONS:
        other = {"from": "&to=9999-12-31T23:59:59.999999Z", "to": "&from=0001-01-01"}.get(name, "")
        more = "&bucket=day" if name == "to" else ""
        for text in INSIDE:
            answered = await real.ask("GET", path, query=f"{name}={text}{other}", token=bearer)
            assert answered.status == 200, (path, name, text, answered.body)
        for text in OUTSIDE:
            answered = await real.ask("GET", path, query=f"{name}={text}{other}{more}", token=bearer)
            assert (answered.status, answered.code) == (422, "time_out_of_range"), (path, name, text)
            assert answered.json["errors"][0]["pointer"] == f"/{name}"
    every = await real.ask(
        "GET", "/api/orders/statistics", query=f"from={FIRST[0]}&to={LAST[0]}&group_by=currency", token=bearer
    )
    assert every.json["orders"] == 1
    for query, found in ((f"created_from={FIRST[1]}".replace("+", "%2B"), 1), (f"created_from={LAST[0]}", 0)):
        page = await real.ask("GET", "/api/orders", query=f"{query}&created_to={LAST[1]}", token=bearer)
        assert len(page.json["data"]) == found
