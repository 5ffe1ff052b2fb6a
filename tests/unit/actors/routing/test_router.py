"""The router: the owner by the tables gets the message, the next one when they say so, and no caller waits for ever."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors.order.messages import DeliveryOutcome, NotOwner, decode_message, encode_outcome
from actors.order.replies import Reply
from actors.routing.ownership import Ownership
from actors.routing.router import Router, RouterLimits
from actors.rpc.connection import CallFailed, ProcessGone, TooManyCalls
from domain.commands import Actor, ActorType, Cancel, ChangeQuantity, Message, Wake
from domain.errors import OutcomeUnknown, RefusalKind, Refused, Unavailable
from domain.order import CancelReason
from domain.slices import dedicated_partition, partition_of

ORDER = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
PARTITION = partition_of(ORDER)
OWNER, OTHER = "order-shard-0", "order-shard-1"
OK = Reply(document=b"{}", version=1)


@dataclass
class FakeShards:
    """Shards that answer as told; those named in ``down`` are gone."""

    answer: Callable[[str, Message], DeliveryOutcome]
    down: set[str] = field(default_factory=set)
    full: bool = False
    fails: bool = False
    seen: dict[str, DeliveryOutcome] = field(default_factory=dict)
    watches: list[str] = field(default_factory=list)
    deliveries: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str) -> FakeShard:
        assert name, "what is looked for once is looked for again and again, and no process is without a name"
        return FakeShard(self, name)

    async def deliver(self, name: str, encoded: bytes) -> bytes:
        if name in self.down:
            raise ProcessGone(name, "not there", sent=False)
        _, message = decode_message(encoded)
        self.deliveries.append((name, message.id))
        await asyncio.sleep(0)
        if name in self.down:
            raise ProcessGone(name, "ended", sent=True)
        return encode_outcome(self.answer(name, message))

    async def watch(self, name: str, order_id: str, until: str) -> bytes | None:
        await asyncio.sleep(0)
        self.watches.append(name)
        if name in self.down:
            raise ProcessGone(name, "ended", sent=True)
        return encode_outcome(self.seen[name]) if name in self.seen else None


@dataclass
class FakeShard:
    """One of them."""

    shards: FakeShards
    name: str

    async def call(self, method: str, *arguments: object, ends_s: float | None = None) -> Any:
        if self.shards.full:
            raise TooManyCalls(self.name, 1)
        if self.shards.fails:
            raise CallFailed("ZeroDivisionError")
        async with asyncio.timeout_at(ends_s):
            return await getattr(self.shards, method)(self.name, *arguments)


def a_message(number: int = 0) -> Message:
    return Message(id=f"m-{number}", body=Wake(), actor=Actor(ActorType.TIMER, "t"))


async def a_router(shards: FakeShards, owners: Mapping[str, str | None] | None = None, **limits: float) -> Router:
    async def read() -> Mapping[str, str | None]:
        return {PARTITION: OWNER} if owners is None else owners

    ownership = Ownership(read, lambda _: None, read_every_s=1.0)
    await ownership.refresh()
    return Router(ownership, shards, RouterLimits(**{"not_owner_wait_s": 0, **limits}))


async def test_a_message_goes_to_the_owner_of_its_order() -> None:
    shards = FakeShards(lambda *_: OK)
    router = await a_router(shards)
    assert await router.ask(ORDER, a_message()) == OK
    assert shards.deliveries == [(OWNER, "m-0")]


@pytest.mark.parametrize("owner", [OWNER, None])
async def test_a_message_whose_owner_is_gone_or_unknown_waits_for_the_next_one(owner: str | None) -> None:
    shards, owners = FakeShards(lambda *_: OK, down={OWNER}), dict[str, str | None]({PARTITION: owner})
    router = await a_router(shards, owners)
    asking = asyncio.create_task(router.ask(ORDER, a_message()))
    await asyncio.sleep(0)
    owners[PARTITION] = OTHER
    assert await asking == OK
    assert shards.deliveries == [(OTHER, "m-0")]


async def test_an_owner_that_dies_under_the_message_is_replaced_and_the_id_stays() -> None:
    shards, owners = FakeShards(lambda *_: OK), dict[str, str | None]({PARTITION: OWNER})
    router = await a_router(shards, owners)
    asking = asyncio.create_task(router.ask(ORDER, a_message(7)))
    while not shards.deliveries:
        await asyncio.sleep(0)
    shards.down.add(OWNER)
    owners[PARTITION] = OTHER
    assert await asking == OK
    assert shards.deliveries == [(OWNER, "m-7"), (OTHER, "m-7")]


async def test_an_order_that_moved_to_a_process_of_its_own_is_followed_there() -> None:
    dedicated = dedicated_partition(ORDER)
    owners: dict[str, str | None] = {PARTITION: OWNER}

    def answer(name: str, _: Message) -> DeliveryOutcome:
        owners[dedicated] = dedicated
        return OK if name == dedicated else NotOwner("")

    shards = FakeShards(answer)
    router = await a_router(shards, owners)
    await router.ask(ORDER, a_message(1))
    await router.ask(ORDER, a_message(2))
    assert [name for name, _ in shards.deliveries] == [OWNER, dedicated, dedicated]


async def test_a_refusal_reaches_the_caller_with_all_it_says() -> None:
    no = Refused(RefusalKind.CONFLICT, "illegal_transition", "not now", allowed=("cancel",), current_version=4)
    router = await a_router(FakeShards(lambda *_: no))
    with pytest.raises(Refused) as refusal:
        await router.ask(ORDER, a_message())
    told = refusal.value
    assert (told.kind, told.code, told.detail) == (no.kind, no.code, no.detail)
    assert (told.allowed, told.current_version) == (("cancel",), 4)


async def test_a_refusal_that_was_told_leaves_the_garbage_collector_nothing_to_find() -> None:
    router = await a_router(FakeShards(lambda *_: Refused(RefusalKind.CONFLICT, "illegal_transition", "not now")))
    seen: list[weakref.ref[Refused]] = []
    gc.disable()
    try:
        try:
            await router.ask(ORDER, a_message())
        except Refused as refused:
            seen.append(weakref.ref(refused))
        await asyncio.sleep(0)
        assert seen[0]() is None
    finally:
        gc.enable()


async def test_with_no_shard_up_a_message_that_was_never_sent_is_certainly_not_done() -> None:
    router = await a_router(FakeShards(lambda *_: OK, down={OWNER, OTHER}), no_owner_s=0)
    with pytest.raises(Unavailable) as refusal:
        await router.ask(ORDER, a_message())
    assert refusal.value.code == "no_shard"


async def test_with_no_shard_left_a_message_that_was_sent_has_an_unknown_outcome() -> None:
    shards = FakeShards(lambda *_: OK)
    router = await a_router(shards, no_owner_s=0)
    asking = asyncio.create_task(router.ask(ORDER, a_message()))
    while not shards.deliveries:
        await asyncio.sleep(0)
    shards.down |= {OWNER, OTHER}
    with pytest.raises(OutcomeUnknown):
        await asking


@pytest.mark.parametrize("dies", [True, False])
async def test_not_now_is_no_certain_no_once_another_owner_was_asked_before(dies: bool) -> None:
    """A shard died under a message that it had committed; its stand-in could not read the database, and the caller heard
    that certainly nothing was done.
    """

    def answer(name: str, *_: object) -> DeliveryOutcome:
        return NotOwner("") if name == OWNER else Unavailable("database_unavailable", "away")

    shards = FakeShards(answer)
    owners: dict[str, str | None] = {PARTITION: OWNER}
    router = await a_router(shards, owners)
    asking = asyncio.create_task(router.ask(ORDER, a_message()))
    while not shards.deliveries:
        await asyncio.sleep(0)
    if dies:
        shards.down.add(OWNER)
    owners[PARTITION] = OTHER
    with pytest.raises(OutcomeUnknown):
        await asking
    with pytest.raises(Unavailable):
        await router.ask(ORDER, a_message(2))


async def test_an_owner_that_moved_a_moment_ago_is_followed() -> None:
    owners: dict[str, str | None] = {PARTITION: OWNER}

    def answer(name: str, _: Message) -> DeliveryOutcome:
        owners[PARTITION] = OTHER
        return NotOwner("") if name == OWNER else OK

    shards = FakeShards(answer)
    router = await a_router(shards, owners)
    await router.ask(ORDER, a_message())
    assert [name for name, _ in shards.deliveries] == [OWNER, OTHER]


async def test_a_caller_is_told_in_time_even_if_the_shard_never_answers() -> None:
    class Silent(FakeShards):
        async def deliver(self, name: str, encoded: bytes) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError

    router = await a_router(Silent(lambda *_: OK))
    with pytest.raises(OutcomeUnknown):
        await router.ask(ORDER, a_message(), timeout_s=0.01)


async def test_a_clients_command_is_always_remembered_because_it_may_be_delivered_twice() -> None:
    seen: list[bool] = []

    def answer(_name: str, message: Message) -> DeliveryOutcome:
        seen.append(message.keyed)
        return OK

    router = await a_router(FakeShards(answer))
    await router.ask(ORDER, Message(id="m", body=Wake(), actor=Actor(ActorType.CLIENT, "c")))
    assert seen == [True]


async def test_a_wait_gives_what_the_commit_told_or_nothing() -> None:
    shards = FakeShards(lambda *_: OK)
    router = await a_router(shards)
    assert await router.wait(ORDER, "validated", 5.0) is None
    shards.seen[OWNER] = OK
    assert await router.wait(ORDER, "validated", 5.0) == OK
    assert await router.wait(ORDER, "validated", 0.0) is None
    shards.down = {OWNER, OTHER}
    assert await router.wait(ORDER, "validated", 0.05) is None


async def test_a_wait_goes_on_at_the_next_owner_when_a_shard_dies_or_the_order_moves() -> None:
    dedicated = dedicated_partition(ORDER)
    owners: dict[str, str | None] = {PARTITION: OTHER}
    shards = FakeShards(lambda *_: OK, seen={OTHER: NotOwner(""), dedicated: OK})
    router = await a_router(shards, owners)
    waiting = asyncio.create_task(router.wait(ORDER, "validated", 5.0))
    while not shards.watches:
        await asyncio.sleep(0)
    owners[dedicated] = dedicated
    assert await waiting == OK
    assert set(shards.watches) == {OTHER, dedicated}
    shards.down.add(dedicated)
    waiting = asyncio.create_task(router.wait(ORDER, "validated", 5.0))
    await asyncio.sleep(0)
    del owners[dedicated]
    shards.seen[OTHER] = OK
    assert await waiting == OK


async def test_waits_end_early_when_the_process_is_asked_to_end() -> None:
    shards = FakeShards(lambda *_: OK, seen={OWNER: NotOwner("")})
    router = await a_router(shards)
    waiting = asyncio.create_task(router.wait(ORDER, "validated", 3600))
    while not shards.watches:
        await asyncio.sleep(0)
    router.drain(0)
    assert await waiting is None
    assert await router.wait(ORDER, "validated", 3600) is None


async def test_a_process_that_has_enough_calls_to_answer_is_not_asked() -> None:
    shards = FakeShards(lambda *_: OK, full=True)
    router = await a_router(shards)
    with pytest.raises(Unavailable) as refusal:
        await router.ask(ORDER, a_message())
    assert (refusal.value.code, refusal.value.overloaded, shards.deliveries) == ("overloaded", True, [])
    assert await router.wait(ORDER, "validated", 5.0) is None


async def test_a_shard_that_fails_leaves_the_outcome_open() -> None:
    shards = FakeShards(lambda *_: OK, fails=True)
    router = await a_router(shards)
    with pytest.raises(OutcomeUnknown):
        await router.ask(ORDER, a_message())
    assert await router.wait(ORDER, "validated", 5.0) is None


@pytest.mark.parametrize(
    "broken",
    [
        Message(id="b", body=Wake(), actor=Actor(ActorType.CLIENT, "\ud800")),
        Message(id="\udfff", body=Wake(), actor=Actor(ActorType.CLIENT, "x")),
        Message(id="b", body=Cancel(CancelReason.CUSTOMER, "\ud800"), actor=Actor(ActorType.CLIENT, "x")),
        Message(id="b", body=ChangeQuantity("i-1", 2**70), actor=Actor(ActorType.CLIENT, "x")),
        Message(id="b", body=Wake(), actor=Actor(ActorType.CLIENT, "x"), traceparent="\ud800"),
    ],
    ids=["who", "id", "text", "number", "trace"],
)
async def test_a_message_that_cannot_be_encoded_costs_its_neighbours_nothing(broken: Message) -> None:
    shards = FakeShards(lambda *_: OK)
    router = await a_router(shards)
    messages = [a_message(0), broken, a_message(2)]
    first, failed, last = await asyncio.gather(*(router.ask(ORDER, m) for m in messages), return_exceptions=True)
    assert (first, last) == (OK, OK)
    assert isinstance(failed, Refused)
    assert failed.code == "invalid_text"
    assert shards.deliveries == [(OWNER, "m-0"), (OWNER, "m-2")]


async def test_an_answer_that_cannot_be_encoded_costs_its_neighbours_nothing() -> None:
    broken = Refused(RefusalKind.CONFLICT, "taken", "by \ud800")
    shards = FakeShards(lambda _name, message: broken if message.id == "m-1" else OK)
    router = await a_router(shards)
    told = await asyncio.gather(*(router.ask(ORDER, a_message(n)) for n in range(3)), return_exceptions=True)
    assert (told[0], told[2]) == (OK, OK)
    assert isinstance(told[1], OutcomeUnknown)
