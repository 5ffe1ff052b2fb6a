"""Callers that wait for an order to get somewhere: ``Prefer: wait``. They get the order as it was committed when it got there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.order.messages import NotOwner
from actors.order.replies import Reply, make_reply
from domain.order import Order, Status
from domain.payments import PaymentStatus
from sagas.decision import CommandResult

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
    """Give the reply for a caller that waited for ``until``: the payment, or the order."""
    if until.startswith(_PAYMENT):
        return make_reply(order, CommandResult(resource="payment", resource_id=until.removeprefix(_PAYMENT)))
    return make_reply(order, CommandResult())


class Waiters:
    """The callers that wait for the orders of a shard. Their number is bounded where they come in (``connection.CALLS_MAX``)."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[str, asyncio.Future[Order | NotOwner | None]]]] = {}

    async def until(self, order_id: str, until: str) -> Order | NotOwner | None:
        """Give the order when a commit has brought it there, say that it is owned elsewhere, or give None once it is set aside."""
        come: asyncio.Future[Order | NotOwner | None] = asyncio.get_running_loop().create_future()
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

    def committed(self, order: Order) -> None:
        """An order was committed: wake the callers that waited for this."""
        for until, come in self._waiting.get(order.id, ()):
            if not come.done() and reached(order, until):
                come.set_result(order)

    def not_owner(self, is_lost: Callable[[str], bool], to: NotOwner) -> None:
        """The lost orders have another owner from now on: no commit of ours will bring them anywhere."""
        for order_id in [order_id for order_id in self._waiting if is_lost(order_id)]:
            self._end(order_id, to)

    def set_aside(self, order_id: str) -> None:
        """An order is set aside: for a long while nothing will bring it anywhere."""
        self._end(order_id, None)

    def _end(self, order_id: str, with_: NotOwner | None) -> None:
        for _, come in self._waiting.get(order_id, ()):
            if not come.done():
                come.set_result(with_)
