"""How much is asked of this process at once, and whom it turns away first.

A queue that is longer than what can be done in a second helps no client: the one at its end gives up before its turn, and the
work is done for nothing. So the bound is low, and new orders meet it at half of it: an order that was let in is to get to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Load:
    """Counts the requests that are worked on; those that wait for something to happen elsewhere cost nothing and don't count."""

    __slots__ = ("max_requests", "max_with_new_orders", "requests")

    def __init__(self, max_requests: int) -> None:
        """``max_requests``: from there on every request is turned away; new orders from the half of it on."""
        self.max_requests = max_requests
        self.max_with_new_orders = max(1, max_requests // 2)
        self.requests = 0

    def admits(self, *, is_new_order: bool) -> bool:
        """Tell whether the request that was counted last may be worked on."""
        return self.requests <= (self.max_with_new_orders if is_new_order else self.max_requests)

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Within this a request waits and does not count."""
        self.requests -= 1
        try:
            yield
        finally:
            self.requests += 1
