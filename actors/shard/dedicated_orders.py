"""Orders with a process to themselves: who gets one, and the way there.

The literal reading of "an order is a Ray actor", and a bulkhead for the orders that deserve one. Making a process takes most of a
second, so the ordinary shard hosts the order until the new process is up. That one asks whichever shard owns the order then to make it
a partition of its own, for which the process comes first (``partitions.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from actors.rpc.clients import ProcessClient
from actors.rpc.connection import CallFailed, ProcessGone
from actors.rpc.process_names import SUPERVISOR
from actors.shard.partitions import OwnedPartitions
from domain.order import Order
from domain.representation import totals
from domain.slices import dedicated_partition
from supervised import supervised, supervised_once

SUPERVISOR_WITHIN_S = 10
STARTED_WITHIN_S = 30
GONE_HOME_WITHIN_S = 30

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


class DedicatedClients(Protocol):
    """The part of ``clients.ProcessClients`` that finds the supervisor."""

    def get(self, name: str) -> ProcessClient: ...


class DedicatedOrders:
    """Gets orders of this shard processes of their own, a bounded number at a time, and ends them when their orders are closed."""

    def __init__(
        self,
        policy: DedicatedPolicy,
        name: str,
        partitions: OwnedPartitions,
        clients: DedicatedClients,
        stop_publishing: Callable[[], Awaitable[None]],
        *,
        at_once_max: int = 2,
        waiting_max_orders: int = 1000,
        refused_wait_s: float = 5.0,
    ) -> None:
        """``name`` and ``partitions`` are those of this shard."""
        self._policy = policy
        self._name = name
        self._partitions = partitions
        self._clients = clients
        self._stop_publishing = stop_publishing
        self._slots = asyncio.Semaphore(at_once_max)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._waiting_max_orders = waiting_max_orders
        self._refused_wait_s = refused_wait_s
        self._not_before_s = 0.0

    def committed(self, order: Order) -> None:
        """An order was committed here: get it a process of its own, or end the one that it has, if it is time for that."""
        if dedicated_partition(order.id) not in self._partitions.mine:
            self._consider(order)
        elif order.is_closed and self._name == dedicated_partition(order.id):
            supervised("go-home", lambda: self._go_home(order.id))

    def _consider(self, order: Order) -> None:
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
                supervisor = await self._supervisor(SUPERVISOR_WITHIN_S)
                if not await asyncio.wait_for(supervisor.call("dedicate", order_id), STARTED_WITHIN_S):
                    self._not_before_s = asyncio.get_running_loop().time() + self._refused_wait_s
                    return
                log.info("order_gets_a_process", order_id=order_id)
            except (ProcessGone, CallFailed, TimeoutError) as error:
                log.warning("order_not_dedicated", order_id=order_id, error=str(error))

    async def _go_home(self, order_id: str) -> None:
        """The order of this process is closed: once it is back in the partition of its slice, the process ends.

        What keeps it from that is seen to by the supervisor.
        """
        self._partitions.recheck_soon()
        await asyncio.wait_for(self._partitions.emptied.wait(), GONE_HOME_WITHIN_S)
        await self._stop_publishing()  # what can't be said now is found unpublished by the shard that has it then
        supervisor = await self._supervisor(GONE_HOME_WITHIN_S)
        await supervisor.call("dismiss", order_id)

    async def _supervisor(self, within_s: float) -> ProcessClient:
        supervisor = self._clients.get(SUPERVISOR)
        await asyncio.wait_for(supervisor.found.wait(), within_s)
        return supervisor
