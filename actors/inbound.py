"""What a partner's event does here: its letters go through the one door, its news reaches every shard's copies.

The bridge acknowledges the message once this has returned: every letter's effect is committed, no shard validates with anything
older than what the event told of, and no older copy is given out to a shard that comes up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import fields
from typing import Any, Protocol

from actors.groups import Layout, bulkhead_of
from actors.link import ProcessGone
from actors.peers import Peers
from actors.router import Router
from domain.calls import Partner
from domain.errors import Refused, Unavailable
from messaging.bridge import NOT_YET
from messaging.envelope import InboundEvent
from messaging.inbound import CustomerChanged, Letter, ProductChanged, hear
from storage.copies import CustomerNews, ProductNews
from storage.errors import StorageUnavailable

NEWS_WITHIN_S = 5.0
LETTERS_TOGETHER_MAX = 64


class Copies(Protocol):
    """``storage.copystore.CopyNews``."""

    async def product(self, news: ProductNews) -> bool: ...
    async def customer(self, news: CustomerNews) -> bool: ...


class Inbound:
    """Delivers partners' events."""

    def __init__(self, router: Router, peers: Peers, layout: Layout, copies: Copies) -> None:
        self._router = router
        self._copies = copies
        self._peers = peers
        self._layout = layout

    async def deliver(self, event: InboundEvent) -> None:
        """Return when the event has had its effect; raises ``Refused``, ``Unavailable`` or ``OutcomeUnknown``.

        Every letter is handed in, whatever becomes of the others. An event that failed for one order as a whole may come again: those
        orders which took it know it by its id.
        """
        heard = hear(event)
        untold: list[str] = []
        if (product := heard.product) is not None:
            in_redis = await self._write(self._copies.product(ProductNews(**_fields(product))))
            await self._tell_bulkhead(
                Partner.PRODUCT, f"product:{product.sku}", product.version, is_needed=not in_redis
            )
            untold = await self._untold("product_changed", product)
        if (customer := heard.customer) is not None:
            in_redis = await self._write(self._copies.customer(CustomerNews(**_fields(customer))))
            key = f"customer:{customer.customer_id}"
            await self._tell_bulkhead(Partner.USER, key, customer.version, is_needed=not in_redis)
            untold = await self._untold("customer_changed", customer)
        failures: list[tuple[Letter, BaseException]] = []
        for start in range(0, len(heard.letters), LETTERS_TOGETHER_MAX):
            together = heard.letters[start : start + LETTERS_TOGETHER_MAX]
            asked = (self._router.ask(letter.order_id, letter.message) for letter in together)
            told = await asyncio.gather(*asked, return_exceptions=True)
            failures += [
                (letter, each) for letter, each in zip(together, told, strict=True) if isinstance(each, BaseException)
            ]
        if untold:
            raise Unavailable("shard_not_told", f"not told: {', '.join(untold)}")
        if failures:
            raise _failure(failures, len(heard.letters))

    async def _write(self, writing: Awaitable[bool]) -> bool:
        """Write news over the copies; tells whether Redis has them too. Raises ``Unavailable`` where PostgreSQL has not."""
        try:
            return await writing
        except StorageUnavailable as error:
            raise Unavailable("copies_not_told", str(error)) from error

    async def _tell_bulkhead(self, partner: Partner, key: str, version: int, *, is_needed: bool) -> None:
        """Tell the bulkhead that gives copies out, lest Redis should lose the news; needed where Redis has not heard them."""
        try:
            async with asyncio.timeout(NEWS_WITHIN_S):
                await self._peers.get(bulkhead_of(partner)).call("told", key, version)
        except (ProcessGone, TimeoutError) as error:
            if is_needed:
                raise Unavailable("bulkhead_not_told", str(error) or "it did not answer in time") from error

    async def _untold(self, method: str, news: ProductChanged | CustomerChanged) -> list[str]:
        """Tell every shard; gives those that could not be told.

        One that is down here may be up for others, and have copies by now: the event comes again until each has been told.
        """

        async def tell(name: str) -> bool:
            if not self._peers.is_up(name):
                return False
            try:
                async with asyncio.timeout(NEWS_WITHIN_S):
                    await self._peers.get(name).call(method, news)
            except (ProcessGone, TimeoutError):
                return False
            return True

        names = self._layout.shard_names()
        told = await asyncio.gather(*(tell(name) for name in names))
        return [name for name, is_told in zip(names, told, strict=True) if not is_told]


def _fields(news: ProductChanged | CustomerChanged) -> dict[str, Any]:
    return {field.name: getattr(news, field.name) for field in fields(news)}


def _failure(failures: Sequence[tuple[Letter, BaseException]], letters: int) -> BaseException:
    """What the event as a whole failed by: what may yet succeed comes before what never will."""
    letter, error = next((each for each in failures if _may_succeed_later(each[1])), failures[0])
    if isinstance(error, Refused):
        others = f" ({len(failures)} of {letters} orders failed)" if letters > 1 else ""
        return Refused(error.kind, error.code, f"order {letter.order_id}: {error.detail}{others}")
    return error


def _may_succeed_later(error: BaseException) -> bool:
    return not isinstance(error, Refused) or error.code in NOT_YET
