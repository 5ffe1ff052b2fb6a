"""Promotions over HTTP: what each kind takes off, and their limits under concurrent orders: so many win and no more, and what a
cancelled order used is there again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.shop import Shop

LIMIT = 10
ORDERS = 50


def a_promotion(shop: Shop, **terms: Any) -> str:
    """A code with these terms; for ten percent off, where no kind is named."""
    code = f"T{uuid4().hex[:12].upper()}"
    ten_percent = {} if "kind" in terms else {"kind": "percentage", "fraction": "0.1000"}
    body = {"code": code, **ten_percent, **terms}
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


def test_a_code_is_taken_removed_and_counted_whatever_its_case(shop: Shop) -> None:
    code = a_promotion(shop, max_uses=1)
    status, order = order_with(shop, "load-customer-97", code.lower(), code.title())
    assert (status, [each["code"] for each in order["discounts"]]) == (201, [code])
    assert order_with(shop, "load-customer-98", code.lower())[1]["code"] == "discount_exhausted"
    path = f"/api/orders/{order['id']}/discounts"
    assert shop.ask("POST", path, {"code": code.title()})[0] == 200
    assert shop.ask("DELETE", f"{path}/{code.lower()}")[0] == 200
    assert shop.reached(order["id"], "validated")["discounts"] == []
    status, order = order_with(shop, "load-customer-98", code.lower())
    assert (status, [each["code"] for each in order["discounts"]]) == (201, [code])


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


@pytest.mark.parametrize(
    ("terms", "amount"),
    [
        ({"kind": "percentage", "fraction": "0.2500"}, 146),
        ({"kind": "fixed_amount", "amount": 150, "currency": "EUR"}, 150),
        ({"kind": "fixed_amount", "amount": 10**9, "currency": "EUR"}, None),
        ({"kind": "buy_x_get_y", "buy_quantity": 2, "get_quantity": 1}, 137),
        ({"kind": "free_shipping"}, 490),
    ],
)
def test_each_kind_takes_off_what_it_says_and_the_parts_add_up(
    shop: Shop, terms: dict[str, Any], amount: int | None
) -> None:
    """``amount`` None: all that the lines cost."""
    code = a_promotion(shop, **terms)
    status, order = order_with(shop, "load-customer-95", code)
    assert (status, order["status"]) == (201, "validated")
    lines, totals = order["items"], order["totals"]
    amount = net(lines) if amount is None else amount
    assert order["discounts"] == [{"code": code, "amount": amount}]
    is_shipping = terms["kind"] == "free_shipping"
    assert totals["shipping"] == (0 if is_shipping else 490)
    assert sum(line["discount"] for line in lines) == totals["discount"] == (0 if is_shipping else amount)
    assert totals["items"] == net(lines)
    assert totals["total"] == totals["items"] - totals["discount"] + totals["shipping"] + totals["tax"]
    for line in lines:
        assert line["total"] == line["quantity"] * line["unit_price"] - line["discount"] + line["tax"]
    of_shipping = half_even(Decimal("0.21") * totals["shipping"])
    assert totals["tax"] == sum(line["tax"] for line in lines) + of_shipping


def net(lines: Any) -> int:
    """What lines cost before discounts and tax."""
    return sum(int(line["quantity"] * line["unit_price"]) for line in lines)


def half_even(amount: Decimal) -> int:
    """A whole number of minor units."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_EVEN))


def test_a_discount_is_reckoned_anew_at_each_edit_and_says_why_it_takes_nothing_off(shop: Shop) -> None:
    _, order = order_with(shop, "load-customer-96")
    subtotal = order["totals"]["items"]
    code = a_promotion(shop, min_subtotal=subtotal)
    path = f"/api/orders/{order['id']}"
    assert shop.ask("POST", f"{path}/discounts", {"code": code})[0] == 200
    taken = shop.reached(order["id"], "validated")["discounts"]
    assert taken == [{"code": code, "amount": half_even(Decimal("0.1") * subtotal)}]
    line = order["items"][0]
    for quantity, reason in ((1, "min_subtotal"), (6, None)):
        assert shop.ask("PUT", f"{path}/items/{line['id']}/quantity", {"quantity": quantity})[0] == 200
        edited = shop.reached(order["id"], "validated")
        [discount] = edited["discounts"]
        expected = 0 if reason else half_even(Decimal("0.1") * edited["totals"]["items"])
        assert (discount["code"], discount["amount"], discount.get("reason")) == (code, expected, reason)
        assert edited["totals"]["discount"] == expected
    assert shop.ask("DELETE", f"{path}/discounts/{code}")[0] == 200
    assert shop.reached(order["id"], "validated")["totals"]["discount"] == 0
