"""What an envelope needs of storage before its order can have it, or in place of it. Its sender always gets an outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from msgspec.structs import replace

from actors.order.mailbox import Envelope
from actors.order.replies import Reply, decode_reply
from actors.shard.context import ResidentStore
from actors.shard.quarantine import Quarantine
from domain.commands import ApplyDiscount, CreateOrder, Message
from domain.errors import Unavailable
from storage.errors import CommitUnknown, StorageUnavailable

log = structlog.get_logger()


class MessagePreparation:
    """Run on behalf of envelopes; ``deliver`` takes those that go on to their order, ``reply_if_owned`` answers in its place."""

    def __init__(
        self,
        store: ResidentStore,
        quarantine: Quarantine,
        deliver: Callable[[Envelope], None],
        reply_if_owned: Callable[[Envelope, Reply], None],
    ) -> None:
        self._store = store
        self._quarantine = quarantine
        self._deliver = deliver
        self._reply_if_owned = reply_if_owned

    async def read_promotions(self, envelope: Envelope) -> None:
        """Read the promotions that a command names before it enters: its decision needs them."""
        await self._on_behalf(envelope, self._read_promotions)

    async def take_up_again(self, envelope: Envelope) -> None:
        """Staff have looked at the order: it may try again."""
        await self._on_behalf(envelope, self._take_up_again)

    async def replay(self, envelope: Envelope) -> None:
        """Give the sender the reply that the message's first delivery got."""
        await self._on_behalf(envelope, self._replay)

    async def _on_behalf(self, envelope: Envelope, work: Callable[[Envelope], Awaitable[None]]) -> None:
        """Do it; if that fails, nothing was changed, and the sender's outcome says so."""
        try:
            await work(envelope)
        except (StorageUnavailable, CommitUnknown) as error:
            envelope.reply(Unavailable("database_unavailable", str(error)))
        except Exception as error:
            log.exception("letter_failed", order_id=envelope.order_id, message=envelope.message.id)
            envelope.reply(Unavailable("order_failed", f"the message can't be handled: {type(error).__name__}"))

    async def _read_promotions(self, envelope: Envelope) -> None:
        promotions = await self._store.promotions(codes_of(envelope.message))
        message = envelope.message
        envelope.message = replace(message, lookups=replace(message.lookups, promotions=promotions))
        self._deliver(envelope)

    async def _take_up_again(self, envelope: Envelope) -> None:
        await self._quarantine.take_up_again(envelope.order_id)
        self._deliver(envelope)

    async def _replay(self, envelope: Envelope) -> None:
        remembered = await self._store.reply(envelope.order_id, envelope.message.id)
        if remembered is None:
            envelope.reply(Unavailable("reply_pruned", "the answer of this message is not kept any more"))
            return
        self._reply_if_owned(envelope, decode_reply(remembered, replayed=True))


def codes_of(message: Message) -> tuple[str, ...]:
    """Give the codes of the promotions that a command names."""
    match message.body:
        case CreateOrder(discount_codes=codes):
            return codes
        case ApplyDiscount(code):
            return (code,)
        case _:
            return ()
