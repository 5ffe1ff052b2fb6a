"""Who waits for an order to get somewhere: ``Prefer: wait``. They get the order as the commit that brought it there left it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from actors.replies import Reply, make_reply
from domain.order import Order, Status
from domain.payments import PaymentStatus
from sagas.decision import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

UNSETTLED = (PaymentStatus.PROCESSING, PaymentStatus.IN_DOUBT)
_PAYMENT = "payment:"


def reached(order: Order, until: str) -> bool:
    """Say whether the order has got to ``until``: ``validated`` (validated, past it, or cancelled; or it waits for an
    edit to be mended), or ``payment:<id>`` (settled).
    """
    if until.startswith(_PAYMENT):
        payment_id = until.removeprefix(_PAYMENT)
        return any(p.payment_id == payment_id and p.status not in UNSETTLED for p in order.payments)
    if order.status is Status.CREATED:
        return bool(order.validation_errors)
    return order.status is not Status.CANCELLING


def shown(order: Order, until: str) -> Reply:
    """What somebody is told who waited for ``until``: the payment, or the order."""
    if until.startswith(_PAYMENT):
        return make_reply(order, Answer(resource="payment", resource_id=until.removeprefix(_PAYMENT)))
    return make_reply(order, Answer())


class Watches:
    """The waiting futures, by order. Their number is bounded where they come in (``link.WATCHES_MAX``)."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[str, asyncio.Future[Order]]]] = {}

    async def until(self, order_id: str, until: str, look: Callable[[str], Order | None]) -> Order | None:
        """Give the order when a commit has brought it there. None, at once, if ``look`` shows that it is there already: that may have
        been long ago, and another shard may own the order by now, so the database is to be asked.
        """
        order = look(order_id)
        if order is not None and reached(order, until):
            return None
        come: asyncio.Future[Order] = asyncio.get_running_loop().create_future()
        entry = (until, come)
        self._waiting.setdefault(order_id, []).append(entry)
        try:
            return await come
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
                future.set_result(order)
