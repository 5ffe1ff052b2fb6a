"""Orders with a process to themselves: who gets one, and the way there.

The literal reading of "an order is a Ray actor", and a bulkhead for the orders that deserve one. Making a process takes most of a
second, so the ordinary shard hosts the order until the new process is up. That one asks whichever shard owns the order then to make it
a partition of its own, for which the process comes first (``partitions.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from actors.link import CallFailed, ProcessGone
from domain.document import totals
from domain.order import Order
from supervised import supervised_once

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class DedicatedPolicy:
    """``mode``: none, some (a minimum total in minor units, or one of ``customers``), or all."""

    mode: str = "none"
    min_total: int = 0
    customers: frozenset[str] = frozenset()

    def wants(self, order: Order) -> bool:
        """Whether the order deserves a process of its own."""
        if self.mode == "none" or order.is_closed:
            return False
        if self.mode == "all" or order.customer_id in self.customers:
            return True
        return 0 < self.min_total <= totals(order).total


class DedicatedOrders:
    """Gets orders of this shard processes of their own, a bounded number at a time."""

    def __init__(
        self,
        policy: DedicatedPolicy,
        start: Callable[[str], Awaitable[bool]],
        *,
        at_once_max: int = 2,
        waiting_max_orders: int = 1000,
        refused_wait_s: float = 5.0,
    ) -> None:
        """``start(order_id)`` makes the process, False if there may be no more."""
        self._policy = policy
        self._start = start
        self._slots = asyncio.Semaphore(at_once_max)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._waiting_max_orders = waiting_max_orders
        self._refused_wait_s = refused_wait_s
        self._not_before_s = 0.0

    def consider(self, order: Order) -> None:
        """An order was committed here: get it a process of its own if the policy says so and there is room."""
        if order.id in self._under_way or not self._policy.wants(order):
            return
        loop = asyncio.get_running_loop()
        if len(self._under_way) >= self._waiting_max_orders or loop.time() < self._not_before_s:
            return
        task = self._under_way[order.id] = supervised_once("dedicate", self._move(order.id), order_id=order.id)
        task.add_done_callback(lambda _: self._under_way.pop(order.id, None))

    async def _move(self, order_id: str) -> None:
        async with self._slots:
            try:
                if not await self._start(order_id):
                    self._not_before_s = asyncio.get_running_loop().time() + self._refused_wait_s
                    return
                log.info("order_gets_a_process", order_id=order_id)
            except (ProcessGone, CallFailed, TimeoutError) as error:
                log.warning("order_not_dedicated", order_id=order_id, error=str(error))
