"""What a partner's event does here: its letters go through the one door, and no copy that it made old validates an order any more.

The bridge acknowledges the message once this has returned: every letter's effect is committed, and so is the version that the event
told of. Shards are told of it besides, so that they need not find out by a flush that is refused; nothing waits for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from actors.routing.router import Router
from actors.rpc.clients import Peers
from actors.rpc.process_names import SHARD
from domain.errors import Refused, Unavailable
from domain.reference_data import ReferenceVersion
from messaging.consumed_events import Letter, ReferenceChanged, hear
from messaging.consumer import NOT_YET
from messaging.envelope import InboundEvent
from storage.errors import StorageUnavailable

LETTERS_TOGETHER_MAX = 64


class Invalidation(Protocol):
    """``storage.reads.reference_data.CacheInvalidation``."""

    async def changed(self, change: ReferenceVersion) -> None: ...


class Inbound:
    """Delivers partners' events."""

    def __init__(self, router: Router, peers: Peers, invalidation: Invalidation) -> None:
        self._router = router
        self._invalidation = invalidation
        self._peers = peers

    async def deliver(self, event: InboundEvent) -> None:
        """Return when the event has had its effect; raises ``Refused``, ``Unavailable`` or ``OutcomeUnknown``.

        Every letter is handed in, whatever becomes of the others. An event that failed for one order as a whole may come again: those
        orders which took it know it by its id.
        """
        heard = hear(event)
        if heard.change is not None:
            await self._change(heard.change)
        failures: list[tuple[Letter, BaseException]] = []
        for start in range(0, len(heard.letters), LETTERS_TOGETHER_MAX):
            together = heard.letters[start : start + LETTERS_TOGETHER_MAX]
            asked = (self._router.ask(letter.order_id, letter.message) for letter in together)
            told = await asyncio.gather(*asked, return_exceptions=True)
            failures += [
                (letter, each) for letter, each in zip(together, told, strict=True) if isinstance(each, BaseException)
            ]
        if failures:
            raise _failure(failures, len(heard.letters))

    async def _change(self, change: ReferenceChanged) -> None:
        """Commit the version that was told of, and tell the shards. Raises ``Unavailable`` where it is not committed."""
        try:
            await self._invalidation.changed(change.changed)
        except StorageUnavailable as error:
            raise Unavailable("version_not_committed", str(error)) from error
        for name in self._peers.up():
            if name.startswith(SHARD):
                # One that does not hear of it, and has a copy, hears of it at a flush.
                self._peers.notify(name, "reference_changed", change)


def _failure(failures: Sequence[tuple[Letter, BaseException]], letters: int) -> BaseException:
    """What the event as a whole failed by: what may yet succeed comes before what never will."""
    letter, error = next((each for each in failures if _may_succeed_later(each[1])), failures[0])
    if isinstance(error, Refused):
        others = f" ({len(failures)} of {letters} orders failed)" if letters > 1 else ""
        return Refused(error.kind, error.code, f"order {letter.order_id}: {error.detail}{others}")
    return error


def _may_succeed_later(error: BaseException) -> bool:
    return not isinstance(error, Refused) or error.code in NOT_YET
