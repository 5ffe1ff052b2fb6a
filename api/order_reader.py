"""Showing committed orders: read, checked against who asks, and rendered.

An order of another customer does not exist for a token that has a customer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from api.access.security import Caller
from api.ports import QueriesPort
from api.shapes.audience import shown_to
from api.shapes.ids import order_not_found
from domain.order import Order

RENDERED_MAX_ORDERS = 512

encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Shown:
    """A document as JSON, and the version of the order that it shows."""

    version: int
    document: bytes


class OrderReader:
    """Reads orders for callers. Every method raises ``StorageUnavailable``."""

    def __init__(self, queries: QueriesPort) -> None:
        self._queries = queries
        self._last: dict[tuple[str, bool], tuple[Order, Shown]] = {}

    async def order(self, order_id: str, caller: Caller) -> Order:
        """Give an order; raises ``Refused`` ``order_not_found`` where it does not exist for the caller."""
        order = await self._queries.order(order_id)
        if order is None or (caller.customer_id is not None and order.customer_id != caller.customer_id):
            raise order_not_found()
        return order

    async def exists(self, order_id: str) -> bool:
        """Tell whether there is such an order, of any customer."""
        return await self._queries.order(order_id) is not None

    async def is_of(self, order_id: str, customer_id: str | None) -> bool:
        """Tell whether there is such an order of the customer, or of any customer where none is named."""
        order = await self._queries.order(order_id)
        return order is not None and customer_id in (None, order.customer_id)

    async def shown(self, order_id: str, caller: Caller, how: Callable[[Order], dict[str, Any]] | None = None) -> Shown:
        """Give the order's document, or what ``how`` makes of the order, encoded; raises as ``order`` does."""
        order = await self.order(order_id, caller)
        return self._represented(order, caller) if how is None else Shown(order.version, encode(how(order)))

    def _represented(self, order: Order, caller: Caller) -> Shown:
        """Render an order, or give what was made of it the last time: reads of an unchanged order give the same object."""
        key = (order.id, caller.sees_internals)
        last = self._last.pop(key, None)
        if last is None or last[0] is not order:
            if len(self._last) >= RENDERED_MAX_ORDERS:
                del self._last[next(iter(self._last))]
            last = (order, Shown(order.version, encode(shown_to(caller, order))))
        self._last[key] = last
        return last[1]
