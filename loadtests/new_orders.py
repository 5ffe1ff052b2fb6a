"""Imitates a busy hour at the till: new orders of one to three lines, nothing else. Each is validated behind it."""

from __future__ import annotations

from locust import task

from loadtests.shopper import Shopper


class NewOrders(Shopper):
    """Creates an order a visit and does not wait for its validation."""

    @task
    def order(self) -> None:
        """Create."""
        self.create()
