"""The refusals that docs/contract.md names, each provoked once; a refusal changes nothing, so rows may share what they are given."""

from __future__ import annotations

from tests.acceptance.rest_rows import ANY, NEW, ORDER, Row, record
from tests.acceptance.scenarios import SHIPPED

ITEM = {"sku": "load-sku-3", "quantity": 1}
CARD = {"method": "card"}
CREATE = "POST /api/orders"


def new(**change: object) -> dict[str, object]:
    """The body of a creation, with a change."""
    return {**NEW, **change}


def lines(number: int) -> list[dict[str, object]]:
    """So many lines."""
    return [{"sku": f"load-sku-{n}", "quantity": 1} for n in range(number)]


def metadata(keys: int, text: str) -> dict[str, str]:
    """So many keys with that text."""
    return {f"key-{n}": text for n in range(keys)}


REFUSALS = (
    # Access: 401, 403, 404.
    Row(asks=f"GET {ORDER}", answer=401, code="unauthorized", who="nobody", tells={"www-authenticate": "Bearer.*"}),
    Row(asks=f"GET {ORDER}", answer=401, code="invalid_token", who="forger", tells={"www-authenticate": ".*invalid_token.*"}),
    Row(asks=f"GET {ORDER}", answer=401, code="invalid_token", who="latecomer", about="expired"),
    Row(asks=CREATE, body=NEW, answer=403, code="insufficient_scope", who="reader", tells={"www-authenticate": ".*scope.*"}),
    Row(asks=f"GET {ORDER}", answer=403, code="insufficient_scope", who="shipper"),
    Row(asks=f"POST {ORDER}/payments", body=CARD, answer=403, code="insufficient_scope", who="reader"),
    Row(asks=f"PUT {ORDER}/status", body=SHIPPED, answer=403, code="insufficient_scope", who="owner", given="prepared"),
    Row(asks=f"PUT {ORDER}/status", body={"status": "cancelled"}, answer=403, code="insufficient_scope", who="shipper"),
    Row(asks="GET /api/promotions", answer=403, code="insufficient_scope", who="owner"),
    Row(asks="GET /api/dead-letters", answer=403, code="insufficient_scope", who="marketing"),
    Row(asks=f"POST {ORDER}/attention", body={"action": "retry"}, answer=403, code="insufficient_scope", who="owner"),
    Row(asks=CREATE, body=new(customer_id="c-1002"), answer=403, code="customer_mismatch", who="owner"),
    Row(asks=f"GET {ORDER}", answer=404, code="order_not_found", who="stranger", given="validated", about="another's"),
    Row(asks=f"DELETE {ORDER}", answer=404, code="order_not_found", who="stranger", given="validated", about="another's"),
    Row(asks=f"DELETE {ORDER}", answer=403, code="insufficient_scope", who="strange_reader", given="validated",
        about="before it is another's"),
    Row(asks="GET /api/customers/c-1001/orders", answer=404, code="customer_not_found", who="stranger"),
    Row(asks="GET /api/orders?customer_id=c-1001", answer=404, code="customer_not_found", who="stranger"),
    # What there is not.
    Row(asks=f"GET {ORDER}", answer=404, code="order_not_found"),
    Row(asks="GET /api/orders/no-uuid", answer=404, code="order_not_found"),
    Row(asks=f"POST {ORDER}/items", body=ITEM, answer=404, code="order_not_found"),
    Row(asks=f"GET {ORDER}/timeline", answer=404, code="order_not_found"),
    Row(asks=f"GET {ORDER}/payments/{{item}}", answer=404, code="payment_not_found", given="validated"),
    Row(asks=f"DELETE {ORDER}/items/{{order}}", answer=404, code="item_not_found", given="validated"),
    Row(asks=f"DELETE {ORDER}/discounts/NONE", answer=404, code="discount_not_found", given="validated"),
    Row(asks=f"PUT {ORDER}/status", body={"status": "delivered", "shipment_id": "{item}"}, answer=404,
        code="shipment_not_found", given="shipped"),
    Row(asks="GET /api/promotions/NONE", answer=404, code="promotion_not_found"),
    Row(asks="GET /api/dead-letters/00", answer=404, code="dead_letter_not_found"),
    Row(asks="GET /api/nothing", answer=404, code="not_found"),
    Row(asks="DELETE /api/orders/statistics", answer=405, code="method_not_allowed", tells={"allow": "GET, HEAD"}),
    # Keys and versions.
    Row(asks=CREATE, body=NEW, answer=400, code="idempotency_key_missing", key=False),
    Row(asks=f"POST {ORDER}/payments", body=CARD, answer=400, code="idempotency_key_missing", key=False, given="validated"),
    Row(asks=CREATE, body=NEW, answer=400, code="invalid_idempotency_key", headers={"Idempotency-Key": "k" * 256}),
    Row(asks=f"POST {ORDER}/items", body=ITEM, answer=412, code="version_conflict", given="validated",
        headers={"If-Match": '"999"'}, shows={"current_version": ANY}),
    Row(asks=f"DELETE {ORDER}", answer=412, code="version_conflict", given="validated", headers={"If-Match": '"1"'},
        shows={"current_version": ANY}),
    Row(asks=f"POST {ORDER}/payments", body=CARD, answer=412, code="version_conflict", given="validated",
        headers={"If-Match": 'W/"1"'}, shows={"current_version": ANY}, about="a weak tag never matches"),
    Row(asks=f"GET {ORDER}", answer=412, code="version_conflict", given="validated", headers={"If-Match": '"1"'},
        shows={"current_version": ANY}),
    Row(asks=CREATE, body=NEW, answer=412, code="version_conflict", headers={"If-Match": '"1"'}, shows={"current_version": 0},
        about="it has no version yet"),
    Row(asks=f"DELETE {ORDER}", answer=400, code="invalid_if_match", given="validated", headers={"If-Match": "7"}),
    # Lists.
    Row(asks="GET /api/orders?cursor=made-up", answer=400, code="invalid_cursor"),
    Row(asks="GET /api/orders?customer_id={customer}&status=paid&cursor={cursor}", answer=400, code="invalid_cursor",
        given="listed", about="of other filters"),
    Row(asks="GET /api/promotions?cursor=made-up", answer=400, code="invalid_cursor"),
    Row(asks="GET /api/orders?limit=201", answer=422, code="invalid_parameter", shows={"errors.0.pointer": "/limit"}),
    Row(asks="GET /api/orders?colour=red", answer=422, code="invalid_parameter", shows={"errors.0.pointer": "/colour"}),
    Row(asks="GET /api/orders/statistics?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", answer=422,
        code="invalid_parameter", shows={"errors.0.pointer": "/from"}),
    Row(asks="GET /api/orders?created_from=0001-01-01T00:00:00%2B01:00", answer=422, code="time_out_of_range",
        shows={"errors.0.pointer": "/created_from"}),
    Row(asks="GET /api/orders/statistics?bucket=hour&from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", answer=422,
        code="too_many_buckets", shows={"errors.0.pointer": "/bucket"}),
    # Shape and limits.
    Row(asks=CREATE, body=b"{", answer=400, code="malformed_json"),
    Row(asks=CREATE, body=NEW, answer=415, code="unsupported_media_type", headers={"Content-Type": "text/plain"}),
    Row(asks=CREATE, body=b" " * 262_145, answer=413, code="body_too_large"),
    Row(asks=CREATE, body={"currency": "EUR"}, answer=422, code="invalid_request", shows={"errors.0.pointer": "/items"}),
    Row(asks=CREATE, body=new(items=[]), answer=422, code="invalid_request", about="no line"),
    Row(asks=CREATE, body=new(items=lines(201)), answer=422, code="too_many_lines"),
    Row(asks=f"POST {ORDER}/items", body=ITEM, answer=422, code="too_many_lines", given="of_200_lines",
        shows={"errors.0.pointer": ""}),
    Row(asks=CREATE, body=new(items=[{"sku": "load-sku-1", "quantity": 0}]), answer=422, code="invalid_quantity"),
    Row(asks=CREATE, body=new(items=[{"sku": "load-sku-1", "quantity": 10_001}]), answer=422, code="invalid_quantity",
        shows={"errors.0.pointer": "/items/0/quantity"}),
    Row(asks=f"PUT {ORDER}/items/{{item}}/quantity", body={"quantity": 10_001}, answer=422, code="invalid_quantity",
        given="validated"),
    Row(asks=f"POST {ORDER}/items", body={"sku": "load-sku-1", "quantity": 9_999}, answer=422,
        code="quantity_out_of_range", given="validated", about="with what is there", shows={"errors.0.pointer": "/quantity"}),
    Row(asks=CREATE, body=new(metadata=metadata(51, "x")), answer=422, code="metadata_too_large", about="51 keys"),
    Row(asks=CREATE, body=new(metadata={"k" * 41: "x"}), answer=422, code="metadata_too_large", about="a key of 41"),
    Row(asks=CREATE, body=new(metadata={"k": "x" * 501}), answer=422, code="metadata_too_large", about="a text of 501"),
    Row(asks=CREATE, body=new(metadata=metadata(20, "x" * 500)), answer=422, code="metadata_too_large", about="8 KiB"),
    Row(asks=CREATE, body=new(customer_id=None), answer=422, code="customer_required"),
    Row(asks=CREATE, body=new(currency="ZZZ"), answer=422, code="invalid_currency"),
    Row(asks=CREATE, body=new(currency="CHF"), answer=422, code="currency_not_supported"),
    Row(asks=CREATE, body=new(shipping_method="balloon"), answer=422, code="shipping_method_not_supported"),
    Row(asks=f"PUT {ORDER}/status", body={"status": "paid"}, answer=422, code="invalid_request", given="validated",
        shows={"errors.0.pointer": "/status"}, about="not by a client"),
    # What the order's state does not allow.
    Row(asks=f"POST {ORDER}/items", body=ITEM, answer=409, code="illegal_transition", given="prepared",
        shows={"allowed": ["cancel", "ship"]}),
    Row(asks=f"POST {ORDER}/items", body=ITEM, answer=409, code="payment_in_progress", given="paying"),
    Row(asks=f"POST {ORDER}/payments", body=CARD, answer=409, code="payment_in_progress", given="paying"),
    Row(asks=f"POST {ORDER}/payments", body=CARD, answer=409, code="payment_mismatched", given="mismatched"),
    Row(asks=f"DELETE {ORDER}/items/{{item}}", answer=409, code="below_paid", given="partly_paid"),
    Row(asks=f"DELETE {ORDER}/items/{{item}}", answer=409, code="last_item", given="of_one_line"),
    Row(asks=f"POST {ORDER}/payments", body={"method": "card", "amount": 2}, answer=422, code="amount_out_of_range",
        given="partly_paid", about="more than is due", shows={"errors.0.pointer": "/amount"}),
    Row(asks=f"POST {ORDER}/payments", body={"method": "card", "amount": 0}, answer=422, code="invalid_amount",
        given="validated"),
    Row(asks=f"PUT {ORDER}/status", body={**SHIPPED, "lines": [{"item_id": "{item}", "quantity": 3}]}, answer=422,
        code="quantity_out_of_range", given="prepared", about="more than is left",
        shows={"errors.0.pointer": "/lines/0/quantity"}),
    Row(asks=f"PUT {ORDER}/status", body={**SHIPPED, "lines": [{"item_id": "{order}", "quantity": 1}]}, answer=404,
        code="item_not_found", given="prepared"),
    Row(asks=f"DELETE {ORDER}", answer=409, code="illegal_transition", given="partly_shipped",
        shows={"allowed": ["ship", "deliver"]}, about="until the first shipment"),
    Row(asks=f"POST {ORDER}/attention", body={"action": "mark_settled", "note": "by bank"}, answer=409,
        code="nothing_to_settle", given="validated"),
    Row(asks=f"POST {ORDER}/attention", body={"action": "mark_settled", "note": "by bank"}, answer=409,
        code="nothing_to_settle", given="mismatched", about="money is recorded"),
    # What staff can't record.
    Row(asks=f"POST {ORDER}/attention", body=record("rejected", 0, "{item}"), answer=404, code="subject_not_found",
        given="validated"),
    Row(asks=f"POST {ORDER}/attention", body=record("refunded", 1), answer=422, code="outcome_not_applicable",
        given="paying", shows={"errors.0.pointer": "/outcome"}),
    Row(asks=f"POST {ORDER}/attention", body=record("rejected", 0), answer=409, code="already_decided", given="prepared"),
    Row(asks=f"POST {ORDER}/attention", body=record("confirmed", -1), answer=422, code="invalid_amount", given="paying",
        shows={"errors.0.pointer": "/amount"}),
    Row(asks=f"POST {ORDER}/attention", body=record("confirmed", 1, currency="ZZZ"), answer=422, code="invalid_currency",
        given="paying", shows={"errors.0.pointer": "/currency"}),
    Row(asks=f"POST {ORDER}/attention", body=record("rejected", 0), answer=403, code="insufficient_scope", who="owner",
        given="paying"),
    # Discounts, on an order and at its creation.
    *(
        Row(asks=asks, body=body | {name: wrapped}, answer=422, code=code, given="many_promotions",
            shows={"errors.0.pointer": pointer, "errors.0.code": code})
        for which, code in (
            ("NONE", "discount_not_found"),
            ("{inactive}", "discount_not_active"),
            ("{over}", "discount_not_active"),
            ("{dollars}", "discount_not_applicable"),
            ("{once}", "discount_exhausted"),
            ("{once_each}", "discount_exhausted"),
        )
        for asks, body, name, wrapped, pointer in (
            ("POST /api/orders/{plain}/discounts", {}, "code", which, "/code"),
            (CREATE, NEW, "discount_codes", [which], "/discount_codes/0"),
        )
    ),
    Row(asks=f"POST {ORDER}/discounts", body={"code": "{good}"}, answer=422, code="discount_not_combinable",
        given="many_promotions"),
    Row(asks=CREATE, body=new(discount_codes=["{good}", "{once}"]), answer=422, code="discount_not_combinable",
        given="many_promotions", shows={"errors.0.pointer": "/discount_codes/1"}),
    # Promotions.
    Row(asks="POST /api/promotions", body={"code": "{code}", "kind": "free_shipping"}, answer=409, code="promotion_exists",
        given="a_promotion"),
    Row(asks="PATCH /api/promotions/{code}", body={"amount": 5}, answer=422, code="invalid_promotion", given="a_promotion"),
    Row(asks="POST /api/promotions", body={"code": "{new}", "kind": "percentage"}, answer=422, code="invalid_request",
        about="without its fraction"),
)  # fmt: skip
