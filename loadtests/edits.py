"""Imitates customers who change their minds: items added, changed, removed, and the order validated anew each time."""

from __future__ import annotations

from locust import task

from loadtests.shopper import SKUS, WAIT_S, Shopper

EDITS = 4
REMOVALS_SHARE = 0.5


class Edits(Shopper):
    """Creates an order a visit and edits it some times."""

    @task
    def edit(self) -> None:
        """Create, then edit."""
        order = self.create(wait_s=WAIT_S)
        for turn in range(EDITS):
            if order is None:
                return
            items = f"/api/orders/{order['id']}/items"
            last = order["items"][-1]["id"]
            if turn % 2 == 0:
                sku = f"load-sku-{self.random.randrange(SKUS)}"
                order = self.send("POST", items, "add_item", {"sku": sku, "quantity": 1})
            elif len(order["items"]) > 1 and self.random.random() < REMOVALS_SHARE:
                order = self.send("DELETE", f"{items}/{last}", "remove_item")
            else:
                order = self.send("PUT", f"{items}/{last}/quantity", "change_quantity", {"quantity": turn + 2})
