"""Imitates an ordinary day from end to end: order, payment, preparation, shipping, delivery, one customer at a time."""

from __future__ import annotations

from locust import task

from loadtests.lives import live
from loadtests.shopper import Shopper


class WholeLife(Shopper):
    """Takes one order through its whole life a visit."""

    @task
    def life(self) -> None:
        """Live."""
        live(self)
