"""Who waits for an order to get somewhere: ``Prefer: wait``. A wake-up only; what is told is then read from the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from domain.order import Order, Status
from domain.payments import PaymentStatus

if TYPE_CHECKING:
    from collections.abc import Callable

UNSETTLED = (PaymentStatus.PROCESSING, PaymentStatus.IN_DOUBT)


def reached(order: Order, until: str) -> bool:
    """Say whether the order has got to ``until``: ``validated`` (validated, past it, or cancelled; or it waits for an
    edit to be mended), or ``payment:<id>`` (settled).
    """
    if until.startswith("payment:"):
        payment_id = until.removeprefix("payment:")
        return any(p.payment_id == payment_id and p.status not in UNSETTLED for p in order.payments)
    if order.status is Status.CREATED:
        return bool(order.validation_errors)
    return order.status is not Status.CANCELLING


class Watches:
    """The waiting futures, by order. Their number is bounded where they come in (``link.WATCHES_MAX``)."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[str, asyncio.Future[None]]]] = {}

    async def until(self, order_id: str, until: str, look: Callable[[str], Order | None]) -> None:
        """Return when the order is there, at once if ``look`` shows that it is already."""
        order = look(order_id)
        if order is not None and reached(order, until):
            return
        entry = (until, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(order_id, []).append(entry)
        try:
            await entry[1]
        finally:
            entries = self._waiting.get(order_id)
            if entries is not None and entry in entries:
                entries.remove(entry)
                if not entries:
                    del self._waiting[order_id]

    def moved(self, order: Order) -> None:
        """An order was committed: wake those whose wish came true."""
        for until, future in self._waiting.get(order.id, ()):
            if not future.done() and reached(order, until):
                future.set_result(None)
