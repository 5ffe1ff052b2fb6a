"""The order actor: one message at a time, told only after its commit, bounded, and a repeat is a repeat."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from actors.order.mailbox import Envelope, PendingReply
from actors.order.order_actor import OrderActor
from domain.commands import Actor, ActorType, AddItem, Message
from domain.errors import RefusalKind, Refused, Unavailable
from domain.order import Order, OrderLine, Status
from sagas.decision import CommandResult, Decision

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLIENT = Actor(ActorType.CLIENT, "c")


def an_order(version: int = 1) -> Order:
    return Order(
        id="o-1",
        version=version,
        revision=1,
        status=Status.VALIDATED,
        customer_id="c-1",
        currency="EUR",
        lines=(OrderLine(id="l-1", sku="s", quantity=1),),
        shipping_method="standard",
        created_at=NOW,
        updated_at=NOW,
        expires_at=NOW,
    )


class RecordingHost:
    """A host whose rules add one to the version, refuse the sku ``no``, find nothing to do for ``same``, break on ``bug``."""

    def __init__(self) -> None:
        self.proposed: list[tuple[OrderActor, Envelope, Decision]] = []
        self.confirmed: list[object] = []
        self.replayed: list[Envelope] = []
        self.failed: list[tuple[Envelope, Exception]] = []

    def decide(self, order: Order | None, message: Message) -> Decision:
        body = message.body
        assert isinstance(body, AddItem)
        if body.sku == "no":
            raise Refused(RefusalKind.CONFLICT, "illegal_transition", "no")
        if body.sku == "bug":
            raise ZeroDivisionError
        if body.sku == "same":
            return Decision(order=None)
        return Decision(order=an_order() if order is None else replace(order, version=order.version + 1))

    def propose(self, actor: OrderActor, envelope: Envelope, decision: Decision) -> None:
        self.proposed.append((actor, envelope, decision))

    def confirm(self, envelope: Envelope, told: Refused | tuple[Order, CommandResult]) -> None:
        self.confirmed.append(told)

    def fail(self, actor: OrderActor, envelope: Envelope, error: Exception) -> None:
        self.failed.append((envelope, error))

    def replay(self, envelope: Envelope) -> None:
        self.replayed.append(envelope)


def envelope(sku: str = "s", *, key: str | None = None, fingerprint: str = "f") -> PendingReply:
    message = Message(id=key or "m", body=AddItem(sku, 1), actor=CLIENT, keyed=key is not None, fingerprint=fingerprint)
    return PendingReply("o-1", message, asyncio.get_running_loop().create_future())


def an_actor(host: RecordingHost, *, mailbox_max_messages: int = 8) -> OrderActor:
    return OrderActor("o-1", an_order(), {}, host, mailbox_max_messages=mailbox_max_messages)


async def test_the_second_message_waits_until_the_first_decision_is_committed() -> None:
    host = RecordingHost()
    actor = an_actor(host)
    actor.receive(envelope())
    actor.receive(envelope())
    assert len(host.proposed) == 1
    actor.committed()
    assert [decision.order.version for _, _, decision in host.proposed if decision.order] == [2, 3]


async def test_a_void_decision_leaves_the_state_as_it_was() -> None:
    host = RecordingHost()
    actor = an_actor(host)
    actor.receive(envelope())
    actor.void()
    assert actor.order == an_order()
    assert actor.is_idle


async def test_a_refusal_does_not_hold_up_the_next_message() -> None:
    host = RecordingHost()
    actor = an_actor(host)
    actor.receive(envelope("no"))
    actor.receive(envelope())
    assert isinstance(host.confirmed[0], Refused)
    assert len(host.proposed) == 1


async def test_a_message_without_effect_is_told_the_state_as_it_is() -> None:
    host = RecordingHost()
    an_actor(host).receive(envelope("same"))
    assert host.confirmed == [(an_order(), CommandResult())]


async def test_a_message_with_a_key_is_remembered_even_when_it_changes_nothing() -> None:
    host = RecordingHost()
    actor = an_actor(host)
    actor.receive(envelope("same", key="k"))
    assert [decision.order for _, _, decision in host.proposed] == [an_order()]
    actor.committed()
    actor.receive(envelope("same", key="k"))
    assert len(host.replayed) == 1


async def test_rules_that_break_on_a_message_hold_up_no_other() -> None:
    host = RecordingHost()
    actor = an_actor(host)
    actor.receive(envelope("bug"))
    actor.receive(envelope())
    assert [type(error) for _, error in host.failed] == [ZeroDivisionError]
    assert len(host.proposed) == 1


async def test_a_repeat_of_a_remembered_message_is_replayed_and_not_decided_again() -> None:
    host = RecordingHost()
    actor = an_actor(host)
    actor.receive(envelope(key="k"))
    actor.receive(envelope(key="k"))
    assert not host.replayed  # the first is not committed yet
    actor.committed()
    assert len(host.replayed) == 1
    assert len(host.proposed) == 1


async def test_a_remembered_id_with_other_content_is_refused() -> None:
    host = RecordingHost()
    actor = an_actor(host)
    actor.receive(envelope(key="k"))
    actor.committed()
    actor.receive(envelope(key="k", fingerprint="other"))
    refusal = host.confirmed[0]
    assert isinstance(refusal, Refused)
    assert refusal.code == "idempotency_key_reused"


async def test_a_refused_message_is_not_remembered() -> None:
    host = RecordingHost()
    actor = an_actor(host)
    actor.receive(envelope("no", key="k"))
    actor.receive(envelope(key="k", fingerprint="other"))
    assert len(host.proposed) == 1


async def test_a_full_mailbox_refuses() -> None:
    host = RecordingHost()
    actor = an_actor(host, mailbox_max_messages=2)
    for _ in range(3):  # one is being committed, two wait
        actor.receive(envelope())
    with pytest.raises(Unavailable) as refusal:
        actor.receive(envelope())
    assert refusal.value.code == "order_busy"


async def test_an_actor_that_leaves_gives_back_what_nobody_has_read() -> None:
    host = RecordingHost()
    actor = an_actor(host)
    first, second = envelope(), envelope()
    actor.receive(first)
    actor.receive(second)
    assert actor.leave() == [second]
    actor.committed()
    assert len(host.proposed) == 1


async def test_a_repeat_is_found_by_the_id_that_an_earlier_release_gave_it() -> None:
    """Otherwise a payment that is repeated across an upgrade would be a second one."""
    host = RecordingHost()
    actor = an_actor(host)
    actor.receive(envelope(key="former"))
    actor.committed()
    again = envelope(key="k")
    again.message = replace(again.message, former_ids=("never", "former"))
    actor.receive(again)
    assert [each.message.id for each in host.replayed] == ["former"]
    assert len(host.proposed) == 1


@pytest.mark.parametrize(
    ("own", "former", "is_repeat"),
    [("f", "", True), ("g", "f", True), ("g", "h", False), ("", "", False), ("g", "", False)],
)
async def test_a_repeat_is_compared_with_what_an_earlier_release_remembered_too(
    own: str, former: str, is_repeat: bool
) -> None:
    host = RecordingHost()
    actor = an_actor(host)
    actor.receive(envelope(key="k", fingerprint="f"))
    actor.committed()
    again = envelope(key="k", fingerprint=own)
    again.message = replace(again.message, former_fingerprint=former)
    actor.receive(again)
    assert len(host.replayed) == is_repeat
    assert len(host.confirmed) == (not is_repeat)


@pytest.mark.parametrize("fingerprint", ["f", "other"])
async def test_a_repeat_from_another_customer_is_refused_as_the_command_would_be(fingerprint: str) -> None:
    """A replay showed the order to whoever knew the key; and that a key was used is nobody's business either."""
    host = RecordingHost()
    actor = an_actor(host)
    actor.receive(envelope(key="k"))
    actor.committed()
    again = envelope(key="k", fingerprint=fingerprint)
    again.message = replace(again.message, customer_scope="c-2")
    actor.receive(again)
    assert not host.replayed
    refusal = host.confirmed[0]
    assert isinstance(refusal, Refused)
    assert refusal.code == "order_not_found"
    own = envelope(key="k")
    own.message = replace(own.message, customer_scope="c-1")
    actor.receive(own)
    assert len(host.replayed) == 1
