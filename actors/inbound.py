"""What a partner's event does here: its letters go through the one door, its news reaches every shard's copies.

The bridge acknowledges the message once this has returned: every letter's effect is committed, and no shard that is up holds a copy
older than what the event told of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from actors.groups import Layout
from actors.peers import PeerGone, Peers
from actors.router import Router
from domain.errors import Refused, Unavailable
from messaging.envelope import InboundEvent
from messaging.inbound import hear

log = structlog.get_logger()

NEWS_WITHIN_S = 5.0


class Inbound:
    """Delivers partners' events. ``currencies`` are those that copies of products may be in."""

    def __init__(self, router: Router, peers: Peers, layout: Layout, currencies: Sequence[str]) -> None:
        self._router = router
        self._peers = peers
        self._layout = layout
        self._currencies = list(currencies)

    async def deliver(self, event: InboundEvent) -> None:
        """Return when the event has had its effect; raises ``Refused``, ``Unavailable`` or ``OutcomeUnknown``."""
        heard = hear(event)
        if heard.product is not None:
            await self._tell("product_changed", heard.product.sku, heard.product.version, self._currencies)
        if heard.customer is not None:
            await self._tell("customer_changed", heard.customer.customer_id, heard.customer.version)
        if len(heard.letters) == 1:
            await self._router.ask(heard.letters[0].order_id, heard.letters[0].message)
            return
        for letter in heard.letters:
            # One order that refuses the news must not keep it from the others.
            try:
                await self._router.ask(letter.order_id, letter.message)
            except Refused as refused:
                log.warning("news_refused", order_id=letter.order_id, code=refused.code)

    async def _tell(self, method: str, *news: object) -> None:
        """Tell every shard that is up; one that is not has no copies when it comes back."""
        names = [name for name in self._layout.shard_names() if self._peers.is_up(name)]
        try:
            async with asyncio.timeout(NEWS_WITHIN_S):
                await asyncio.gather(*(self._peers.get(name).call(method, *news) for name in names))
        except (PeerGone, TimeoutError) as error:
            raise Unavailable("shard_not_told", str(error) or "a shard did not answer in time") from error
