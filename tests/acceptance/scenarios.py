"""What there is before a test's request: orders in each situation that docs/contract.md names, promotions, tokens.

Each is made over HTTP, as clients, staff and partners would make it; the sandbox's tokens and knobs do the rest. A given
is a dict of names that a request's path and body may use, such as ``{order}`` and ``{item}``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from tests.acceptance.shop import Shop
from tests.acceptance.started import until

CUSTOMER = "c-1001"
ITEMS = [{"sku": "load-sku-1", "quantity": 2}, {"sku": "load-sku-2", "quantity": 1}]
SHIPPED = {"status": "shipped", "carrier": "SEUR", "tracking_number": "T-1"}
# Longer than any test takes; a knob's delay ends with the call that it delays, which is given up after seconds.
HELD_MS = 60_000

Names = dict[str, str]


def names_of(order: Any, **more: str) -> Names:
    """What a row may name of an order."""
    return {"order": order["id"], "item": order["items"][0]["id"], "version": str(order["version"]), **more}


def new_order(shop: Shop, **more: Any) -> Any:
    """An order of two lines that waits for its payment."""
    body = {"customer_id": CUSTOMER, "currency": "EUR", "items": ITEMS, **more}
    status, order, _ = shop.ask("POST", "/api/orders", body, key=str(uuid4()), Prefer="wait=10")
    assert status == 201, order
    return shop.reached(order["id"], "validated") if order["status"] == "created" else order


def pay(shop: Shop, order_id: str, **body: Any) -> Any:
    """A payment, as it is once it is settled, or after a second."""
    path = f"/api/orders/{order_id}/payments"
    wait = "wait=1" if str(body.get("token", "")).endswith("silence") else "wait=10"
    status, payment, _ = shop.ask("POST", path, {"method": "card", **body}, key=str(uuid4()), Prefer=wait)
    assert status in (201, 202), payment
    return payment


def do(shop: Shop, method: str, path: str, body: object = None) -> Any:
    """Something that has to succeed."""
    status, told, _ = shop.ask(method, path, body, key=str(uuid4()))
    assert status < 300, told
    return told


def inject_fault(shop: Shop, **fields: Any) -> None:
    """Make the sandbox misbehave; the conftest of these tests takes all knobs away again."""
    shop.partner("sandbox", "POST", "/knobs", fields)


def promotion(shop: Shop, **terms: Any) -> str:
    """The code of a new promotion: a tenth off, where nothing else is said."""
    code = f"P{uuid4().hex[:16]}"
    if "kind" not in terms:
        terms |= {"kind": "percentage", "fraction": "0.1000"}
    do(shop, "POST", "/api/promotions", {"code": code, **terms})
    return code


# Orders by their status.


def nothing(shop: Shop) -> Names:
    """No order; an id that none has."""
    return {"order": str(uuid4()), "item": str(uuid4()), "key": str(uuid4()), "new": f"N{uuid4().hex[:16]}"}


def created(shop: Shop) -> Names:
    """An edit could not be validated: the order waits, created, for another edit."""
    order = new_order(shop)
    do(shop, "POST", f"/api/orders/{order['id']}/items", {"sku": "sku-not-sellable", "quantity": 1})
    return names_of(_invalid(shop, order["id"]))


def _invalid(shop: Shop, order_id: str) -> Any:
    def there() -> Any:
        order = shop.order(order_id)
        return order if order["validation_errors"] else None

    order = until(there, f"order {order_id} failing its validation")
    assert order["status"] == "created"
    return order


def validated(shop: Shop) -> Names:
    """Waits for its payment."""
    return names_of(new_order(shop))


def confirmed(shop: Shop) -> Names:
    """Paid and numbered; ProductSvc does not answer whether the hold is firm."""
    order_id = new_order(shop)["id"]
    inject_fault(shop, effect="delay", operation="commit_hold", order_id=order_id, delay_ms=HELD_MS)
    pay(shop, order_id)
    return names_of(shop.reached(order_id, "confirmed"))


def prepared(shop: Shop) -> Names:
    """Waits to be shipped."""
    order_id = new_order(shop)["id"]
    payment = pay(shop, order_id)
    return names_of(shop.reached(order_id, "prepared"), payment=payment["payment_id"])


def partly_shipped(shop: Shop) -> Names:
    """One of its lines is under way."""
    given = prepared(shop)
    lines = [{"item_id": given["item"], "quantity": 1}]
    order = do(shop, "PUT", f"/api/orders/{given['order']}/status", {**SHIPPED, "lines": lines})
    return given | {"shipment": order["shipments"][0]["shipment_id"], "number": order["number"]}


def shipped(shop: Shop) -> Names:
    """All of it is under way."""
    given = prepared(shop)
    order = do(shop, "PUT", f"/api/orders/{given['order']}/status", SHIPPED)
    return given | {"shipment": order["shipments"][0]["shipment_id"]}


def delivered(shop: Shop) -> Names:
    """All of it arrived."""
    given = shipped(shop)
    do(shop, "PUT", f"/api/orders/{given['order']}/status", {"status": "delivered"})
    return given


def cancelling(shop: Shop) -> Names:
    """PaymentSvc does not answer whether the money was given back."""
    given = prepared(shop)
    inject_fault(shop, effect="delay", operation="refund", order_id=given["order"], delay_ms=HELD_MS)
    order = do(shop, "DELETE", f"/api/orders/{given['order']}")
    assert order["status"] == "cancelling"
    return given


def cancelled(shop: Shop) -> Names:
    """Nothing is left to undo."""
    order_id = new_order(shop)["id"]
    do(shop, "DELETE", f"/api/orders/{order_id}")
    return names_of(shop.reached(order_id, "cancelled"))


# Orders in other situations.


def paying(shop: Shop) -> Names:
    """PaymentSvc has not said yet what became of a payment."""
    order_id = new_order(shop)["id"]
    payment = pay(shop, order_id, token="tok_silence")
    return names_of(shop.order(order_id), payment=payment["payment_id"])


def mismatched(shop: Shop) -> Names:
    """Another amount was taken than was asked for."""
    order_id = new_order(shop)["id"]
    payment = pay(shop, order_id, token="tok_mismatch")
    assert payment["status"] == "mismatched"
    return names_of(shop.order(order_id), payment=payment["payment_id"])


def partly_paid(shop: Shop) -> Names:
    """All but a cent is paid."""
    order = new_order(shop)
    payment = pay(shop, order["id"], amount=order["totals"]["total"] - 1)
    return names_of(shop.order(order["id"]), payment=payment["payment_id"])


def of_one_line(shop: Shop) -> Names:
    """Has one line only."""
    return names_of(new_order(shop, items=ITEMS[:1]))


def of_200_lines(shop: Shop) -> Names:
    """Has as many lines as an order may have."""
    items = [{"sku": f"load-sku-{n}", "quantity": 1} for n in range(100, 300)]
    return names_of(new_order(shop, items=items))


def discounted(shop: Shop) -> Names:
    """Has a discount beside which others may be."""
    code = promotion(shop, combinable=True)
    return names_of(new_order(shop, discount_codes=[code]), code=code, combinable=promotion(shop, combinable=True))


def many_promotions(shop: Shop) -> Names:
    """An order, and codes that it can't have, each for another reason."""
    once, once_each = promotion(shop, max_uses=1), promotion(shop, max_uses_per_customer=1)
    for code in (once, once_each):
        new_order(shop, discount_codes=[code])
    taken = promotion(shop)
    order = new_order(shop, discount_codes=[taken])
    return names_of(
        order,
        plain=names_of(new_order(shop))["order"],
        good=promotion(shop),
        inactive=promotion(shop, active=False),
        over=promotion(shop, ends_at="2020-01-01T00:00:00Z"),
        dollars=promotion(shop, kind="fixed_amount", amount=100, currency="USD"),
        once=once,
        once_each=once_each,
    )


def listed(shop: Shop) -> Names:
    """Two orders of a customer of their own, so that there are two pages, and the cursor to the second."""
    customer = f"load-customer-{uuid4().int % 1_000_000}"
    orders = [new_order(shop, customer_id=customer) for _ in range(2)]
    _, page, _ = shop.ask("GET", f"/api/orders?customer_id={customer}&limit=1")
    # Each shard reckons the database's time by itself: which of the two counts as the newer may differ from who came later.
    [other] = {order["id"] for order in orders} - {page["data"][0]["id"]}
    return {"customer": customer, "cursor": page["page"]["next_cursor"], "other": other}


def priceless(shop: Shop) -> Names:
    """A product of which three cost more than any order may (2^53 - 1)."""
    sku = f"sku-priceless-{uuid4()}"
    shop.partner("sandbox", "PUT", f"/products/{sku}", {"prices": {"EUR": 2**52 - 1}, "stock": 10})
    return {"sku": sku}


def a_promotion(shop: Shop) -> Names:
    """A promotion."""
    return {"code": promotion(shop), "new": f"N{uuid4().hex[:16]}", "item": str(uuid4())}


GIVENS: dict[str, Callable[[Shop], Names]] = {
    each.__name__: each
    for each in (
        nothing, created, validated, confirmed, prepared, partly_shipped, shipped, delivered, cancelling, cancelled,
        paying, mismatched, partly_paid, of_one_line, of_200_lines, discounted, many_promotions, listed, a_promotion, priceless,
    )
}  # fmt: skip
