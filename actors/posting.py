"""A batch of letters from another process, and what their senders are told, as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.mailbox import Letter
from actors.wire import Told, Unreadable
from domain.commands import Message
from domain.errors import Unavailable

SayTold = Callable[[list[tuple[int, Told]]], None]


class Batch:
    """Tells together what comes together, and makes no letter wait for long because another one has to."""

    def __init__(self, letters: Sequence[tuple[str, Message] | Unreadable]) -> None:
        """``letters``: each with its order's id. Whose letter could not be read is told so."""
        self._open = set(range(len(letters)))
        self._told: list[tuple[int, Told]] = []
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._ahead: asyncio.TimerHandle | None = None
        self.letters: list[Posted] = []
        for at, letter in enumerate(letters):
            if isinstance(letter, Unreadable):
                self.tell(at, Unavailable("order_failed", f"the message can't be read: {letter.why}"))
            else:
                self.letters.append(Posted(*letter, self, at))

    def tell(self, position: int, told: Told) -> None:
        """The letter at ``position`` has its answer; the first one counts."""
        if position not in self._open:
            return
        self._open.discard(position)
        self._told.append((position, told))
        if not self._open and not self._done.done():
            self._done.set_result(None)

    async def answers(self, within_s: float, say: SayTold | None, say_every_s: float) -> list[tuple[int, Told]]:
        """Wait until every letter has its answer, or it counts as unknown ``within_s`` from now; gives (position, told) pairs.

        With ``say``, what is there every ``say_every_s`` is said ahead, and only the rest is given.
        """
        if say is not None:
            self._ahead = self._loop.call_later(say_every_s, self._say_ahead, say, say_every_s)
        late = self._loop.call_later(within_s, self._give_up)
        try:
            await self._done
        finally:
            late.cancel()
            if self._ahead is not None:
                self._ahead.cancel()
            # Letters and timer lead back here: kept, the whole batch would be left to the garbage collector.
            self._ahead = None
            self.letters = []
        return self._taken()

    def _say_ahead(self, say: SayTold, say_every_s: float) -> None:
        self._ahead = self._loop.call_later(say_every_s, self._say_ahead, say, say_every_s)
        if self._told:
            say(self._taken())

    def _give_up(self) -> None:
        for letter in self.letters:
            letter.expire()  # which tells nothing to those that were told

    def _taken(self) -> list[tuple[int, Told]]:
        told, self._told = self._told, []
        return told


@dataclass(slots=True, eq=False)
class Posted(Letter):
    """A letter of a batch."""

    batch: Batch
    position: int

    def tell(self, told: Told) -> None:
        """Tell the sender, unless it was told."""
        self.batch.tell(self.position, told)
