"""A partner that hangs: its circuit opens, orders wait without asking, and go on as soon as it answers, not at their own next try."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.acceptance.shop import Shop
from tests.acceptance.started import until
from tests.acceptance.test_storm import figure

ORDERS = 40
WAITING_MIN = ORDERS // 4
OPEN_LIMIT_S = 30.0
# An order's own next try is 45 s away at the least.
BACK_LIMIT_S = 30.0
BODY = {"customer_id": "c-1001", "currency": "EUR", "items": [{"sku": "load-sku-1", "quantity": 1}]}


@pytest.fixture
def hanging(shop: Shop) -> Iterator[None]:
    """ProductSvc takes every request and answers none, until the test says otherwise."""
    shop.partner("sandbox", "PUT", "/knobs", {"knobs": [{"effect": "hang", "partner": "product"}]})
    yield
    shop.partner("sandbox", "DELETE", "/knobs")


@pytest.mark.usefixtures("hanging")
def test_orders_wait_for_the_partner_and_follow_when_it_is_back(shop: Shop) -> None:
    answers = [shop.ask("POST", "/api/orders", BODY, key=str(uuid4())) for _ in range(ORDERS)]
    assert {status for status, _, _ in answers} == {201}
    orders = [order["id"] for _, order, _ in answers]
    until(lambda: figure(shop, "ordersvc_orders_held_back") >= WAITING_MIN, "orders wait", OPEN_LIMIT_S)
    assert {shop.order(order_id)["status"] for order_id in orders} == {"created"}
    assert figure(shop, "ordersvc_breaker_open") == 1
    shop.partner("sandbox", "DELETE", "/knobs")

    def those_left() -> list[str]:
        return [order_id for order_id in orders if shop.order(order_id)["status"] != "validated"]

    until(lambda: not those_left(), "every order goes on", BACK_LIMIT_S)
    until(lambda: not figure(shop, "ordersvc_orders_held_back"), "nobody waits", OPEN_LIMIT_S)
