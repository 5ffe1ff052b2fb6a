"""Imitates a day on which PaymentSvc is slow: each charge takes two to three seconds, while others order and browse.

The sandbox is told by its knobs; afterwards they are taken away again. What this shows is whether reads and creations
stay quick, and whether every payment still gets to its end.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import Request, urlopen

from locust import events, task
from locust.env import Environment

from loadtests.addresses import base_of, require_loopback
from loadtests.shopper import WAIT_S, Shopper

SLOW: dict[str, object] = {"operation": "charge", "effect": "delay", "delay_ms": [2000, 3000]}
TIMEOUT_S = 5.0


def _knobs(environment: Environment, knobs: list[dict[str, object]]) -> None:
    options = environment.parsed_options
    if options is None:
        raise RuntimeError("start scenarios with ./dev load")
    payment: str = json.loads((Path(options.state_dir) / "endpoints.json").read_text())["payment"]
    require_loopback(payment)
    body = json.dumps({"knobs": knobs}).encode()
    request = Request(f"{base_of(payment)}/sandbox/knobs", data=body, method="PUT")  # noqa: S310  checked above
    with urlopen(request, timeout=TIMEOUT_S):  # noqa: S310  checked above
        pass


@events.test_start.add_listener
def _slow_down(environment: Environment, **_: object) -> None:
    _knobs(environment, [SLOW])


@events.test_stop.add_listener
def _speed_up(environment: Environment, **_: object) -> None:
    _knobs(environment, [])


class PartnerSlow(Shopper):
    """Pays and looks; half of the visits have nothing to do with payments."""

    @task(2)
    def pay_slowly(self) -> None:
        """Order and pay, without staying to wait for the end."""
        order = self.create(wait_s=WAIT_S)
        if order is not None and self.pay(order["id"], wait_s=0) is not None:
            self.get(f"/api/orders/{order['id']}/payments/status", "payment_status")

    @task(2)
    def look(self) -> None:
        """Read a list."""
        self.get("/api/orders?limit=20", "list_of_staff")
