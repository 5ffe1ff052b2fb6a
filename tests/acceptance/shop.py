"""A client of the running service, as a shop would be one: it speaks to the API with the admin token, and steers the sandbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import urllib3

from local.tokens import make_token
from tests.acceptance.started import until

CONNECTIONS_MAX = 32
ANSWER_LIMIT_S = 30.0


class Shop:
    """Speaks to the service of ``endpoints`` whose state folder is ``folder``."""

    def __init__(self, endpoints: dict[str, str], folder: Path) -> None:
        self.endpoints = endpoints
        self.folder = folder
        self._http = urllib3.PoolManager(maxsize=CONNECTIONS_MAX, retries=False)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        token: str = "",
        **headers: str,
    ) -> tuple[int, Any, dict[str, str]]:
        """Speak to the API, with the admin token unless another is given: status, JSON, headers (lower case)."""
        sent = {
            "Authorization": f"Bearer {token or self.endpoints['token']}",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        if body is not None:
            sent["Content-Type"] = "application/json"
        if key is not None:
            sent["Idempotency-Key"] = key
        answer = self._http.request(
            method,
            self.endpoints["api"] + path,
            body=None if body is None else json.dumps(body).encode(),
            headers=sent,
            timeout=ANSWER_LIMIT_S,
        )
        told = json.loads(answer.data) if answer.data else None
        return answer.status, told, {k.lower(): v for k, v in answer.headers.items()}

    def token(self, scope: str, *, customer: str = "", subject: str = "") -> str:
        """A token of somebody's own, signed as the service's own identity provider would."""
        key = (self.folder / "jwt-key.secret").read_text()
        return make_token(key, scope=scope, customer=customer, subject=subject or f"tester-{uuid4()}")

    def create(
        self, *, sku: str = "load-sku-1", quantity: int = 2, customer: str = "c-1001", key: str | None = None
    ) -> Any:
        """An order, validated."""
        body = {"customer_id": customer, "currency": "EUR", "items": [{"sku": sku, "quantity": quantity}]}
        status, order, _ = self.ask("POST", "/api/orders", body, key=key or str(uuid4()), Prefer="wait=10")
        assert status == 201, order
        return order

    def order(self, order_id: str) -> Any:
        """The order as it is committed."""
        status, order, _ = self.ask("GET", f"/api/orders/{order_id}")
        assert status == 200, order
        return order

    def reached(self, order_id: str, *statuses: str, limit_s: float = 60.0) -> Any:
        """The order once it has one of the statuses."""

        def there() -> Any:
            order = self.order(order_id)
            return order if order["status"] in statuses else None

        return until(there, f"order {order_id} becoming {' or '.join(statuses)}", limit_s)

    def partner(self, name: str, method: str, path: str, body: object = None) -> Any:
        """Speak to the sandbox: ``name`` is product, payment, user or sandbox."""
        base = self.endpoints["payment"].removesuffix("/payment")
        data = None if body is None else json.dumps(body).encode()
        answer = self._http.request(
            method,
            f"{base}/{name}{path}",
            body=data,
            headers={"Content-Type": "application/json"},
            timeout=ANSWER_LIMIT_S,
        )
        assert answer.status < 300, (answer.status, answer.data)
        return json.loads(answer.data) if answer.data else None
