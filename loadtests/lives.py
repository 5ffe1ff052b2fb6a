"""The steps of an order's life as a customer and the staff take them; shared by scenarios, not one itself."""

from __future__ import annotations

import time

from loadtests.shopper import POLL_S, PREPARED_TRIES_MAX, WAIT_S, Json, Shopper

PREPARED_OR_BEYOND = ("prepared", "shipped", "delivered")


def live(shopper: Shopper, *, codes: tuple[str, ...] = (), skus: list[str] | None = None) -> bool:
    """Order, pay, wait until it is prepared, ship, deliver; False as soon as a step is refused."""
    order = shopper.create(skus, codes=codes, wait_s=WAIT_S)
    if order is None or shopper.pay(order["id"]) is None or not prepared(shopper, order["id"]):
        return False
    return shopper.ship(order["id"]) is not None and shopper.deliver(order["id"]) is not None


def prepared(shopper: Shopper, order_id: str) -> bool:
    """Look at the order until it is prepared; False when it takes too long."""
    for _ in range(PREPARED_TRIES_MAX):
        shown: Json | None = shopper.get(f"/api/orders/{order_id}", "get")
        if shown is not None and shown["status"] in PREPARED_OR_BEYOND:
            return True
        time.sleep(POLL_S)  # gevent's own: locust has put it in the place of the blocking one
    return False
