"""docs/contract.md's REST table, row by row: one ``Row`` is one request and its answer. The refusals are in ``rest_refusals.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.scenarios import CUSTOMER, ITEMS, SHIPPED

ORDER = "/api/orders/{order}"
NEW = {"customer_id": CUSTOMER, "currency": "EUR", "items": ITEMS}
PROBLEM = {"type", "title", "status", "detail", "instance", "code", "errors", "trace_id"}
ANY = object()  # the value matters not, but the field is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """``asks`` METHOD PATH with ``body``, of which ``{names}`` are what ``given`` made; ``answer`` is the status.

    ``code``: of the problem. ``shows``: what the answer's JSON has at a dotted path. ``tells``: what its headers match.
    ``key``: an ``Idempotency-Key`` is sent. ``who``: whose token it is, see ``test_rest_table.py``.
    """

    asks: str
    answer: int
    code: str = ""
    body: object = None
    given: str = "nothing"
    who: str = "admin"
    key: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    shows: Mapping[str, object] = field(default_factory=dict)
    tells: Mapping[str, str] = field(default_factory=dict)
    about: str = ""

    @property
    def name(self) -> str:
        """The row in a word."""
        return " ".join(filter(None, (self.asks, str(self.answer), self.code, self.about, f"({self.given})")))


def record(outcome: str, amount: int, subject: str = "{payment}", **more: object) -> dict[str, object]:
    """What staff say became of a payment or refund."""
    said = {"subject": subject, "outcome": outcome, "amount": amount, "reference": "statement 7", "note": "by bank"}
    return {"action": "record", **said, **more}


def get(path: str, *, given: str = "validated", **more: Any) -> Row:
    """A question that is answered."""
    return Row(asks=f"GET {path}", answer=200, given=given, key=False, **more)


ETAG, AN_ORDER = {"etag": r'"\d+"'}, {"etag": r'"\d+"', "location": r"/api/orders/[0-9a-f-]{36}"}
A_PAYMENT = {"location": r"/api/orders/[0-9a-f-]{36}/payments/[0-9a-f-]{36}"}
WAITED = {"preference-applied": r"wait=\d+"}

SUCCESSES = (
    # Creating.
    Row(
        asks="POST /api/orders", body=NEW, answer=201, tells=AN_ORDER,
        shows={"status": "created", "version": ANY, "totals.total": 0, "items.0.name": None, "saga.stage": "validate"},
    ),
    Row(
        asks="POST /api/orders", body={**NEW, "shipping_method": "express", "metadata": {"a": "b"}, "address_id": "work"},
        answer=201, headers={"Prefer": "wait=10"}, tells=AN_ORDER | WAITED, about="and wait",
        shows={"status": "validated", "shipping": {"method": "express", "amount": 980}, "metadata": {"a": "b"},
               "shipping_address.address_id": "work", "payment_status": "unpaid", "saga.state": "waiting"},
    ),
    Row(
        asks="POST /api/orders", body={"currency": "EUR", "items": ITEMS}, answer=201, who="owner",
        shows={"customer.id": CUSTOMER}, about="the token says whose",
    ),
    Row(
        asks="POST /api/orders", body={**NEW, "items": [{"sku": "no-such-sku", "quantity": 1}]}, answer=201,
        headers={"Prefer": "wait=10"}, about="an unknown sku is found by validation",
        shows={"status": "cancelled", "cancel_reason": "validation_failed", "validation_errors.0.code": ANY},
    ),
    Row(
        asks="POST /api/orders", body={**NEW, "customer_id": "nobody-at-all"}, answer=201,
        headers={"Prefer": "wait=10"}, about="so is an unknown customer",
        shows={"status": "cancelled", "cancel_reason": "validation_failed", "validation_errors.0.code": ANY},
    ),
    Row(
        asks="POST /api/orders", body={**NEW, "items": [{"sku": "sku-sold-out", "quantity": 1}]}, answer=201,
        headers={"Prefer": "wait=10"}, about="and that nothing is left",
        shows={"status": "cancelled", "cancel_reason": "out_of_stock"},
    ),
    Row(
        asks="POST /api/orders", body={**NEW, "items": [{"sku": "{sku}", "quantity": 3}]}, answer=201, given="priceless",
        headers={"Prefer": "wait=10"}, about="and a total above the limit",
        shows={"status": "cancelled", "cancel_reason": "validation_failed", "validation_errors.0.code": "total_too_large"},
    ),
    # Lists.
    get("/api/orders", shows={"data.0.id": ANY, "page.has_more": ANY}),
    get("/api/orders?customer_id={customer}&limit=1", given="listed",
        shows={"data.0.customer.id": ANY, "page.has_more": True, "page.next_cursor": ANY}),
    get("/api/orders?customer_id={customer}&limit=1&cursor={cursor}", given="listed",
        shows={"data.0.id": "{other}", "page": {"next_cursor": None, "has_more": False}}),
    get("/api/orders?status=prepared&status=shipped&payment_status=paid", given="prepared", shows={"data.0.id": ANY}),
    get("/api/orders?number={number}", given="partly_shipped", shows={"data.0.id": "{order}", "page.has_more": False}),
    get("/api/orders?sku=load-sku-2&sort=-total&total_min=1&total_max=9000000000", shows={"data.0.id": ANY}),
    get("/api/orders?created_from=2020-01-01T00:00:00Z&created_to=2020-01-02T00:00:00Z", shows={"data": []}),
    get("/api/orders?needs_attention=true", given="mismatched", shows={"data.0.needs_attention": True}),
    get("/api/orders?sort=created_at&limit=200", shows={"data.0.id": ANY}),
    get(f"/api/customers/{CUSTOMER}/orders?sort=total", shows={"data.0.customer.id": CUSTOMER}),
    get("/api/orders?limit=1", who="owner", shows={"data.0.customer.id": CUSTOMER}, about="its own"),
    # One order.
    get(ORDER, tells=ETAG, shows={"id": "{order}", "revision": 1, "fulfillment_status": "unfulfilled", "expires_at": ANY}),
    get(ORDER, who="owner", tells=ETAG, shows={"id": "{order}"}, about="the owner's"),
    Row(asks=f"GET {ORDER}", answer=304, given="validated", headers={"If-None-Match": '"{version}"'}, tells=ETAG),
    get(ORDER, headers={"If-None-Match": '"0"'}, shows={"id": "{order}"}, about="another version"),
    get(f"{ORDER}/timeline", shows={"data.0.sequence": 1, "data.0.type": "PedidoCreado", "data.0.actor.type": ANY,
                                    "stages.0.stage": "create", "stages.1.duration_ms": ANY}),
    # Shipping and delivering.
    Row(asks=f"PUT {ORDER}/status", body=SHIPPED, answer=200, given="prepared", tells=ETAG,
        shows={"status": "shipped", "fulfillment_status": "shipped", "shipments.0.carrier": "SEUR"}),
    Row(asks=f"PUT {ORDER}/status", body={**SHIPPED, "tracking_url": "https://example.test/T-1",
        "lines": [{"item_id": "{item}", "quantity": 1}]}, answer=200, given="prepared", who="shipper",
        shows={"status": "prepared", "fulfillment_status": "partially_shipped", "items.0.shipped": 1}),
    Row(asks=f"PUT {ORDER}/status", body={"status": "delivered", "shipment_id": "{shipment}"}, answer=200,
        given="partly_shipped", shows={"status": "prepared", "items.0.delivered": 1}, about="one of several"),
    Row(asks=f"PUT {ORDER}/status", body={"status": "delivered"}, answer=200, given="shipped",
        shows={"status": "delivered", "fulfillment_status": "delivered", "delivered_at": ANY, "totals.balance": 0}),
    Row(asks=f"PUT {ORDER}/status", body={"status": "delivered"}, answer=200, given="delivered", about="once more",
        shows={"status": "delivered"}),
    # Cancelling.
    Row(asks=f"PUT {ORDER}/status", body={"status": "cancelled", "reason": "changed"}, answer=202, given="validated",
        shows={"status": "cancelling", "cancel_reason": "staff", "cancel_note": "changed"}),
    Row(asks=f"DELETE {ORDER}?reason=changed", answer=202, given="prepared", who="owner", tells=ETAG,
        shows={"status": "cancelling", "cancel_reason": "customer", "cancel_note": "changed"}),
    Row(asks=f"DELETE {ORDER}", answer=202, given="cancelling", shows={"status": "cancelling"}, about="while it runs"),
    Row(asks=f"DELETE {ORDER}", answer=200, given="cancelled", shows={"status": "cancelled", "totals.balance": 0}),
    Row(asks=f"DELETE {ORDER}", answer=202, given="paying", shows={"status": "cancelling"},
        about="the payment's outcome is awaited first"),
    # Lines and discounts.
    Row(asks=f"POST {ORDER}/items", body={"sku": "load-sku-3", "quantity": 4}, answer=201, given="validated", tells=ETAG,
        shows={"status": "created", "revision": 2, "items.2.sku": "load-sku-3"}),
    Row(asks=f"DELETE {ORDER}/items/{{item}}", answer=200, given="validated", tells=ETAG, shows={"revision": 2}),
    Row(asks=f"PUT {ORDER}/items/{{item}}/quantity", body={"quantity": 9}, answer=200, given="validated",
        headers={"If-Match": '"{version}"'}, shows={"items.0.quantity": 9}, tells=ETAG),
    Row(asks=f"POST {ORDER}/discounts", body={"code": "{combinable}"}, answer=200, given="discounted", tells=ETAG,
        shows={"discounts.0.code": "{code}", "discounts.1.code": "{combinable}"}),
    Row(asks=f"DELETE {ORDER}/discounts/{{code}}", answer=200, given="discounted", shows={"discounts": []}, tells=ETAG),
    Row(asks=f"POST {ORDER}/items", body={"sku": "load-sku-3", "quantity": 1}, answer=201, given="created",
        shows={"status": "created"}, about="mends nothing, but may"),
    # Paying.
    Row(asks=f"POST {ORDER}/payments", body={"method": "card"}, answer=202, given="validated", tells=A_PAYMENT,
        shows={"status": "processing", "method": "card", "refunds": [], "code": None}),
    Row(asks=f"POST {ORDER}/payments", body={"method": "card"}, answer=201, given="validated", who="owner",
        headers={"Prefer": "wait=10"}, tells=A_PAYMENT | WAITED, shows={"status": "confirmed"}),
    Row(asks=f"POST {ORDER}/payments", body={"method": "card", "token": "tok_insufficient_funds"}, answer=201,
        given="validated", headers={"Prefer": "wait=10"},
        shows={"status": "rejected", "code": "insufficient_funds"}, about="rejected is settled too"),
    Row(asks=f"POST {ORDER}/payments", body={"method": "card", "amount": 100}, answer=201, given="validated",
        headers={"Prefer": "wait=10"}, shows={"amount": 100, "currency": "EUR"}, about="a part"),
    get(f"{ORDER}/payments", given="prepared",
        shows={"payments.0.payment_id": "{payment}", "ledger.0.type": "charge", "ledger.0.currency": "EUR"}),
    get(f"{ORDER}/payments/{{payment}}", given="prepared", shows={"payment_id": "{payment}", "status": "confirmed"}),
    get(f"{ORDER}/payments/status", given="prepared",
        shows={"payment_status": "paid", "balance": 0, "in_doubt": False, "attempts.0.payment_id": "{payment}"}),
    get(f"{ORDER}/payments/status", given="partly_paid", shows={"payment_status": "partially_paid", "balance": 1}),
    # Figures.
    get("/api/orders/statistics", shows={"as_of": ANY, "orders": ANY, "payments.failure_rate": ANY, "stages.validate.n": ANY}),
    get("/api/orders/statistics?bucket=day&group_by=currency&from=2026-01-01T00:00:00Z",
        shows={"buckets.0.start": ANY, "groups.0.key": ANY, "revenue": ANY, "average_value": ANY, "cancelled": ANY}),
    get("/api/orders/statistics?bucket=month&group_by=sku", shows={"groups.0.revenue": ANY}),
    # Promotions.
    Row(asks="POST /api/promotions", body={"code": "{new}", "kind": "percentage", "fraction": "0.1000", "max_uses": 5},
        answer=201, tells={"location": r"/api/promotions/N[0-9a-f]{16}"},
        shows={"code": "{new}", "combinable": False, "active": True, "max_uses": 5}),
    Row(asks="POST /api/promotions", body={"code": "{new}", "kind": "fixed_amount", "amount": 500, "currency": "EUR",
        "min_subtotal": 1000, "skus": ["load-sku-1"]}, answer=201, shows={"kind": "fixed_amount"}),
    Row(asks="POST /api/promotions", body={"code": "{new}", "kind": "buy_x_get_y", "buy_quantity": 2, "get_quantity": 1},
        answer=201, shows={"kind": "buy_x_get_y"}),
    Row(asks="POST /api/promotions", body={"code": "{new}", "kind": "free_shipping", "starts_at": "2026-01-01T00:00:00Z",
        "max_uses_per_customer": 1, "combinable": True}, answer=201, who="marketing", shows={"combinable": True}),
    get("/api/promotions?limit=1", given="a_promotion", shows={"data.0.code": ANY, "page.has_more": ANY}),
    get("/api/promotions/{code}", given="a_promotion", shows={"code": "{code}", "kind": "percentage"}),
    Row(asks="PATCH /api/promotions/{code}", body={"active": False}, answer=200, given="a_promotion",
        shows={"active": False, "fraction": "0.1000"}),
    Row(asks="DELETE /api/promotions/{code}", answer=204, given="a_promotion"),
    # Staff.
    Row(asks=f"POST {ORDER}/attention", body=record("confirmed", 1), answer=200, given="mismatched", tells=ETAG,
        shows={"needs_attention": False, "payments.0.status": "confirmed", "payments.0.amount": 1}, about="really taken"),
    Row(asks=f"POST {ORDER}/attention", body=record("rejected", 0), answer=200, given="paying", tells=ETAG,
        shows={"status": "validated", "payment_status": "unpaid", "payments.0.status": "rejected"}),
    Row(asks=f"POST {ORDER}/attention", body=record("confirmed", 1), answer=200, given="paying",
        shows={"needs_attention": True, "payments.0.status": "mismatched", "totals.paid": 1}, about="another amount"),
    get("/api/dead-letters", given="nothing", shows={"data": ANY}),
    # How it is.
    get("/health/live", given="nothing", who="nobody", shows={"status": "ok"}),
    get("/health/ready", given="nothing", who="nobody",
        shows={"dependencies.postgresql.status": "ok", "dependencies.payment.status": "ok"}),
    get("/metrics", given="nothing", tells={"content-type": "text/plain.*"}),
    get("/openapi.json", given="nothing", who="nobody", shows={"openapi": "3.1.0"}),
    get("/asyncapi.json", given="nothing", who="nobody", shows={"asyncapi": ANY}),
    get("/docs", given="nothing", who="nobody", tells={"content-type": "text/html.*"}),
)  # fmt: skip
