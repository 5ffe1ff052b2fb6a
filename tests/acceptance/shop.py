"""A client of the running service, as a shop would be one: it speaks to the API with the admin token, and steers the sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more_headers: str,
    ) -> tuple[int, Any, dict[str, str]]:
        """Speak to the API, with the admin token unless another (empty: none) is given: status, JSON, headers (lower
        case). A body that is bytes is sent as it is; what is answered is given as text where it is no JSON.
        """
        named = {name.replace("_", "-"): value for name, value in more_headers.items()} | dict(headers or {})
        answer = self.raw(method, path, body, key=key, token=token, headers=named)
        told = answer.data.decode() or None
        if "json" in answer.headers.get("Content-Type", ""):
            told = json.loads(answer.data)
        return answer.status, told, {name.lower(): value for name, value in answer.headers.items()}

    def raw(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """The answer as it came; see ``ask``."""
        sent: dict[str, str] = {}
        if token != "":
            sent["Authorization"] = f"Bearer {token or self.endpoints['token']}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        if key is not None:
            sent["Idempotency-Key"] = key
        return self._http.request(
            method,
            self.endpoints["api"] + path,
            body=body if body is None or isinstance(body, bytes) else json.dumps(body).encode(),
            headers=sent | dict(headers or {}),
            timeout=ANSWER_LIMIT_S,
        )

    def token(self, scope: str, *, customer: str = "", subject: str = "", ttl_s: int = 3600) -> str:
        """A token of somebody's own, signed as the service's own identity provider would."""
        key = (self.folder / "jwt-key.secret").read_text()
        return make_token(key, scope=scope, customer=customer, subject=subject or f"tester-{uuid4()}", ttl_s=ttl_s)

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
