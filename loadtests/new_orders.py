"""New orders: many shoppers who put a few things into an order and come back to look at it once. The write-heavy peak of a shop.

    ./.venv/bin/locust -f loadtests/new_orders.py --headless --users 32 --spawn-rate 16 --run-time 30s --host http://127.0.0.1:8000

The token is read from ``endpoints.json`` of the state folder (``ORDERSVC_STATE_DIR``, or ``.state``).
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from uuid import uuid4

from locust import FastHttpUser, between, task

ENDPOINTS = json.loads((Path(os.environ.get("ORDERSVC_STATE_DIR", ".state")) / "endpoints.json").read_text())
SKUS = 200
LINES_MAX = 3


class Shopper(FastHttpUser):
    """Creates an order, then looks at it."""

    host = ENDPOINTS["api"]
    wait_time = between(0.0, 0.1)

    @task
    def order(self) -> None:
        """Put an order in, and look at it."""
        items = [{"sku": f"load-sku-{sku}", "quantity": 1} for sku in random.sample(range(SKUS), LINES_MAX)]
        headers = {"Authorization": f"Bearer {ENDPOINTS['token']}", "Idempotency-Key": str(uuid4())}
        body = {"customer_id": f"load-customer-{random.randrange(1000)}", "currency": "EUR", "items": items}
        with self.client.post("/api/orders", json=body, headers=headers, name="create", catch_response=True) as answer:
            if answer.status_code != 201:  # noqa: PLR2004 - Created
                answer.failure(f"{answer.status_code}")
                return
            order_id = answer.json()["id"]
        self.client.get(f"/api/orders/{order_id}", headers=headers, name="look")
