"""What a letter needs of storage before its order can have it, or in place of it. Whatever happens, its sender is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from msgspec.structs import replace

from actors.order.mailbox import Letter
from actors.order.replies import Reply, decode_reply
from actors.shard.context import GroupStore
from actors.shard.quarantine import SetAside
from domain.commands import ApplyDiscount, CreateOrder, Message
from domain.errors import Unavailable
from storage.errors import CommitUnknown, StorageUnavailable

log = structlog.get_logger()


class Errands:
    """Run on behalf of letters; ``deliver`` takes those that go on to their order, ``tell_if_ours`` answers in its place."""

    def __init__(
        self,
        store: GroupStore,
        aside: SetAside,
        deliver: Callable[[Letter], None],
        tell_if_ours: Callable[[Letter, Reply], None],
    ) -> None:
        self._store = store
        self._aside = aside
        self._deliver = deliver
        self._tell_if_ours = tell_if_ours

    async def read_promotions(self, letter: Letter) -> None:
        """Read the promotions that a command names before it enters: its decision needs them."""
        await self._on_behalf(letter, self._read_promotions)

    async def take_up_again(self, letter: Letter) -> None:
        """Staff have looked at the order: whatever set it aside, it may try again."""
        await self._on_behalf(letter, self._take_up_again)

    async def replay(self, letter: Letter) -> None:
        """Tell the sender what the message's first delivery was told."""
        await self._on_behalf(letter, self._replay)

    async def _on_behalf(self, letter: Letter, work: Callable[[Letter], Awaitable[None]]) -> None:
        """Do it; if that fails, nothing was changed, and the sender is told so."""
        try:
            await work(letter)
        except (StorageUnavailable, CommitUnknown) as error:
            letter.tell(Unavailable("database_unavailable", str(error)))
        except Exception as error:
            log.exception("letter_failed", order_id=letter.order_id, message=letter.message.id)
            letter.tell(Unavailable("order_failed", f"the message can't be handled: {type(error).__name__}"))

    async def _read_promotions(self, letter: Letter) -> None:
        promotions = await self._store.promotions(codes_of(letter.message))
        message = letter.message
        letter.message = replace(message, known=replace(message.known, promotions=promotions))
        self._deliver(letter)

    async def _take_up_again(self, letter: Letter) -> None:
        await self._aside.take_up_again(letter.order_id)
        self._deliver(letter)

    async def _replay(self, letter: Letter) -> None:
        remembered = await self._store.reply(letter.order_id, letter.message.id)
        if remembered is None:
            letter.tell(Unavailable("reply_pruned", "the answer of this message is not kept any more"))
            return
        self._tell_if_ours(letter, decode_reply(remembered, replayed=True))


def codes_of(message: Message) -> tuple[str, ...]:
    """Give the codes of the promotions that a command names."""
    match message.body:
        case CreateOrder(discount_codes=codes):
            return codes
        case ApplyDiscount(code):
            return (code,)
        case _:
            return ()
