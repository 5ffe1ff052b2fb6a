"""Imitates one order that everybody is at: edits and reads of it from all users, while others order as always.

The order's mailbox takes one message at a time and refuses more than it can hold (429, 503): that is right and no
error. What this shows is whether the neighbours notice.
"""

from __future__ import annotations

import itertools
from typing import ClassVar

from locust import task

from loadtests.shopper import WAIT_S, Json, Shopper

REFUSALS = (409, 429, 503)


class OneHotOrder(Shopper):
    """Nine visits of ten go to the one order; the tenth is an ordinary one."""

    hot: ClassVar[Json | None] = None
    quantities: ClassVar[itertools.cycle[int]] = itertools.cycle(range(1, 100))

    def on_start(self) -> None:
        """Make the hot order, once for all users."""
        if OneHotOrder.hot is None:
            OneHotOrder.hot = self.create(wait_s=WAIT_S)

    @task(6)
    def change(self) -> None:
        """Change a quantity of the hot order."""
        hot = OneHotOrder.hot
        if hot is not None:
            target = f"/api/orders/{hot['id']}/items/{hot['items'][0]['id']}/quantity"
            self.send("PUT", target, "hot_change", {"quantity": next(self.quantities)}, also=REFUSALS)

    @task(3)
    def look(self) -> None:
        """Read the hot order."""
        if OneHotOrder.hot is not None:
            self.get(f"/api/orders/{OneHotOrder.hot['id']}", "hot_get")

    @task(1)
    def neighbour(self) -> None:
        """Order something else."""
        self.create()
