"""Lists and figures over HTTP (contract.md, "Queries"): each filter and sort, cursors, and what a customer's token gets to see."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import redis

from tests.acceptance.scenarios import SHIPPED, do, new_order, pay
from tests.acceptance.shop import Shop


def new_customer() -> str:
    """A customer who has no orders yet."""
    return f"load-customer-{uuid4().int % 10_000_000}"


def page(shop: Shop, query: str, token: str | None = None) -> Any:
    """A page of orders."""
    status, found, _ = shop.ask("GET", f"/api/orders?{query}", token=token)
    assert status == 200, found
    return found


def ids(found: Any) -> list[str]:
    """The orders of a page."""
    return [order["id"] for order in found["data"]]


def pages(shop: Shop, query: str) -> Iterator[list[str]]:
    """The orders of one page after the other."""
    cursor = ""
    while True:
        found = page(shop, query + cursor)
        yield ids(found)
        assert found["page"]["has_more"] is (found["page"]["next_cursor"] is not None)
        if not found["page"]["has_more"]:
            return
        cursor = f"&cursor={found['page']['next_cursor']}"


@pytest.fixture(scope="module")
def customer() -> str:
    return new_customer()


@pytest.fixture(scope="module")
def orders(shop: Shop, customer: str) -> dict[str, Any]:
    """One customer's orders, the oldest first: paid in dollars, delivered, cancelled, partly paid, mismatched, unpaid."""
    of = {"customer_id": customer}
    dollars = new_order(shop, **of, currency="USD", items=[{"sku": "load-sku-5", "quantity": 1}])
    delivered = new_order(shop, **of)
    pay(shop, delivered["id"])
    shop.reached(delivered["id"], "prepared")
    for body in (SHIPPED, {"status": "delivered"}):
        do(shop, "PUT", f"/api/orders/{delivered['id']}/status", body)
    cancelled = new_order(shop, **of, items=[{"sku": "load-sku-7", "quantity": 3}])
    pay(shop, cancelled["id"], token="tok_insufficient_funds")
    do(shop, "DELETE", f"/api/orders/{cancelled['id']}")
    shop.reached(cancelled["id"], "cancelled")
    partly = new_order(shop, **of, items=[{"sku": "load-sku-1", "quantity": 50}])
    pay(shop, partly["id"], amount=100)
    mismatched = new_order(shop, **of, items=[{"sku": "load-sku-1", "quantity": 2}])
    pay(shop, mismatched["id"], token="tok_mismatch")
    unpaid = new_order(shop, **of, items=[{"sku": "load-sku-7", "quantity": 9}])
    made = {
        "dollars": dollars, "delivered": delivered, "cancelled": cancelled, "partly": partly, "mismatched": mismatched,
        "unpaid": unpaid,
    }  # fmt: skip
    return {name: shop.order(order["id"]) for name, order in made.items()}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "dollars delivered cancelled partly mismatched unpaid"),
        ("status=delivered&status=cancelled", "delivered cancelled"),
        ("status=validated", "dollars partly mismatched unpaid"),
        ("status=prepared", ""),
        ("payment_status=partially_paid", "partly mismatched"),
        ("payment_status=unpaid", "dollars cancelled unpaid"),
        ("payment_status=paid&status=delivered", "delivered"),
        ("needs_attention=true", "mismatched"),
        ("needs_attention=false&status=validated", "dollars partly unpaid"),
        ("sku=load-sku-7", "cancelled unpaid"),
        ("sku=load-sku-7&status=validated", "unpaid"),
        ("number={delivered[number]}", "delivered"),
        ("created_from={cancelled[created_at]}", "cancelled partly mismatched unpaid"),
        ("created_to={cancelled[created_at]}", "dollars delivered"),
        ("created_from={delivered[created_at]}&created_to={partly[created_at]}", "delivered cancelled"),
        ("total_min={partly[totals][total]}&total_max={partly[totals][total]}", "partly"),
    ],
)
def test_each_filter_finds_what_it_says(
    shop: Shop, customer: str, orders: dict[str, Any], query: str, names: str
) -> None:
    found = page(shop, f"customer_id={customer}&sort=created_at&{query.format(**orders)}")
    assert ids(found) == [orders[name]["id"] for name in names.split()]


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "total", "-total"])
def test_each_sort_goes_over_its_pages_in_order(shop: Shop, customer: str, orders: dict[str, Any], sort: str) -> None:
    def key(order: Any) -> tuple[Any, str]:
        value = order["totals"]["total"] if "total" in sort else order["created_at"]
        return value, order["id"]

    expected = [order["id"] for order in sorted(orders.values(), key=key, reverse=sort.startswith("-"))]
    found = list(pages(shop, f"customer_id={customer}&sort={sort}&limit=4"))
    assert [len(each) for each in found] == [4, 2]
    assert [*chain(*found)] == expected
    at_once = shop.ask("GET", f"/api/customers/{customer}/orders?sort={sort}")[1]
    assert ids(at_once) == expected


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "total", "-total"])
def test_pages_are_right_while_orders_are_made(shop: Shop, sort: str) -> None:
    """What was there at the first page comes once each; what is made meanwhile comes once at most."""
    customer = new_customer()
    before = [
        new_order(shop, customer_id=customer, items=[{"sku": "load-sku-3", "quantity": n}])["id"] for n in (5, 2, 8)
    ]
    made: list[str] = []
    seen: list[str] = []
    for found in pages(shop, f"customer_id={customer}&sort={sort}&limit=1"):
        seen += found
        if len(made) < 4:
            made.append(
                new_order(shop, customer_id=customer, items=[{"sku": "load-sku-3", "quantity": len(made) + 3}])["id"]
            )
    assert len(seen) == len(set(seen))
    assert set(before) <= set(seen) <= {*before, *made}
    assert [each for each in seen if each in before] == [
        each for found in pages(shop, f"customer_id={customer}&sort={sort}") for each in found if each in before
    ]


def test_a_cursor_is_signed_and_good_for_its_own_filters_and_sort_only(
    shop: Shop, customer: str, orders: dict[str, Any]
) -> None:
    own = f"customer_id={customer}&sort=total"
    cursor = page(shop, f"{own}&limit=1")["page"]["next_cursor"]
    assert len(ids(page(shop, f"{own}&limit=200&cursor={cursor}"))) == len(orders) - 1
    spoilt = [cursor[:n] + ("A" if cursor[n] != "A" else "B") + cursor[n + 1 :] for n in range(len(cursor) - 1)]
    others = [
        *(f"{own}&cursor={each}" for each in [*spoilt, cursor[:-4], ""]),
        f"customer_id={customer}&sort=-total&cursor={cursor}",
        f"{own}&status=validated&cursor={cursor}",
        f"customer_id=c-1001&sort=total&cursor={cursor}",
        f"sort=total&cursor={cursor}",
    ]
    for query in others:
        status, problem, _ = shop.ask("GET", f"/api/orders?{query}")
        assert (status, problem["code"]) == (400, "invalid_cursor"), query


def test_a_customers_token_lists_its_own_orders_and_no_others(
    shop: Shop, customer: str, orders: dict[str, Any]
) -> None:
    token = shop.token("orders:read", customer=customer)
    expected = [order["id"] for order in orders.values()]
    assert ids(page(shop, "sort=created_at", token)) == expected
    _, found, _ = shop.ask("GET", f"/api/customers/{customer}/orders?sort=created_at", token=token)
    assert ids(found) == expected
    another = shop.token("orders:read", customer=new_customer())
    assert ids(page(shop, "", another)) == []
    assert ids(page(shop, f"number={orders['delivered']['number']}", another)) == []
    for path in (f"/api/customers/{customer}/orders", f"/api/orders?customer_id={customer}"):
        status, problem, _ = shop.ask("GET", path, token=another)
        assert (status, problem["code"]) == (404, "customer_not_found")
    for path in (
        "",
        "/timeline",
        "/payments",
        "/payments/status",
        f"/payments/{orders['partly']['payments'][0]['payment_id']}",
    ):
        status, problem, _ = shop.ask("GET", f"/api/orders/{orders['partly']['id']}{path}", token=another)
        assert (status, problem["code"]) == (404, "order_not_found"), path


def test_a_customers_figures_are_those_of_its_own_orders(shop: Shop, customer: str, orders: dict[str, Any]) -> None:
    token = shop.token("orders:read", customer=customer)
    since = quote(orders["dollars"]["created_at"])

    def figures(query: str, who: str | None = token) -> Any:
        status, found, _ = shop.ask("GET", f"/api/orders/statistics?from={since}&{query}", token=who)
        assert status == 200, found
        return found

    told = figures("bucket=hour&group_by=currency")
    paid = sum(order["totals"]["paid"] for order in orders.values() if order["currency"] == "EUR")
    assert told["orders"] == len(orders)
    assert told["by_status"] == {"validated": 4, "delivered": 1, "cancelled": 1}
    assert told["cancelled"] == {"staff": 1}
    assert told["revenue"] == {"EUR": paid, "USD": 0}
    # Four attempts: delivered, rejected, a part, another amount than was asked for.
    assert told["payments"] == {"attempts": 4, "rejected": 1, "failure_rate": 0.25}
    assert told["stages"]["deliver"]["n"] == 1
    assert set(told["stages"]["validate"]) == {"n", "p50_ms", "p95_ms", "p99_ms"}
    assert sum(bucket["orders"] for bucket in told["buckets"]) == len(orders)
    assert all(one["start"] < other["start"] for one, other in pairwise(told["buckets"]))
    assert {group["key"]: group["orders"] for group in told["groups"]} == {"EUR": 5, "USD": 1}
    by_sku = {group["key"]: group["orders"] for group in figures("group_by=sku")["groups"]}
    assert by_sku == {"load-sku-1": 3, "load-sku-2": 1, "load-sku-5": 1, "load-sku-7": 2}
    assert figures("group_by=status", shop.token("orders:read", customer=new_customer()))["orders"] == 0


def test_figures_are_remembered_in_redis_and_say_how_old_they_are(shop: Shop) -> None:
    customer = new_customer()
    token = shop.token("orders:read", customer=customer)

    def figures() -> Any:
        return shop.ask("GET", "/api/orders/statistics", token=token)[1]

    before = figures()
    assert figures() == before
    new_order(shop, customer_id=customer)
    with redis.Redis.from_url(shop.endpoints["redis"]) as client:
        client.flushall()
    after = figures()
    assert (before["orders"], after["orders"]) == (0, 1)
    assert after["as_of"] > before["as_of"]
