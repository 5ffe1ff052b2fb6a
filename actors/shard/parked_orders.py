"""Orders that wait while a partner's circuit is open: one is sent ahead now and then, and once it was answered the others follow.

Without it each of them would try again by its own clock, with two commits a try, only to get the same answer from the bulkhead.
What is kept here is a hint: an order that is forgotten, with the process or as there are too many, comes back at its deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from domain.calls import NotSent, Outcome, Partner, Unknown

FOLLOW_EVERY_S = 0.1


@dataclass(slots=True)
class _Queue:
    """The orders that wait for one partner, longest first. ``is_open``: it has not answered since its circuit was open.

    ``ahead_s``: when the next one is sent ahead; a lone order must not be written again every other second for hours.
    """

    ahead_s: float
    waiting: dict[str, None] = field(default_factory=dict)
    is_open: bool = False
    timer: asyncio.TimerHandle | None = None


class ParkedOrders:
    """A queue for each partner. Use it on one event loop only."""

    def __init__(
        self,
        ask_again: Callable[[str, Partner], None],
        *,
        waiting_max_orders: int = 50_000,
        ahead_first_s: float = 2.0,
        ahead_max_s: float = 15.0,
        follow_max_orders_per_s: int = 200,
    ) -> None:
        """``ask_again`` sends an order (by its id) to the partner, if it still wants to. ``waiting_max_orders``: a partner.

        The time between two that are sent ahead doubles from ``ahead_first_s`` to ``ahead_max_s`` while the partner does not answer.
        """
        self._ask_again = ask_again
        self._waiting_max_orders = waiting_max_orders
        self._ahead_first_s = ahead_first_s
        self._ahead_max_s = ahead_max_s
        self._follow_max_orders = max(1, round(follow_max_orders_per_s * FOLLOW_EVERY_S))
        self._queues = {partner: _Queue(ahead_first_s) for partner in Partner}

    @property
    def waiting(self) -> int:
        """Orders that wait, for all partners together."""
        return sum(len(queue.waiting) for queue in self._queues.values())

    def answered(self, partner: Partner, order_id: str, outcome: Outcome) -> None:
        """An order has its answer from this partner, or the answer that its circuit is open."""
        queue = self._queues[partner]
        if isinstance(outcome, NotSent) and outcome.circuit_open:
            queue.is_open = True
            if len(queue.waiting) < self._waiting_max_orders:
                queue.waiting[order_id] = None
                self._set_timer(partner, queue)
            return
        queue.waiting.pop(order_id, None)
        if queue.is_open and not isinstance(outcome, NotSent | Unknown):
            queue.is_open = False
            queue.ahead_s = self._ahead_first_s
            if queue.timer is not None:
                queue.timer.cancel()
                queue.timer = None
            self._set_timer(partner, queue)

    def forget(self, order_ids: Iterable[str]) -> None:
        """These orders are owned elsewhere now."""
        for order_id in order_ids:
            for queue in self._queues.values():
                queue.waiting.pop(order_id, None)

    def _set_timer(self, partner: Partner, queue: _Queue) -> None:
        if queue.timer is None and queue.waiting:
            wait_s = queue.ahead_s if queue.is_open else FOLLOW_EVERY_S
            queue.timer = asyncio.get_running_loop().call_later(wait_s, self._go_on, partner, queue)

    def _go_on(self, partner: Partner, queue: _Queue) -> None:
        queue.timer = None
        count = self._follow_max_orders
        if queue.is_open:
            count = 1
            queue.ahead_s = min(2 * queue.ahead_s, self._ahead_max_s)
        try:
            for order_id in list(islice(queue.waiting, count)):
                del queue.waiting[order_id]
                self._ask_again(order_id, partner)
        finally:
            self._set_timer(partner, queue)
