"""What the clients ask for: the same orders on both sides of a comparison, three lines each unless said otherwise.

Only values and bytes; nothing is sent here. Ids are made from a counter and a run's tag, so that rounds never meet.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec

from benchmarks.client import request_bytes

LINES = 3
# The sandbox knows any customer and any product of these forms.
CUSTOMERS = tuple(f"load-customer-{number}" for number in range(1, 101))
SKUS = tuple(f"load-sku-{number}" for number in range(1, 101))
PRICE = 1999


def create_body(
    index: int, lines: int = LINES, skus: tuple[str, ...] = SKUS, customers: tuple[str, ...] = CUSTOMERS
) -> bytes:
    """Write the body of ``POST /api/orders``."""
    return msgspec.json.encode(
        {
            "customer_id": customers[index % len(customers)],
            "currency": "EUR",
            "items": [{"sku": skus[(index + line) % len(skus)], "quantity": 1 + line % 2} for line in range(lines)],
            "metadata": {"channel": "web"},
        }
    )


def create_request(token: str, index: int, tag: str, *, wait_s: int = 0, body: bytes | None = None) -> bytes:
    """Write the whole request that creates an order; ``tag`` and ``index`` make the idempotency key."""
    headers = [("idempotency-key", f"{tag}-{index}")]
    if wait_s:
        headers.append(("prefer", f"wait={wait_s}"))
    return request_bytes("POST", "/api/orders", token=token, body=body or create_body(index), headers=tuple(headers))


def order_document(order_id: str, version: int, status: str, lines: int = LINES) -> dict[str, Any]:
    """Write an order as a hand-written service would keep it: the contract's fields, no payment yet."""
    items = [
        {
            "id": f"line-{line + 1}",
            "sku": SKUS[line % len(SKUS)],
            "name": f"A product with an ordinary name {line}",
            "quantity": 2,
            "unit_price": PRICE,
            "discount": 0,
            "tax": 840,
            "total": 2 * PRICE + 840,
            "shipped": 0,
            "delivered": 0,
        }
        for line in range(lines)
    ]
    net = 2 * PRICE * lines
    total = net + 840 * lines + 490 + 103
    return {
        "id": order_id,
        "number": None,
        "version": version,
        "revision": 1,
        "status": status,
        "payment_status": "unpaid",
        "fulfillment_status": "unfulfilled",
        "customer": {"id": CUSTOMERS[0], "name": "Ana Ejemplo", "email": "ana@example.org"},
        "currency": "EUR",
        "items": items,
        "discounts": [],
        "shipping": {"method": "standard", "amount": 490},
        "totals": {
            "items": net,
            "discount": 0,
            "shipping": 490,
            "tax": 840 * lines + 103,
            "total": total,
            "paid": 0,
            "refunded": 0,
            "balance": total,
        },
        "shipping_address": {"line1": "Calle Mayor 1", "city": "Madrid", "postal_code": "28013", "country": "ES"},
        "payments": [],
        "shipments": [],
        "metadata": {"channel": "web"},
        "expires_at": "2026-11-24T10:45:30.123Z",
        "created_at": "2026-11-24T10:15:30.123Z",
        "updated_at": "2026-11-24T10:15:30.123Z",
    }


def event_of(document: dict[str, Any]) -> dict[str, Any]:
    """Write the CloudEvent that tells of an order's change, as in contracts/events.md."""
    version = document["version"]
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": f"/ordersvc/orders/{document['id']}",
        "type": "PedidoCreado" if version == 1 else "PedidoActualizado",
        "subject": document["id"],
        "time": document["updated_at"],
        "datacontenttype": "application/json",
        "sequence": f"{version:020d}",
        "correlationid": document["id"],
        "data": {
            "order_id": document["id"],
            "number": document["number"],
            "version": version,
            "status": document["status"],
            "payment_status": document["payment_status"],
            "customer_id": document["customer"]["id"],
            "currency": document["currency"],
            "totals": document["totals"],
        },
    }
