"""The mailbox of one order: letters wait here their turn, one at a time, and no more than a bound."""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from actors.order.messages import Told, encode_told
from domain.commands import Message
from domain.errors import Unavailable


@dataclass(slots=True, eq=False)
class Letter:
    """A message on its way to an order. As it is here nobody waits for what it is told."""

    order_id: str
    message: Message

    def tell(self, told: Told) -> None:
        """Tell the sender, unless it has gone."""


@dataclass(slots=True, eq=False)
class PendingReply(Letter):
    """A message of this process whose sender waits for ``told``."""

    told: Future[Told]

    def tell(self, told: Told) -> None:
        """Tell the sender, unless it has gone."""
        if not self.told.done():
            self.told.set_result(told)


@dataclass(slots=True, eq=False)
class RemoteEnvelope(Letter):
    """A message of another process: what its sender is told is the result of the call that brought it, encoded."""

    answer: Callable[[bytes], None]

    def tell(self, told: Told) -> None:
        """Answer the call; the first answer counts."""
        self.answer(encode_told(told))


class Mailbox:
    """First in, first out, bounded. The queue itself exists only while something waits in it."""

    __slots__ = ("_letters", "_max_messages")

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        self._letters: deque[Letter] | None = None

    def __len__(self) -> int:
        return len(self._letters) if self._letters else 0

    def put(self, letter: Letter) -> None:
        """Add a letter; raises ``Unavailable`` (``order_busy``) when the bound is reached."""
        if self._letters is None:
            self._letters = deque()
        if len(self._letters) >= self._max_messages:
            raise Unavailable(
                "order_busy",
                f"the order already has {self._max_messages} messages waiting",
                retry_after_s=1.0,
                overloaded=True,
            )
        self._letters.append(letter)

    def take(self) -> Letter | None:
        """Give the next letter, or None."""
        if not self._letters:
            return None
        letter = self._letters.popleft()
        if not self._letters:
            self._letters = None
        return letter

    def empty(self) -> list[Letter]:
        """Take everything out, oldest first."""
        letters = list(self._letters or ())
        self._letters = None
        return letters
