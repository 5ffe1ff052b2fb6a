"""Imitates the first minutes of a sale: everyone wants the same five products, and only the first get the promotion.

The promotion is made when the load begins. When its uses are gone, orders with its code are refused (422
``discount_exhausted``), which is right and no error; those customers order without it.
"""

from __future__ import annotations

from typing import ClassVar
from uuid import uuid4

from locust import task

from loadtests.lives import live
from loadtests.shopper import Shopper

SKUS = [f"load-sku-{number}" for number in range(5)]
USES_MAX = 200


class Sale(Shopper):
    """Orders with the code while it works, and pays."""

    code: ClassVar[str] = ""
    is_over: ClassVar[bool] = False

    def on_start(self) -> None:
        """Make the promotion, once for all users."""
        if not Sale.code:
            Sale.code = f"SALE-{uuid4().hex[:8].upper()}"
            body = {"code": Sale.code, "kind": "percentage", "fraction": "0.2000", "max_uses": USES_MAX}
            self.send("POST", "/api/promotions", "make_promotion", body)

    @task(3)
    def buy(self) -> None:
        """Buy one of the few, at the price of the sale if there is any left."""
        wanted = [self.random.choice(SKUS)]
        if Sale.is_over:
            live(self, skus=wanted)
            return
        body = {
            "customer_id": f"load-customer-{self.random.randrange(1_000_000)}",
            "currency": "EUR",
            "items": [{"sku": wanted[0], "quantity": 1}],
            "discount_codes": [Sale.code],
        }
        if self.send("POST", "/api/orders", "create_with_code", body, also=(422,)) is None:
            Sale.is_over = True

    @task(1)
    def hesitate(self) -> None:
        """Look whether the promotion is still there."""
        self.get(f"/api/promotions/{Sale.code}", "get_promotion")
