"""One active order: its mailbox, its state, its saga.

An order actor handles one message at a time: it decides, hands the decision to its host, and takes the next message only when
that decision is committed. It never does input or output, and holds no task and no lock; between messages it is just a value.

    receive ──> mailbox ──> decide ──> propose ──(the host commits)──> committed ──> next message
                              │                                   └──> void ───────> next message, old state
                              ├── refused, repeated or without effect: confirm ────> next message
                              └── broken: fail ────────────────────────────────────> next message
"""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from actors.order.mailbox import Envelope, Mailbox
from domain.commands import Message
from domain.errors import RefusalKind, Refused
from domain.order import Order, StepState
from sagas.decision import CommandResult, Decision
from sagas.refusals import require_visible


class Host(Protocol):
    """What an order actor asks of the shard that hosts it."""

    def decide(self, order: Order | None, message: Message) -> Decision:
        """Run the rules with what the shard knows; raises ``Refused``."""

    def propose(self, actor: OrderActor, envelope: Envelope, decision: Decision) -> None:
        """Commit the decision, then call ``actor.committed`` or ``actor.void``."""

    def confirm(self, envelope: Envelope, outcome: Refused | tuple[Order, CommandResult]) -> None:
        """Reply to a message that changes nothing, once it is sure that this shard still owns the order."""

    def fail(self, actor: OrderActor, envelope: Envelope, error: Exception) -> None:
        """The rules broke on this envelope: nothing changed. The sender gets an error, or the order is set aside."""

    def replay(self, envelope: Envelope) -> None:
        """Give the sender the reply that an earlier delivery of the same message got."""


class OrderActor:
    """One order of a shard. ``keys`` maps the ids of the messages it remembers to the fingerprints of their content."""

    __slots__ = ("_committing", "_host", "_mailbox", "keys", "last_used_s", "leaving", "order", "order_id")

    def __init__(
        self, order_id: str, order: Order | None, keys: dict[str, str], host: Host, *, mailbox_max_messages: int
    ) -> None:
        self.order_id = order_id
        self.order = order
        self.keys = keys
        self.last_used_s = 0.0
        self.leaving = False
        self._host = host
        self._mailbox = Mailbox(mailbox_max_messages)
        self._committing: tuple[Envelope, Decision] | None = None

    @property
    def is_idle(self) -> bool:
        """Nothing waits, nothing is being committed."""
        return self._committing is None and not len(self._mailbox)

    @property
    def awaits_answer(self) -> bool:
        """A call to a partner is out; the actor has to stay to get the answer."""
        return self.order is not None and any(step.state is StepState.RUNNING for step in self.order.steps)

    def receive(self, envelope: Envelope) -> None:
        """Take an envelope in; raises ``Unavailable`` when the mailbox is full."""
        self._mailbox.put(envelope)
        self._work()

    def committed(self) -> None:
        """The decision is durable: it is the state now."""
        if self._committing is None:
            raise RuntimeError(f"order {self.order_id} has no decision to commit")
        envelope, decision = self._committing
        self.order = decision.order
        if envelope.message.keyed:
            self.keys[envelope.message.id] = envelope.message.fingerprint
        self._committing = None
        self._work()

    def void(self) -> None:
        """The decision will never be durable: the state is what it was."""
        self._committing = None
        self._work()

    def leave(self) -> list[Envelope]:
        """Stop for good, before the actor leaves memory; gives back the envelopes that were not read."""
        self.leaving = True
        return self._mailbox.empty()

    def _work(self) -> None:
        while self._committing is None and not self.leaving and (envelope := self._mailbox.take()):
            self._handle(envelope)

    def _handle(self, envelope: Envelope) -> None:
        message = envelope.message
        try:
            if message.keyed and (remembered := self._remembered(message)) is not None:
                self._repeat(envelope, remembered)
                return
            decision = self._host.decide(self.order, message)
            self._act_on(envelope, decision)
        except Refused as refusal:
            self._host.confirm(envelope, refusal)
        except Exception as error:  # noqa: BLE001 - a fault in the rules must end neither the shard nor the neighbours
            self._committing = None
            self._host.fail(self, envelope, error)

    def _remembered(self, message: Message) -> str | None:
        """The id under which an earlier delivery of the message is remembered, or None."""
        return next((each for each in (message.id, *message.former_ids) if each in self.keys), None)

    def _repeat(self, envelope: Envelope, remembered: str) -> None:
        """Answer a repeat; raises ``Refused`` for a sender for whom the order does not exist, as the command itself would."""
        message = envelope.message
        if self.order is not None:
            require_visible(self.order, message)
        if self.keys[remembered] not in (message.fingerprint, message.former_fingerprint or message.fingerprint):
            raise _key_reused()
        envelope.message = replace(message, id=remembered)
        self._host.replay(envelope)

    def _act_on(self, envelope: Envelope, decision: Decision) -> None:
        if self.order is None and decision.order is None:
            raise AssertionError(f"a decision about nothing: {type(envelope.message.body).__name__}")
        if decision.order is None and envelope.message.keyed and envelope.message.actor.reads_answers:
            # It changes nothing, but it is answered: the order is written again as it is, with the key and the answer.
            decision = replace(decision, order=self.order)
        if decision.order is not None:
            self._committing = (envelope, decision)
            self._host.propose(self, envelope, decision)
        elif self.order is not None:
            self._host.confirm(envelope, (self.order, decision.result))


def _key_reused() -> Refused:
    return Refused(
        RefusalKind.UNPROCESSABLE,
        "idempotency_key_reused",
        "this key was used before with another content",
    )
