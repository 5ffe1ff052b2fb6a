"""What docs/contract.md says of ``Idempotency-Key`` ("Conventions"), over HTTP: repeats that answer as at first.

What comes at once is in ``test_life.py``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import redis

from tests.acceptance.scenarios import CUSTOMER, ITEMS, SHIPPED, do, new_order, prepared, promotion
from tests.acceptance.shop import Shop

NEW = {"customer_id": CUSTOMER, "currency": "EUR", "items": ITEMS}


def test_a_repeat_is_answered_as_the_first_time_and_says_so(shop: Shop) -> None:
    key = str(uuid4())
    status, first, headers = shop.ask("POST", "/api/orders", NEW, key=key)
    assert (status, first["status"], "idempotent-replayed" in headers) == (201, "created", False)
    shop.reached(first["id"], "validated")
    status, again, headers = shop.ask("POST", "/api/orders", NEW, key=key)
    assert (status, again, headers["idempotent-replayed"]) == (201, first, "true")
    status, shown, headers = shop.ask("POST", "/api/orders", NEW, key=key, Prefer="wait=5")
    assert (status, shown["id"], shown["status"]) == (201, first["id"], "validated")
    assert headers["idempotent-replayed"] == "true"


def test_a_key_may_be_quoted_or_bare_and_a_body_written_otherwise(shop: Shop) -> None:
    key = str(uuid4())
    _, first, _ = shop.ask("POST", "/api/orders", NEW, key=f'"{key}"')
    otherwise = (
        b'{ "items": [ {"quantity": 2, "sku": "load-sku-1"}, {"quantity": 1, "sku": "load-sku-2"} ], "currency": "EUR",'
        b' "customer_id": "c-1001" }'
    )
    status, again, _ = shop.ask("POST", "/api/orders", otherwise, key=key)
    assert (status, again) == (201, first)


def test_another_body_under_the_same_key_is_refused(shop: Shop) -> None:
    order, key = new_order(shop), str(uuid4())
    for body, answer in ((2, 200), (3, 422)):
        path = f"/api/orders/{order['id']}/items/{order['items'][0]['id']}/quantity"
        status, told, _ = shop.ask("PUT", path, {"quantity": body}, key=key)
        assert status == answer
    assert told["code"] == "idempotency_key_reused"


def test_another_query_under_the_same_key_is_refused(shop: Shop) -> None:
    order, key = new_order(shop), str(uuid4())
    assert shop.ask("DELETE", f"/api/orders/{order['id']}?reason=one", key=key)[0] == 202
    status, told, _ = shop.ask("DELETE", f"/api/orders/{order['id']}?reason=two", key=key)
    assert (status, told["code"]) == (422, "idempotency_key_reused")


def test_a_refusal_leaves_the_key_unused(shop: Shop) -> None:
    key = str(uuid4())
    assert shop.ask("POST", "/api/orders", {**NEW, "currency": "CHF"}, key=key)[0] == 422
    assert shop.ask("POST", "/api/orders", NEW, key=key)[0] == 201


def test_a_key_belongs_to_its_subject_method_and_path(shop: Shop) -> None:
    key = str(uuid4())
    tokens = [shop.token("admin"), shop.token("admin")]
    ids = {shop.ask("POST", "/api/orders", NEW, key=key, token=token)[1]["id"] for token in tokens}
    assert len(ids) == 2
    paths = [f"/api/orders/{order_id}/items" for order_id in ids]
    for path in paths:
        status, _, headers = shop.ask("POST", path, {"sku": "load-sku-3", "quantity": 1}, key=key)
        assert (status, "idempotent-replayed" in headers) == (201, False)


def test_a_replay_comes_before_if_match(shop: Shop) -> None:
    order, key = new_order(shop), str(uuid4())
    path, body = f"/api/orders/{order['id']}/items", {"sku": "load-sku-3", "quantity": 1}
    version = f'"{order["version"]}"'
    _, first, _ = shop.ask("POST", path, body, key=key, If_Match=version)
    status, again, headers = shop.ask("POST", path, body, key=key, If_Match=version)
    assert (status, again, headers["idempotent-replayed"]) == (201, first, "true")
    assert shop.ask("POST", path, body, key=str(uuid4()), If_Match=version)[0] == 412


def _wishes(shop: Shop) -> list[tuple[str, str, Any, int]]:
    """Every POST, PUT and DELETE that an order or a promotion takes, with its answer."""
    order, to_ship = new_order(shop), prepared(shop)
    at = f"/api/orders/{order['id']}"
    first, second = (line["id"] for line in order["items"])
    discount, code = promotion(shop), f"P{uuid4().hex[:16]}"
    return [
        ("POST", f"{at}/items", {"sku": "load-sku-3", "quantity": 1}, 201),
        ("PUT", f"{at}/items/{first}/quantity", {"quantity": 5}, 200),
        ("DELETE", f"{at}/items/{second}", None, 200),
        ("POST", f"{at}/discounts", {"code": discount}, 200),
        ("DELETE", f"{at}/discounts/{discount}", None, 200),
        ("POST", f"{at}/attention", {"action": "retry"}, 200),
        ("DELETE", at, None, 202),
        ("PUT", f"/api/orders/{to_ship['order']}/status", SHIPPED, 200),
        ("PUT", f"/api/orders/{to_ship['order']}/status", {"status": "delivered"}, 200),
        ("POST", "/api/promotions", {"code": code, "kind": "free_shipping"}, 201),
        ("PATCH", f"/api/promotions/{code}", {"active": False}, 200),
        ("DELETE", f"/api/promotions/{code}", None, 204),
    ]


def test_every_post_put_and_delete_heeds_its_key(shop: Shop) -> None:
    for method, path, body, answer in _wishes(shop):
        key = str(uuid4())
        status, first, headers = shop.ask(method, path, body, key=key)
        assert (status, "idempotent-replayed" in headers) == (answer, False), (method, path, first)
        status, again, headers = shop.ask(method, path, body, key=key)
        assert (status, again, headers["idempotent-replayed"]) == (answer, first, "true"), (method, path)


def test_no_answer_is_lost_with_redis(shop: Shop) -> None:
    wishes = [(*wish, str(uuid4())) for wish in _wishes(shop)]
    firsts = [shop.ask(method, path, body, key=key)[:2] for method, path, body, _, key in wishes]
    with redis.Redis.from_url(shop.endpoints["redis"]) as client:
        client.flushall()
    for (method, path, body, answer, key), first in zip(wishes, firsts, strict=True):
        status, again, headers = shop.ask(method, path, body, key=key)
        assert (status, again, headers["idempotent-replayed"]) == (answer, first[1], "true"), (method, path)


def test_a_payment_asked_for_twice_is_charged_once(shop: Shop) -> None:
    order, key = new_order(shop), str(uuid4())
    path = f"/api/orders/{order['id']}/payments"
    _, first, _ = shop.ask("POST", path, {"method": "card"}, key=key)
    status, again, headers = shop.ask("POST", path, {"method": "card"}, key=key, Prefer="wait=10")
    assert (status, again["payment_id"], again["status"]) == (201, first["payment_id"], "confirmed")
    assert headers["idempotent-replayed"] == "true"
    assert len(do(shop, "GET", path)["payments"]) == 1


def test_of_payments_at_once_with_keys_of_their_own_one_is_in_flight(shop: Shop) -> None:
    order, together = new_order(shop), Barrier(5)

    def start(_: int) -> int:
        client = Shop(shop.endpoints, shop.folder)
        together.wait()
        path = f"/api/orders/{order['id']}/payments"
        return client.ask("POST", path, {"method": "card", "token": "tok_processing"}, key=str(uuid4()))[0]

    with ThreadPoolExecutor(5) as pool:
        assert sorted(pool.map(start, range(5))) == [202, 409, 409, 409, 409]
    shop.reached(order["id"], "prepared")
    assert len(do(shop, "GET", f"/api/orders/{order['id']}/payments")["ledger"]) == 1


def test_one_key_pays_once_however_the_orders_id_is_written(shop: Shop) -> None:
    """The same payment to the order's id in capitals was a second charge."""
    order, key = shop.create(), str(uuid4())
    part = {"method": "card", "token": "tok_visa", "amount": 100}
    status, first, _ = shop.ask("POST", f"/api/orders/{order['id']}/payments", part, key=key, Prefer="wait=10")
    assert status == 201, first
    status, again, headers = shop.ask(
        "POST", f"/api/orders/{order['id'].upper()}/payments", {**part, "amount": 100.0}, key=key, Prefer="wait=10"
    )
    assert (status, again, headers["idempotent-replayed"]) == (201, first, "true")
    assert len(shop.ask("GET", f"/api/orders/{order['id']}/payments")[1]["payments"]) == 1


def test_a_line_is_changed_and_shipped_by_its_id_in_capitals(shop: Shop) -> None:
    order = shop.create()
    item = order["items"][0]["id"].upper()
    status, told, _ = shop.ask("PUT", f"/api/orders/{order['id'].upper()}/items/{item}/quantity", {"quantity": 3})
    assert (status, told["items"][0]["quantity"]) == (200, 3)
    given = prepared(shop)
    path = f"/api/orders/{given['order']}/status"
    lines = [{"item_id": given["item"].upper(), "quantity": 1}]
    status, shipped, _ = shop.ask("PUT", path, {**SHIPPED, "lines": lines})
    assert status == 200, shipped
    parcel = shipped["shipments"][0]["shipment_id"].upper()
    delivered = {"status": "delivered", "shipment_id": parcel}
    assert shop.ask("PUT", path, delivered)[0] == 200


def test_a_shared_subject_is_replayed_to_the_same_customer_only(shop: Shop) -> None:
    key, gateway = str(uuid4()), f"gateway-{uuid4()}"
    scope = "orders:read orders:write"
    one, two = (shop.token(scope, customer=customer, subject=gateway) for customer in (CUSTOMER, "c-1002"))
    body = {"currency": "EUR", "items": ITEMS}
    _, first, _ = shop.ask("POST", "/api/orders", body, key=key, token=one)
    _, again, headers = shop.ask("POST", "/api/orders", body, key=key, token=one)
    assert (again, headers["idempotent-replayed"]) == (first, "true")
    status, other, headers = shop.ask("POST", "/api/orders", body, key=key, token=two)
    assert (status, other["customer"]["id"], "idempotent-replayed" in headers) == (201, "c-1002", False)
    path = f"/api/orders/{first['id']}/items"
    line = {"sku": "load-sku-1", "quantity": 1}
    assert shop.ask("POST", path, line, key=key, token=one)[0] == 201
    status, told, _ = shop.ask("POST", path, line, key=key, token=two)
    assert (status, told["code"]) == (404, "order_not_found")
    status, told, _ = shop.ask("POST", path, {**line, "quantity": 2}, key=key, token=two)
    assert (status, told["code"]) == (404, "order_not_found")


def test_an_edit_that_waits_can_be_paid_at_once(shop: Shop) -> None:
    """It was answered as ``created`` with the new line at 0, and paying at once was 409."""
    order = shop.create()
    line = {"sku": "load-sku-2", "quantity": 1}
    status, edited, headers = shop.ask("POST", f"/api/orders/{order['id']}/items", line, Prefer="wait=10")
    assert (status, edited["status"], headers["preference-applied"]) == (201, "validated", "wait=10")
    assert all(item["total"] > 0 for item in edited["items"])
    status, payment, _ = shop.ask(
        "POST", f"/api/orders/{order['id']}/payments", {"method": "card"}, key=str(uuid4()), Prefer="wait=10"
    )
    assert (status, payment["amount"]) == (201, edited["totals"]["total"])
