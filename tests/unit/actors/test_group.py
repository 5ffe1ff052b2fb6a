"""A group: what its senders are told when rules, loading or commits break, and that neighbours don't notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from msgspec.structs import replace

from actors.catalogue import Catalogue
from actors.clock import DatabaseClock
from actors.committer import CommitPolicy
from actors.failpoints import Failpoint
from actors.group import Group
from actors.mailbox import PendingReply
from actors.numbers import OrderNumbers
from actors.replies import Reply, encode_reply
from actors.surroundings import GroupLimits, Surroundings
from actors.wire import Moved, Told
from domain.calls import (
    Call,
    CustomerFetched,
    Declined,
    NotKnown,
    NotSent,
    Outcome,
    Unknown,
)
from domain.commands import (
    Actor,
    ActorType,
    AddItem,
    Body,
    CallAnswered,
    Cancel,
    CreateOrder,
    Message,
    NewLine,
    RemoveItem,
    RetryNow,
    Wake,
)
from domain.errors import Unavailable
from domain.order import CancelReason, Order, Status
from domain.promotions import Promotion
from messaging.publisher import Outbound
from sagas.decision import Decision, Rules
from sagas.stages import decide
from storage.errors import StorageUnavailable
from storage.snapshots import Commit, FlushResult, Loaded
from tests.unit.sagas.making import CUSTOMER

NOW = datetime(2026, 11, 24, tzinfo=UTC)
GOOD, BAD = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b01", "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b02"


class Memory:
    """A store whose flushes succeed, a publisher and partners that take everything: the surroundings of one group."""

    def __init__(self) -> None:
        self.stored: dict[str, Loaded] = {}
        self.aside: list[str] = []
        self.left: list[str] = []
        self.breaks: set[str] = set()
        self.loads: list[list[str]] = []
        self.replies: dict[str, bytes] = {}
        self.said: list[tuple[str, list[int] | str]] = []
        self.refusals = 0
        self.is_ours = True
        self.calls = Calls()
        self.unwritable: set[str | None] = set()

    async def flush(self, group: str, epoch: int, commits: Sequence[Commit]) -> FlushResult:
        await asyncio.sleep(0)
        if commits and self.refusals:
            self.refusals -= 1
            raise StorageUnavailable("away")
        poisoned = {c.order.id: "NUL" for c in commits if c.message_id in self.unwritable}
        fresh = [c.order.id for c in commits if c.base_version or c.order.id not in self.stored]
        return FlushResult(owned=self.is_ours, committed=frozenset(fresh) - set(poisoned), poisoned=poisoned)

    async def renew(self, group: str, epoch: int) -> int | None:
        return epoch + 1 if self.is_ours else None

    async def load(self, order_ids: Sequence[str]) -> dict[str, Loaded]:
        await asyncio.sleep(0)
        self.loads.append(list(order_ids))
        if self.breaks & set(order_ids):
            raise ZeroDivisionError
        return {order_id: self.stored[order_id] for order_id in order_ids if order_id in self.stored}

    async def reply(self, order_id: str, message_id: str) -> bytes | None:
        if message_id in self.breaks:
            raise ZeroDivisionError
        return self.replies.get(message_id)

    async def promotions(self, codes: tuple[str, ...]) -> tuple[Promotion, ...]:
        return ()

    async def set_aside(self, order_id: str, reason: str) -> None:
        self.aside.append(order_id)

    async def take_up_again(self, order_id: str) -> None:
        self.aside.remove(order_id)

    async def now(self) -> datetime:
        return NOW

    async def take_numbers(self, count: int) -> int:
        return 1

    def offer(self, order_id: str, events: Sequence[Outbound]) -> None:
        self.said.append((order_id, [event.sequence for event in events]))

    def forget(self, order_ids: Iterable[str]) -> None: ...

    def leave(self, order_ids: Iterable[str]) -> None:
        self.left.extend(order_ids)
        self.said += [(order_id, "left") for order_id in order_ids]


class Calls:
    """What a group says of calls to partners."""

    def __init__(self) -> None:
        self.sent: list[Call] = []

    def committed(self, order: Order) -> None: ...
    def send(self, calls: Iterable[Call]) -> None:
        self.sent += calls

    def send_again(self, calls: Iterable[Call]) -> None:
        self.sent += calls

    def answered(self, order: Order, key: str, outcome: Outcome) -> None: ...
    def leave(self, order_ids: Iterable[str]) -> None: ...
    def forget(self, order_ids: Iterable[str]) -> None: ...


async def a_group(memory: Memory, commit_policy: CommitPolicy | None = None) -> Group:
    clock = DatabaseClock(memory.now, time.monotonic)
    await clock.synchronise()
    numbers = OrderNumbers(memory.take_numbers)
    await numbers.fill()
    around = Surroundings(
        shard="order-shard-0",
        store=memory,
        publisher=memory,
        calls=memory.calls,
        clock=clock,
        catalogue=Catalogue(product_max_age_s=1, customer_max_age_s=1, max_entries=10, monotonic=time.monotonic),
        numbers=numbers,
        rules=Rules(),
        limits=GroupLimits(),
        commit_policy=commit_policy or CommitPolicy(),
        failpoint=Failpoint(None),
        monotonic=time.monotonic,
    )
    return Group("slices-0-of-1", 1, around, lambda _: None)


async def told(group: Group, order_id: str, body: Body, by: ActorType = ActorType.CLIENT, key: str = "k") -> Told:
    message = Message(id=key, body=body, actor=Actor(by, "x"), keyed=by is ActorType.CLIENT)
    letter = PendingReply(order_id, message, asyncio.get_running_loop().create_future())
    group.accept(letter)
    async with asyncio.timeout(5):
        return await letter.told


def a_creation(order_id: str) -> CreateOrder:
    return CreateOrder(customer_id="c-1", currency="EUR", lines=(NewLine("pen", 1),), order_id=order_id)


@pytest.fixture
def rules_that_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real rules, but for a timer and a removal on which they break."""

    def break_or_decide(order: Order | None, message: Message, now: datetime, rules: Rules) -> Decision:
        if isinstance(message.body, Wake | RemoveItem | CallAnswered):
            raise ZeroDivisionError
        return decide(order, message, now, rules)

    monkeypatch.setattr("actors.group.decide", break_or_decide)


@pytest.mark.usefixtures("rules_that_break")
async def test_a_command_on_which_the_rules_break_is_refused_and_the_order_goes_on() -> None:
    memory = Memory()
    group = await a_group(memory)
    assert isinstance(await told(group, GOOD, a_creation(GOOD)), Reply)
    failed = await told(group, GOOD, RemoveItem("i-1"), key="k2")
    assert isinstance(failed, Unavailable)
    assert failed.code == "order_failed"
    assert isinstance(await told(group, GOOD, a_creation(GOOD), key="k3"), Reply)
    assert memory.aside == []


@pytest.mark.usefixtures("rules_that_break")
async def test_an_order_on_whose_timer_the_rules_break_is_set_aside_and_its_neighbour_goes_on() -> None:
    memory = Memory()
    group = await a_group(memory)
    for order_id in (GOOD, BAD):
        assert isinstance(await told(group, order_id, a_creation(order_id)), Reply)
    failed = await told(group, BAD, Wake(), by=ActorType.TIMER)
    assert isinstance(failed, Unavailable)
    assert failed.code == "order_set_aside"
    asked_again = await told(group, BAD, a_creation(BAD), key="k2")
    assert isinstance(asked_again, Unavailable)
    assert isinstance(await told(group, GOOD, a_creation(GOOD), key="k2"), Reply)
    assert memory.aside == [BAD]
    assert BAD in memory.left


@pytest.mark.usefixtures("rules_that_break")
@pytest.mark.parametrize(
    "outcome", [NotKnown(), NotSent("full"), Unknown("?"), Declined(422, "x"), CustomerFetched(CUSTOMER)]
)
async def test_an_order_on_whose_partners_answer_the_rules_break_is_set_aside_and_counted(outcome: Outcome) -> None:
    """With a tax rate of 21 the rules broke on every answer; whatever it is, it must be seen."""
    memory = Memory()
    group = await a_group(memory)
    for order_id in (GOOD, BAD):
        assert isinstance(await told(group, order_id, a_creation(order_id)), Reply)
    failed = await told(group, BAD, CallAnswered("fetch_customer:1", 1, outcome), by=ActorType.PARTNER)
    assert isinstance(failed, Unavailable)
    assert failed.code == "order_set_aside"
    assert group.committer.counts.set_aside == 1
    assert isinstance(await told(group, GOOD, a_creation(GOOD), key="k2"), Reply)
    assert memory.aside == [BAD]


async def test_a_command_that_cannot_be_written_is_refused_and_the_order_goes_on() -> None:
    """A NUL in what one caller sent had the order set aside for half a minute: nobody else could do anything with it."""
    memory = Memory()
    memory.unwritable = {"k0", "k2"}
    group = await a_group(memory)
    never_made = await told(group, BAD, a_creation(BAD), key="k0")
    assert isinstance(await told(group, GOOD, a_creation(GOOD), key="k1"), Reply)
    failed = await told(group, GOOD, Cancel(CancelReason.CUSTOMER, "NUL"), key="k2")
    for each in (never_made, failed):
        assert isinstance(each, Unavailable)
        assert each.code == "order_failed"
    assert isinstance(await told(group, BAD, a_creation(BAD), key="k3"), Reply)
    assert isinstance(await told(group, GOOD, Cancel(CancelReason.CUSTOMER), key="k4"), Reply)
    assert memory.aside == []


async def test_a_creation_reads_nothing_and_its_repeat_is_found_by_what_is_stored() -> None:
    memory = Memory()
    first = await told(await a_group(memory), GOOD, a_creation(GOOD))
    assert isinstance(first, Reply)
    assert memory.loads == []
    # Another process: it has nothing in memory.
    order = decide(None, Message(id="k", body=a_creation(GOOD), actor=Actor(ActorType.CLIENT, "x")), NOW, Rules()).order
    memory.stored[GOOD] = Loaded(order=order, undecodable=None, dedicated_group=None, keys={"k": ""}, unpublished=())
    memory.replies["k"] = encode_reply(first)
    again = await told(await a_group(memory), GOOD, a_creation(GOOD))
    assert again == msgspec.structs.replace(first, replayed=True)
    assert memory.loads == [[GOOD]]


async def test_a_repeated_creation_that_can_not_be_written_does_not_say_that_there_is_no_order() -> None:
    """It was decided on without a look. The database was away, and what came after it was told that there is no such order."""
    memory = Memory()
    order = decide(None, Message(id="k", body=a_creation(GOOD), actor=Actor(ActorType.CLIENT, "x")), NOW, Rules()).order
    memory.stored[GOOD] = Loaded(order=order, undecodable=None, dedicated_group=None, keys={"k": ""}, unpublished=())
    memory.refusals = 2
    group = await a_group(memory, CommitPolicy(retry_for_s=-1))
    repeat = asyncio.create_task(told(group, GOOD, a_creation(GOOD)))
    await asyncio.sleep(0)
    added = await told(group, GOOD, AddItem("ink", 1), key="k2")
    assert isinstance(await repeat, Unavailable)
    assert isinstance(added, Unavailable)  # not a refusal: the second commit was for the order that there is
    assert isinstance(await told(group, GOOD, AddItem("ink", 1), key="k2"), Reply)


async def test_a_load_that_breaks_is_told_to_those_who_wait_and_the_next_one_is_read() -> None:
    memory = Memory()
    memory.breaks = {BAD}
    group = await a_group(memory)
    assert isinstance(await told(group, BAD, Wake(), by=ActorType.TIMER), Unavailable)
    assert isinstance(await told(group, GOOD, a_creation(GOOD)), Reply)


async def test_an_order_whose_snapshot_cannot_be_read_is_set_aside_and_its_neighbour_goes_on() -> None:
    memory = Memory()
    unreadable = Loaded(order=None, undecodable="shape 9", dedicated_group=None, keys={}, unpublished=())
    memory.stored = {BAD: unreadable}
    group = await a_group(memory)
    failed, made = await asyncio.gather(
        told(group, BAD, Wake(), by=ActorType.TIMER), told(group, GOOD, a_creation(GOOD))
    )
    assert isinstance(failed, Unavailable)
    assert "shape 9" in str(failed)
    assert isinstance(made, Reply)
    assert memory.aside == [BAD]


async def test_staff_take_an_order_up_again_that_was_set_aside() -> None:
    memory = Memory()
    memory.stored = {BAD: Loaded(order=None, undecodable="torn", dedicated_group=None, keys={}, unpublished=())}
    group = await a_group(memory)
    assert isinstance(await told(group, BAD, Wake(), by=ActorType.TIMER), Unavailable)
    memory.stored = {}
    assert isinstance(await told(group, BAD, a_creation(BAD)), Unavailable)
    await told(group, BAD, RetryNow(), by=ActorType.STAFF)
    assert memory.aside == []
    assert isinstance(await told(group, BAD, a_creation(BAD)), Reply)


async def test_an_order_of_another_owner_is_not_hosted() -> None:
    memory = Memory()
    group = await a_group(memory)
    assert isinstance(await told(group, GOOD, a_creation(GOOD)), Reply)
    elsewhere = Loaded(order=None, undecodable=None, dedicated_group=f"order-{BAD}", keys={}, unpublished=())
    memory.stored = {BAD: replace(elsewhere)}
    moved = await told(group, BAD, Wake(), by=ActorType.TIMER)
    assert getattr(moved, "group", None) == f"order-{BAD}"


async def test_an_order_is_handed_over_although_its_neighbours_never_pause() -> None:
    """The hand-over waited until the whole group had nothing to write: under load never, and the order was out of reach."""
    memory = Memory()
    group = await a_group(memory)
    for order_id in (GOOD, BAD):
        await told(group, order_id, a_creation(order_id))
    dedicated: list[str] = []

    async def dedicate() -> None:
        dedicated.append(BAD)

    async def never_pause() -> None:
        letters: list[asyncio.Future[Told]] = []
        while True:
            message = Message(id="wake", body=Wake(), actor=Actor(ActorType.TIMER, "t"))
            letters = [asyncio.get_running_loop().create_future() for _ in range(2)]
            for letter in letters:
                group.accept(PendingReply(GOOD, message, letter))
            await asyncio.wait(letters, return_when=asyncio.FIRST_COMPLETED)

    neighbours = asyncio.create_task(never_pause())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await group.hand_over(BAD, dedicate)
    neighbours.cancel()
    assert dedicated == [BAD]


async def test_no_more_wait_for_an_order_that_moves_than_its_mailbox_holds() -> None:
    memory = Memory()
    group = await a_group(memory)
    await told(group, GOOD, a_creation(GOOD))
    moving = asyncio.Event()

    async def dedicate() -> None:
        await moving.wait()

    handing_over = asyncio.create_task(group.hand_over(GOOD, dedicate))
    await asyncio.sleep(0)
    letters = [asyncio.create_task(told(group, GOOD, AddItem("ink", 1), key=f"k{n}")) for n in range(80)]
    done, _ = await asyncio.wait(letters, return_when=asyncio.FIRST_COMPLETED)
    assert all(isinstance(each.result(), Unavailable) for each in done)
    moving.set()
    await handing_over
    for letter in letters:
        await letter


async def test_what_is_committed_while_an_order_moves_is_said_before_its_publisher_forgets_it() -> None:
    """The publisher forgot the order first, took the last event for the next one, and the ones before it were never published."""
    memory = Memory()
    group = await a_group(memory)
    await told(group, GOOD, a_creation(GOOD))
    memory.said.clear()
    adding = asyncio.create_task(told(group, GOOD, AddItem("ink", 1), key="k2"))
    await asyncio.sleep(0)

    async def dedicate() -> None: ...

    await group.hand_over(GOOD, dedicate)
    assert isinstance(await adding, Reply)
    assert memory.said == [(GOOD, [2]), (GOOD, "left")]


async def test_a_letter_for_which_something_breaks_before_its_order_has_it_is_answered() -> None:
    memory = Memory()
    memory.breaks = {"k"}
    group = await a_group(memory)
    assert isinstance(await told(group, GOOD, a_creation(GOOD)), Reply)
    repeated = await told(group, GOOD, a_creation(GOOD))
    assert isinstance(repeated, Unavailable)
    assert repeated.code == "order_failed"


async def watching(group: Group, order_id: str) -> asyncio.Task[Order | Moved | None]:
    """A watch that has begun to wait."""
    watch = asyncio.create_task(group.watch(order_id, "validated"))
    await asyncio.wait([watch], timeout=0)
    assert not watch.done()
    return watch


async def test_who_watches_an_order_hears_that_it_moves_or_that_the_group_has_another_owner() -> None:
    """They waited until their time was over: no commit of the former owner would ever bring the order anywhere."""
    memory = Memory()
    group = await a_group(memory)
    for order_id in (GOOD, BAD):
        await told(group, order_id, a_creation(order_id))
    hands, owners = await watching(group, GOOD), await watching(group, BAD)

    async def dedicate() -> None: ...

    await group.hand_over(GOOD, dedicate)
    assert await hands == Moved("")
    memory.is_ours = False
    group.check()
    assert await owners == Moved("")
    assert await group.watch(BAD, "validated") == Moved("")


async def test_an_order_that_is_not_in_memory_is_read_before_it_is_watched() -> None:
    memory = Memory()
    group = await a_group(memory)
    created = decide(
        None, Message(id="k", body=a_creation(GOOD), actor=Actor(ActorType.CLIENT, "x")), NOW, Rules()
    ).order
    assert created is not None
    stored = Loaded(order=created, undecodable=None, dedicated_group=None, keys={}, unpublished=())
    closed = replace(stored, order=replace(created, id=BAD, status=Status.CANCELLED))
    elsewhere = Loaded(order=None, undecodable=None, dedicated_group="order-x", keys={}, unpublished=())
    memory.stored = {GOOD: stored, BAD: closed, "x": elsewhere}
    async with asyncio.timeout(5):
        assert await group.watch(BAD, "validated") is None
        assert await group.watch("x", "validated") == Moved("order-x")
        assert await group.watch("nowhere", "validated") is None
    watch = asyncio.create_task(group.watch(GOOD, "validated"))
    await told(group, GOOD, Wake(), by=ActorType.TIMER)  # in line behind what the watch had read
    assert isinstance(await told(group, GOOD, Cancel(CancelReason.CUSTOMER)), Reply)
    come = await watch
    assert isinstance(come, Order)
    assert come.status is Status.CANCELLED


@pytest.mark.usefixtures("rules_that_break")
async def test_who_watches_an_order_hears_at_once_that_it_is_set_aside() -> None:
    """They waited until their time was over, although nobody would do anything for the order until then."""
    group = await a_group(Memory())
    for order_id in (GOOD, BAD):
        await told(group, order_id, a_creation(order_id))
    good, bad = await watching(group, GOOD), await watching(group, BAD)
    await told(group, BAD, Wake(), by=ActorType.TIMER)
    async with asyncio.timeout(5):
        assert await bad is None
    assert not good.done()
    good.cancel()
