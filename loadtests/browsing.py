"""Imitates people who look: own orders page by page, one order, its timeline, staff lists with filters, statistics."""

from __future__ import annotations

from urllib.parse import quote

from locust import task

from loadtests.shopper import CUSTOMERS, Shopper

PAGES_MAX = 3


class Browsing(Shopper):
    """Reads only; a few orders are created first, so that there is something to see."""

    def on_start(self) -> None:
        """Leave an order behind."""
        order = self.create()
        self.order_id = order["id"] if order is not None else None

    @task(5)
    def customer(self) -> None:
        """Turn the pages of one customer's orders."""
        target = f"/api/customers/load-customer-{self.random.randrange(CUSTOMERS)}/orders?limit=20"
        cursor = ""
        for _ in range(PAGES_MAX):
            page = self.get(target + cursor, "list_of_customer")
            if page is None or not page["page"]["has_more"]:
                return
            cursor = f"&cursor={quote(page['page']['next_cursor'])}"

    @task(10)
    def one(self) -> None:
        """Look at one order and what happened to it."""
        if self.order_id is not None:
            self.get(f"/api/orders/{self.order_id}", "get")
            self.get(f"/api/orders/{self.order_id}/timeline", "timeline")

    @task(3)
    def staff(self) -> None:
        """Look at what waits for a payment, dearest first."""
        self.get("/api/orders?status=validated&sort=-total&limit=50", "list_of_staff")

    @task(1)
    def statistics(self) -> None:
        """Look at the numbers of the day."""
        self.get("/api/orders/statistics?bucket=hour&group_by=status", "statistics")
