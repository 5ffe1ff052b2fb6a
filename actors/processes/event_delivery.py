"""What a partner's event does here: its messages go to their orders, and no copy that it made old validates an order any more.

The bridge acknowledges the event once this has returned: every message's effect is committed, and so is the version that the event
announced. Shards are notified of it besides, so that they need not learn it from a refused flush; nothing waits for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from actors.routing.router import Router
from actors.rpc.clients import ProcessClients
from actors.rpc.process_names import SHARD
from domain.errors import Refused, Unavailable
from domain.reference_data import ReferenceVersion
from messaging.consuming.consumed_events import OrderMessage, ReferenceChanged, translate
from messaging.consuming.consumer import NOT_YET
from messaging.envelope import InboundEvent
from storage.errors import StorageUnavailable

MESSAGES_TOGETHER_MAX = 64


class Invalidation(Protocol):
    """``storage.reads.reference_data.CacheInvalidation``."""

    async def changed(self, change: ReferenceVersion) -> None: ...


class EventDelivery:
    """Delivers partners' events."""

    def __init__(self, router: Router, clients: ProcessClients, invalidation: Invalidation) -> None:
        self._router = router
        self._invalidation = invalidation
        self._clients = clients

    async def deliver(self, event: InboundEvent) -> None:
        """Return when the event has had its effect; raises ``Refused``, ``Unavailable`` or ``OutcomeUnknown``.

        Every message is handed in, also where others fail. An event that failed for one order as a whole may come again: those
        orders which took it know it by its id.
        """
        translated = translate(event)
        if translated.change is not None:
            await self._change(translated.change)
        failures: list[tuple[OrderMessage, BaseException]] = []
        for start in range(0, len(translated.messages), MESSAGES_TOGETHER_MAX):
            together = translated.messages[start : start + MESSAGES_TOGETHER_MAX]
            asked = (self._router.ask(order_message.order_id, order_message.message) for order_message in together)
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            failures += [
                (order_message, each)
                for order_message, each in zip(together, outcomes, strict=True)
                if isinstance(each, BaseException)
            ]
        if failures:
            raise _failure(failures, len(translated.messages))

    async def _change(self, change: ReferenceChanged) -> None:
        """Commit the announced version, and notify the shards. Raises ``Unavailable`` where it is not committed."""
        try:
            await self._invalidation.changed(change.changed)
        except StorageUnavailable as error:
            raise Unavailable("version_not_committed", str(error)) from error
        for name in self._clients.up():
            if name.startswith(SHARD):
                # A shard that misses this, and has a copy, learns of it at a flush.
                self._clients.notify(name, "reference_changed", change)


def _failure(failures: Sequence[tuple[OrderMessage, BaseException]], messages: int) -> BaseException:
    """What the event as a whole failed by: what may yet succeed comes before what never will."""
    order_message, error = next((each for each in failures if _may_succeed_later(each[1])), failures[0])
    if isinstance(error, Refused):
        others = f" ({len(failures)} of {messages} orders failed)" if messages > 1 else ""
        return Refused(error.kind, error.code, f"order {order_message.order_id}: {error.detail}{others}")
    return error


def _may_succeed_later(error: BaseException) -> bool:
    return not isinstance(error, Refused) or error.code in NOT_YET
