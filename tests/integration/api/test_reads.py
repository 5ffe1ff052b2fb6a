from __future__ import annotations

from datetime import timedelta
from typing import Any

import aio_pika

from api.access.rate_limit import RateLimits
from api.access.security import Caller
from api.problems import Problem
from messaging import topology
from tests.integration.api.conftest import RealWorld
from tests.integration.storage.orders import NOW, a_commit, an_order
from tests.unit.api.harness import token

ADMIN = token("admin")


async def pages_of(real: RealWorld, query: str) -> list[list[str]]:
    """The ids of every page of a list."""
    pages: list[list[str]] = []
    cursor = ""
    while True:
        answered = await real.ask("GET", "/api/orders", query=f"{query}{cursor}", token=ADMIN)
        assert answered.status == 200, answered.body
        pages.append([order["id"] for order in answered.json["data"]])
        if not answered.json["page"]["has_more"]:
            return pages
        cursor = f"&cursor={answered.json['page']['next_cursor']}"


async def test_an_order_is_read_as_it_was_committed(real: RealWorld) -> None:
    order = an_order()
    await real.store.flush(*real.lease, [a_commit(order)])
    shown = await real.ask("GET", f"/api/orders/{order.id}")
    assert (shown.status, shown.headers["etag"]) == (200, '"1"')
    assert shown.json["items"][0]["sku"] == "sku-1"
    timeline = (await real.ask("GET", f"/api/orders/{order.id}/timeline")).json
    assert timeline["data"][0]["changed"] == ["status"]
    assert (await real.ask("GET", f"/api/orders/{order.id}/payments/status")).json["payment_status"] == "unpaid"


async def test_pages_follow_each_other_without_gap_or_repeat(real: RealWorld) -> None:
    orders = [an_order(created_at=NOW + timedelta(microseconds=n // 2)) for n in range(7)]
    await real.store.flush(*real.lease, [a_commit(order) for order in orders])
    for sort in ("created_at", "-created_at", "total", "-total"):
        pages = await pages_of(real, f"limit=3&sort={sort}")
        assert [len(page) for page in pages] == [3, 3, 1]
        assert {order_id for page in pages for order_id in page} == {order.id for order in orders}
    newest_first = [order_id for page in await pages_of(real, "limit=2") for order_id in page]
    expected = sorted(orders, key=lambda order: (order.created_at, order.id), reverse=True)
    assert newest_first == [order.id for order in expected]


async def test_statistics_come_from_postgresql_and_are_remembered_in_redis(real: RealWorld) -> None:
    question: dict[str, Any] = {"query": "from=2026-01-01&to=2026-02-01&bucket=day&group_by=sku", "token": ADMIN}
    first = (await real.ask("GET", "/api/orders/statistics", **question)).json
    assert first["orders"] == 0
    await real.store.flush(*real.lease, [a_commit(an_order())])
    again = (await real.ask("GET", "/api/orders/statistics", **question)).json
    assert again == first
    other = (await real.ask("GET", "/api/orders/statistics", query="from=2026-01-01&to=2026-02-02", token=ADMIN)).json
    assert other["orders"] == 1


async def test_promotions_are_kept(real: RealWorld) -> None:
    new = {"code": "P", "kind": "fixed_amount", "amount": 500, "currency": "EUR", "starts_at": "2026-01-01T00:00:00Z"}
    assert (await real.ask("POST", "/api/promotions", json=new, key="k")).status == 201
    assert (await real.ask("POST", "/api/promotions", json=new, key="k")).headers["idempotent-replayed"] == "true"
    assert (await real.ask("POST", "/api/promotions", json=new)).status == 409
    assert (await real.ask("PATCH", "/api/promotions/P", json={"active": False})).json["active"] is False
    assert [each["code"] for each in (await real.ask("GET", "/api/promotions")).json["data"]] == ["P"]
    assert (await real.ask("DELETE", "/api/promotions/P")).status == 204


async def test_two_processes_count_a_tokens_requests_in_redis_together(real: RealWorld) -> None:
    caller = Caller(subject="s", scopes=frozenset(), customer_id=None, token_id="d", is_admin=False)
    processes = [RateLimits(real.cache, per_min=300, clock=lambda: 600.0) for _ in range(2)]
    refused = 0
    for n in range(310):
        try:
            await processes[n % 2].count(caller)
        except Problem:
            refused += 1
    assert refused == 10


async def test_health_tells_who_answers(real: RealWorld) -> None:
    document = (await real.ask("GET", "/health/ready", token=None)).json
    states = {name: each["status"] for name, each in document["dependencies"].items()}
    assert states == {"postgresql": "ok", "redis": "ok", "rabbitmq": "ok", "payment": "down"}
    assert document["status"] == "degraded"


async def test_a_dead_letter_is_looked_at_and_sent_again(real: RealWorld, amqp_url: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        await topology.declare(connection)
        channel = await connection.channel()
        letter = aio_pika.Message(b"no JSON", message_id="m-1", headers={"x-reason": "unreadable"})
        await channel.default_exchange.publish(letter, topology.DEAD_LETTERS)
    (listed,) = (await real.ask("GET", "/api/dead-letters", token=ADMIN)).json["data"]
    assert (listed["reason"], listed["body"]) == ("unreadable", "no JSON")
    resend = f"/api/dead-letters/{listed['id']}/resend"
    assert (await real.ask("POST", resend, token=ADMIN)).status == 204
    assert (await real.ask("POST", resend, token=ADMIN)).code == "dead_letter_not_found"
