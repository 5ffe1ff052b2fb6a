"""The mailbox of one order: envelopes wait here their turn, one at a time, and no more than a bound."""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from actors.order.messages import DeliveryOutcome, encode_outcome
from domain.commands import Message
from domain.errors import Unavailable


@dataclass(slots=True, eq=False)
class Envelope:
    """A message on its way to an order. This kind has no sender that waits for a reply."""

    order_id: str
    message: Message

    def reply(self, outcome: DeliveryOutcome) -> None:
        """Reply to the sender, unless it has gone."""


@dataclass(slots=True, eq=False)
class PendingReply(Envelope):
    """A message of this process whose sender waits for ``outcome``."""

    outcome: Future[DeliveryOutcome]

    def reply(self, outcome: DeliveryOutcome) -> None:
        """Reply to the sender, unless it has gone."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


@dataclass(slots=True, eq=False)
class RemoteEnvelope(Envelope):
    """A message of another process: its reply, encoded, is the result of the call that brought it."""

    answer: Callable[[bytes], None]

    def reply(self, outcome: DeliveryOutcome) -> None:
        """Answer the call; the first answer counts."""
        self.answer(encode_outcome(outcome))


class Mailbox:
    """First in, first out, bounded. The queue itself exists only while something waits in it."""

    __slots__ = ("_envelopes", "_max_messages")

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        self._envelopes: deque[Envelope] | None = None

    def __len__(self) -> int:
        return len(self._envelopes) if self._envelopes else 0

    def put(self, envelope: Envelope) -> None:
        """Add an envelope; raises ``Unavailable`` (``order_busy``) when the bound is reached."""
        if self._envelopes is None:
            self._envelopes = deque()
        if len(self._envelopes) >= self._max_messages:
            raise Unavailable(
                "order_busy",
                f"the order already has {self._max_messages} messages waiting",
                retry_after_s=1.0,
                overloaded=True,
            )
        self._envelopes.append(envelope)

    def take(self) -> Envelope | None:
        """Give the next envelope, or None."""
        if not self._envelopes:
            return None
        envelope = self._envelopes.popleft()
        if not self._envelopes:
            self._envelopes = None
        return envelope

    def empty(self) -> list[Envelope]:
        """Take everything out, oldest first."""
        envelopes = list(self._envelopes or ())
        self._envelopes = None
        return envelopes
