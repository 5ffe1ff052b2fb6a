"""Limits of promotions under concurrent orders: so many win and no more, and what a cancelled order used is there again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from tests.acceptance.shop import Shop

LIMIT = 10
ORDERS = 50


def a_promotion(shop: Shop, **terms: Any) -> str:
    """A code for ten percent off, with these terms."""
    code = f"T{uuid4().hex[:12].upper()}"
    body = {"code": code, "kind": "percentage", "fraction": "0.1000", **terms}
    status, told, _ = shop.ask("POST", "/api/promotions", body, key=str(uuid4()))
    assert status == 201, told
    return code


def order_with(shop: Shop, customer: str, *codes: str) -> tuple[int, Any]:
    """Status and document of a creation that names the codes, once it is validated."""
    body = {
        "customer_id": customer,
        "currency": "EUR",
        "items": [{"sku": "load-sku-1", "quantity": 3}, {"sku": "load-sku-2", "quantity": 1}],
        "discount_codes": list(codes),
    }
    status, told, _ = shop.ask("POST", "/api/orders", body, key=str(uuid4()), Prefer="wait=20")
    return status, told


def test_of_fifty_orders_at_once_as_many_win_as_the_promotion_has_uses(shop: Shop) -> None:
    code = a_promotion(shop, max_uses=LIMIT)
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda n: order_with(shop, f"load-customer-{n + 1}", code), range(ORDERS)))
    won = [order for status, order in answers if status == 201]
    lost = [(status, problem["code"]) for status, problem in answers if status != 201]
    assert len(won) == LIMIT
    assert lost == [(422, "discount_exhausted")] * (ORDERS - LIMIT)
    for order in won:
        assert order["status"] == "validated"
        discount = order["totals"]["discount"]
        assert [(each["code"], each["amount"]) for each in order["discounts"]] == [(code, discount)]
        assert sum(item["discount"] for item in order["items"]) == discount > 0
    # What a cancelled order had used is there for another, once.
    assert shop.ask("DELETE", f"/api/orders/{won[0]['id']}")[0] in (200, 202)
    shop.reached(won[0]["id"], "cancelled")
    assert [order_with(shop, "load-customer-90", code)[0] for _ in range(2)] == [201, 422]


def test_a_customer_uses_a_promotion_as_often_as_a_customer_may(shop: Shop) -> None:
    code = a_promotion(shop, max_uses_per_customer=1)
    first, again = order_with(shop, "load-customer-91", code), order_with(shop, "load-customer-91", code)
    assert (first[0], again[0], again[1]["code"]) == (201, 422, "discount_exhausted")
    assert order_with(shop, "load-customer-92", code)[0] == 201


def test_promotions_are_combined_only_where_both_may_be(shop: Shop) -> None:
    alone, with_others, too = a_promotion(shop), a_promotion(shop, combinable=True), a_promotion(shop, combinable=True)
    status, problem = order_with(shop, "load-customer-93", with_others, alone)
    assert (status, problem["code"]) == (422, "discount_not_combinable")
    status, order = order_with(shop, "load-customer-93", with_others, too)
    assert (status, len(order["discounts"])) == (201, 2)


def test_a_promotion_for_some_skus_touches_their_lines_only(shop: Shop) -> None:
    status, order = order_with(shop, "load-customer-94", a_promotion(shop, skus=["load-sku-2"]))
    assert status == 201
    shares = {item["sku"]: item["discount"] for item in order["items"]}
    assert shares["load-sku-1"] == 0
    assert shares["load-sku-2"] == order["totals"]["discount"] > 0
