"""kill -9 of a shard in the middle of a hundred orders' lives: each ends as it should, each is charged once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from tests.acceptance.shop import Shop
from tests.acceptance.started import Started, until

ORDERS = 100
IN_FLIGHT_MIN = 20


def test_no_order_is_lost_or_charged_twice_when_a_shard_is_killed(shop: Shop, service: Started) -> None:
    with ThreadPoolExecutor(16) as pool:
        orders = list(pool.map(lambda _: shop.create()["id"], range(ORDERS)))
        shop.partner(
            "sandbox", "PUT", "/knobs", {"knobs": [{"effect": "delay", "operation": "charge", "delay_ms": 2000}]}
        )

        def pay(order_id: str) -> int:
            return shop.ask("POST", f"/api/orders/{order_id}/payments", {"method": "card"}, key=f"pay-{order_id}")[0]

        assert set(pool.map(pay, orders)) == {202}
        waiting = [order_id for order_id in orders if shop.order(order_id)["payment_status"] == "pending"]
        shards = service.find_all("ray::OrderShard")
        assert len(shards) >= 2
        for pid in shards[:1]:
            os.kill(pid, signal.SIGKILL)
        assert len(waiting) >= IN_FLIGHT_MIN, "too few charges were under way to prove anything"
        shop.partner("sandbox", "DELETE", "/knobs")

        def settled(order_id: str) -> Any:
            return shop.reached(order_id, "prepared", limit_s=90)

        list(pool.map(settled, orders))
    for order_id in orders:
        status, payments, _ = shop.ask("GET", f"/api/orders/{order_id}/payments")
        assert status == 200
        assert [entry["type"] for entry in payments["ledger"]] == ["charge"]
    sandbox = shop.partner("sandbox", "GET", "/ledger")
    charged = [charge["order_id"] for charge in sandbox["charges"] if charge["status"] == "confirmed"]
    assert sorted(order for order in charged if order in set(orders)) == sorted(orders)


def test_an_order_can_be_changed_at_once_after_its_shard_was_killed(shop: Shop, service: Started) -> None:
    order = shop.create()
    until(lambda: len(service.find_all("ray::OrderShard")) >= 2, "two shards")
    for pid in service.find_all("ray::OrderShard"):
        os.kill(pid, signal.SIGKILL)
        break
    status, changed, _ = shop.ask(
        "POST", f"/api/orders/{order['id']}/items", {"sku": "load-sku-3", "quantity": 1}, key=str(uuid4())
    )
    assert (status, len(changed["items"])) == (201, 2)


def test_who_waits_for_an_order_still_gets_it_when_its_shard_is_killed_meanwhile(shop: Shop, service: Started) -> None:
    def kill_the_shards() -> None:
        for pid in service.find_all("ray::OrderShard"):
            os.kill(pid, signal.SIGKILL)

    status, order = what_is_told_after(kill_the_shards, shop, "load-customer-4712")
    assert status == 201, order
    assert order["status"] == "validated"


def test_what_is_under_way_is_answered_when_the_api_is_asked_to_end(shop: Shop, service: Started) -> None:
    def end_the_api() -> None:
        for pid in service.find_all("uvicorn"):
            os.kill(pid, signal.SIGTERM)

    status, order = what_is_told_after(end_the_api, shop, "load-customer-4711")
    until(service.is_ready, "the next process of the API")
    assert status == 201, order
    assert order["status"] == "validated"


def what_is_told_after(wound: Callable[[], None], shop: Shop, customer: str) -> tuple[int, Any]:
    """What a client gets that waits for its order to be validated, if this happens as soon as the order is made."""
    knob = {"effect": "delay", "operation": "put_hold", "delay_ms": 2000}
    shop.partner("sandbox", "PUT", "/knobs", {"knobs": [knob]})
    body = {"customer_id": customer, "currency": "EUR", "items": [{"sku": "load-sku-7", "quantity": 1}]}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shop.ask, "POST", "/api/orders", body, key=str(uuid4()), headers={"Prefer": "wait=20"})
        until(lambda: shop.ask("GET", f"/api/orders?customer_id={customer}")[1]["data"], "the order is made")
        wound()
        status, told, _ = waiting.result()
    shop.partner("sandbox", "DELETE", "/knobs")
    return status, told
