"""Orders that can't be worked on now: their senders get ``Unavailable``, staff see it, and the other orders go on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from domain.errors import Unavailable
from storage.errors import CommitUnknown, StorageUnavailable

log = structlog.get_logger()


class Quarantine:
    """Which orders are set aside, and why; each is tried again after ``retry_s``. At most ``max_orders`` are remembered."""

    def __init__(
        self,
        mark: Callable[[str, str], Awaitable[None]],
        unmark: Callable[[str], Awaitable[None]],
        monotonic: Callable[[], float],
        *,
        retry_s: float,
        max_orders: int,
    ) -> None:
        """``mark(order id, reason)`` makes it known beyond this process, ``unmark(order id)`` takes that back."""
        self._mark = mark
        self._unmark = unmark
        self._monotonic = monotonic
        self._retry_s = retry_s
        self._max_orders = max_orders
        self._orders: dict[str, tuple[float, str]] = {}

    def reason(self, order_id: str) -> Unavailable | None:
        """Give the refusal for messages to the order, or None for one that is well or may be tried again."""
        entry = self._orders.get(order_id)
        if entry is None:
            return None
        until_s, why = entry
        if until_s <= self._monotonic():
            del self._orders[order_id]
            return None
        return self._not_now(why)

    def put(self, order_id: str, why: str) -> Unavailable:
        """Set an order aside and give the error for the senders that wait for it."""
        log.error("order_set_aside", order_id=order_id, reason=why)
        self._orders[order_id] = (self._monotonic() + self._retry_s, why)
        while len(self._orders) > self._max_orders:
            self._orders.pop(next(iter(self._orders)))
        return self._not_now(why)

    def _not_now(self, why: str) -> Unavailable:
        return Unavailable("order_set_aside", why, retry_after_s=self._retry_s)

    async def mark(self, order_id: str, why: str) -> None:
        """Let operators see it: the order needs attention, and no timer wakes it."""
        try:
            await self._mark(order_id, why)
        except (StorageUnavailable, CommitUnknown) as error:
            log.warning("set_aside_not_marked", order_id=order_id, error=str(error))

    async def take_up_again(self, order_id: str) -> None:
        """Staff have looked at the order, and want it tried again now. Raises what the storage raises."""
        await self._unmark(order_id)
        self._orders.pop(order_id, None)
