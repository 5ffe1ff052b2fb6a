"""What all scenarios share: a customer with a token, a pace, and the requests of the contract. No scenario is here.

The token is read from the service's ``endpoints.json``; it is in no command line and in no report.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import FastHttpUser
from locust.env import Environment

from settings import settings

REQUEST_TIMEOUT_S = 30.0
CUSTOMERS = 10_000
SKUS = 1_000
LINES_MAX = 3
WAIT_S = 10
PREPARED_TRIES_MAX = 50
POLL_S = 0.1
# How much lateness a user makes up for; beyond it the rate is simply not reached.
LATE_MAX_S = 5.0
SUCCESS = 2

Json = dict[str, Any]


@events.init_command_line_parser.add_listener
def _arguments(parser: LocustArgumentParser) -> None:
    parser.add_argument("--state-dir", default=str(settings().state_dir), help="state folder of the running service")
    parser.add_argument("--user-rate", type=float, default=1.0, help="tasks a second of each user")


class Shopper(FastHttpUser):
    """A customer who comes at a constant pace, however long the last visit took (within what one user can do)."""

    abstract = True
    network_timeout = REQUEST_TIMEOUT_S
    connection_timeout = REQUEST_TIMEOUT_S

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        options = environment.parsed_options
        if options is None:
            raise RuntimeError("start scenarios with ./dev load")
        self._pace_s: float = 1.0 / options.user_rate
        # Users that started together do not all come at the same moment.
        self._due_s = time.monotonic() - random.random() * self._pace_s
        self._token = json.loads((Path(options.state_dir) / "endpoints.json").read_text())["token"]
        self.random = random.Random(uuid4().int)

    def wait_time(self) -> float:
        """Give the seconds until the next visit is due; 0 when it is late already."""
        now_s = time.monotonic()
        self._due_s = max(self._due_s + self._pace_s, now_s - LATE_MAX_S)
        wait_s: float = max(0.0, self._due_s - now_s)
        return wait_s

    # What customers and staff do. Each gives the answer's JSON, or None when it was refused.

    def create(self, skus: list[str] | None = None, *, codes: tuple[str, ...] = (), wait_s: int = 0) -> Json | None:
        """Create an order."""
        chosen = skus or [f"load-sku-{self.random.randrange(SKUS)}" for _ in range(self.random.randint(1, LINES_MAX))]
        body: Json = {
            "customer_id": f"load-customer-{self.random.randrange(CUSTOMERS)}",
            "currency": "EUR",
            "items": [{"sku": sku, "quantity": self.random.randint(1, 3)} for sku in dict.fromkeys(chosen)],
        }
        if codes:
            body["discount_codes"] = list(codes)
        return self.send("POST", "/api/orders", "create", body, wait_s=wait_s)

    def pay(self, order_id: str, *, wait_s: int = WAIT_S) -> Json | None:
        """Pay the balance."""
        body = {"method": "card", "token": "tok_visa"}
        return self.send("POST", f"/api/orders/{order_id}/payments", "pay", body, wait_s=wait_s)

    def ship(self, order_id: str) -> Json | None:
        """Ship everything."""
        body = {"status": "shipped", "carrier": "Correos", "tracking_number": "PQ4F6P"}
        return self.send("PUT", f"/api/orders/{order_id}/status", "ship", body)

    def deliver(self, order_id: str) -> Json | None:
        """Deliver everything."""
        return self.send("PUT", f"/api/orders/{order_id}/status", "deliver", {"status": "delivered"})

    def get(self, target: str, name: str, *, also: tuple[int, ...] = ()) -> Json | None:
        """Read something; ``name`` is its line in the report."""
        return self.send("GET", target, name, also=also)

    def send(
        self,
        method: str,
        target: str,
        name: str,
        body: Json | None = None,
        *,
        wait_s: int = 0,
        also: tuple[int, ...] = (),
    ) -> Json | None:
        """Send one request. 2xx and the statuses in ``also`` are no errors; 429 and 503 are counted as such."""
        headers = {"authorization": f"Bearer {self._token}"}
        if method != "GET":
            headers["idempotency-key"] = uuid4().hex
        if wait_s:
            headers["prefer"] = f"wait={wait_s}"
        with self.client.request(
            method, target, name=name, json=body, headers=headers, catch_response=True
        ) as response:
            if response.status_code // 100 == SUCCESS:
                response.success()
                answer: Json | None = json.loads(response.text or "null")
                return answer
            if response.status_code in also:
                response.success()
            else:
                response.failure(f"{response.status_code} {(response.text or '')[:200]}")
        return None
