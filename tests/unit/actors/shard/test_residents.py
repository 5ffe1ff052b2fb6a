"""The orders in memory: what senders are told when rules, loading or commits break, and that neighbours don't notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from msgspec.structs import replace

from actors.order.commit_loop import CommitPolicy
from actors.order.failpoints import Failpoint
from actors.order.mailbox import PendingReply
from actors.order.messages import DeliveryOutcome, NotOwner
from actors.order.replies import Reply, encode_reply
from actors.shard.context import ResidentLimits, ShardContext
from actors.shard.database_clock import DatabaseClock
from actors.shard.order_number_blocks import OrderNumberBlocks
from actors.shard.partner_calls import PartnerCalls
from actors.shard.reference_cache import CachePolicy, ReferenceCache
from actors.shard.residents import Residents
from domain.calls import (
    CustomerFetched,
    Declined,
    FetchCustomer,
    FetchProducts,
    HoldAnswered,
    NotFound,
    NotSent,
    Outcome,
    ProductsFetched,
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
from domain.slices import PARTITIONS, dedicated_partition, partition_of
from messaging.publishing.publisher import Outbound
from sagas.decide import decide
from sagas.decision import Decision, OrderRules
from storage.errors import StorageUnavailable
from storage.writes.order_store import Commit, FlushResult, Loaded
from tests.unit.actors.shard.silent import Silent
from tests.unit.sagas.builders import CUSTOMER, PEN

NOW = datetime(2026, 11, 24, tzinfo=UTC)
GOOD, BAD = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b01", "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b02"


class Memory(Silent):
    """A store whose flushes succeed, a publisher and partners that take everything: the surroundings of a shard's orders."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, Loaded] = {}
        self.aside: list[str] = []
        self.left: list[str] = []
        self.breaks: set[str] = set()
        self.loads: list[list[str]] = []
        self.replies: dict[str, bytes] = {}
        self.said: list[tuple[str, list[int] | str]] = []
        self.refusals = 0
        self.unwritable: set[str | None] = set()
        self.told_of = 0

    async def flush(self, process: str, token: str, commits: Sequence[Commit]) -> FlushResult:
        await asyncio.sleep(0)
        if commits and self.refusals:
            self.refusals -= 1
            raise StorageUnavailable("away")
        poisoned = {c.order.id: "NUL" for c in commits if c.message_id in self.unwritable}
        if outdated := {c.order.id for c in commits if any(v.version < self.told_of for v in c.reference_versions)}:
            return FlushResult(owned=True, outdated=frozenset(outdated))
        fresh = [c.order.id for c in commits if c.base_version or c.order.id not in self.stored]
        return FlushResult(owned=True, committed=frozenset(fresh) - set(poisoned), poisoned=poisoned)

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

    def leave(self, order_ids: Iterable[str]) -> None:
        self.left.extend(order_ids)
        self.said += [(order_id, "left") for order_id in order_ids]


class FakeLease:
    """Owns all partitions of slices at first."""

    process, token = "p", "t"

    def __init__(self) -> None:
        self.mine = frozenset(map(str, range(PARTITIONS)))

    def owns(self, order_id: str) -> bool:
        return bool({partition_of(order_id), dedicated_partition(order_id)} & self.mine)

    async def renew(self) -> None: ...


async def the_orders(
    memory: Memory,
    commit_policy: CommitPolicy | None = None,
    *,
    lease: FakeLease | None = None,
    limits: ResidentLimits | None = None,
) -> Residents:
    clock = DatabaseClock(memory.now, time.monotonic)
    await clock.synchronise()
    order_numbers = OrderNumberBlocks(memory.take_numbers)
    await order_numbers.fill()
    context = ShardContext(
        shard="order-shard-0",
        store=memory,
        publisher=memory,
        calls=PartnerCalls(memory.perform, lambda *_: None, lambda *_: None, lambda _: None, clock.now),
        clock=clock,
        reference_cache=ReferenceCache(CachePolicy(max_entries=10), time.monotonic),
        order_numbers=order_numbers,
        rules=OrderRules(),
        limits=limits or ResidentLimits(),
        commit_policy=commit_policy or CommitPolicy(),
        failpoint=Failpoint(None),
        monotonic=time.monotonic,
    )
    return Residents(lease or FakeLease(), context)


async def told(
    orders: Residents, order_id: str, body: Body, by: ActorType = ActorType.CLIENT, key: str = "k"
) -> DeliveryOutcome:
    message = Message(id=key, body=body, actor=Actor(by, "x"), keyed=by is ActorType.CLIENT)
    envelope = PendingReply(order_id, message, asyncio.get_running_loop().create_future())
    orders.accept(envelope)
    async with asyncio.timeout(5):
        return await envelope.outcome


def a_creation(order_id: str) -> CreateOrder:
    return CreateOrder(customer_id="c-1", currency="EUR", lines=(NewLine("pen", 1),), order_id=order_id)


@pytest.fixture
def rules_that_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real rules, but for a timer and a removal on which they break."""

    def break_or_decide(order: Order | None, message: Message, now: datetime, rules: OrderRules) -> Decision:
        if isinstance(message.body, Wake | RemoveItem | CallAnswered):
            raise ZeroDivisionError
        return decide(order, message, now, rules)

    monkeypatch.setattr("actors.shard.residents.decide", break_or_decide)


@pytest.mark.usefixtures("rules_that_break")
async def test_a_command_on_which_the_rules_break_is_refused_and_the_order_goes_on() -> None:
    memory = Memory()
    orders = await the_orders(memory)
    assert isinstance(await told(orders, GOOD, a_creation(GOOD)), Reply)
    failed = await told(orders, GOOD, RemoveItem("i-1"), key="k2")
    assert isinstance(failed, Unavailable)
    assert failed.code == "order_failed"
    assert isinstance(await told(orders, GOOD, a_creation(GOOD), key="k3"), Reply)
    assert memory.aside == []


@pytest.mark.usefixtures("rules_that_break")
async def test_an_order_on_whose_timer_the_rules_break_is_set_aside_and_its_neighbour_goes_on() -> None:
    memory = Memory()
    orders = await the_orders(memory)
    for order_id in (GOOD, BAD):
        assert isinstance(await told(orders, order_id, a_creation(order_id)), Reply)
    failed = await told(orders, BAD, Wake(), by=ActorType.TIMER)
    assert isinstance(failed, Unavailable)
    assert failed.code == "order_set_aside"
    asked_again = await told(orders, BAD, a_creation(BAD), key="k2")
    assert isinstance(asked_again, Unavailable)
    assert isinstance(await told(orders, GOOD, a_creation(GOOD), key="k2"), Reply)
    assert memory.aside == [BAD]
    assert BAD in memory.left


@pytest.mark.usefixtures("rules_that_break")
@pytest.mark.parametrize(
    "outcome", [NotFound(), NotSent("full"), Unknown("?"), Declined(422, "x"), CustomerFetched(CUSTOMER)]
)
async def test_an_order_on_whose_partners_answer_the_rules_break_is_set_aside_and_counted(outcome: Outcome) -> None:
    """With a tax rate of 21 the rules broke on every answer; whatever it is, it must be seen."""
    memory = Memory()
    orders = await the_orders(memory)
    for order_id in (GOOD, BAD):
        assert isinstance(await told(orders, order_id, a_creation(order_id)), Reply)
    failed = await told(orders, BAD, CallAnswered("fetch_customer:1", 1, outcome), by=ActorType.PARTNER)
    assert isinstance(failed, Unavailable)
    assert failed.code == "order_set_aside"
    assert orders.commit_loop.counts.set_aside == 1
    assert isinstance(await told(orders, GOOD, a_creation(GOOD), key="k2"), Reply)
    assert memory.aside == [BAD]


async def test_a_command_that_cannot_be_written_is_refused_and_the_order_goes_on() -> None:
    """A NUL in what one caller sent had the order set aside for half a minute: nobody else could do anything with it."""
    memory = Memory()
    memory.unwritable = {"k0", "k2"}
    orders = await the_orders(memory)
    never_made = await told(orders, BAD, a_creation(BAD), key="k0")
    assert isinstance(await told(orders, GOOD, a_creation(GOOD), key="k1"), Reply)
    failed = await told(orders, GOOD, Cancel(CancelReason.CUSTOMER, "NUL"), key="k2")
    for each in (never_made, failed):
        assert isinstance(each, Unavailable)
        assert each.code == "order_failed"
    assert isinstance(await told(orders, BAD, a_creation(BAD), key="k3"), Reply)
    assert isinstance(await told(orders, GOOD, Cancel(CancelReason.CUSTOMER), key="k4"), Reply)
    assert memory.aside == []


async def test_a_creation_reads_nothing_and_its_repeat_is_found_by_what_is_stored() -> None:
    memory = Memory()
    first = await told(await the_orders(memory), GOOD, a_creation(GOOD))
    assert isinstance(first, Reply)
    assert memory.loads == []
    # Another process: it has nothing in memory.
    order = decide(
        None, Message(id="k", body=a_creation(GOOD), actor=Actor(ActorType.CLIENT, "x")), NOW, OrderRules()
    ).order
    memory.stored[GOOD] = Loaded(order=order, undecodable=None, dedicated_group=None, keys={"k": ""}, unpublished=())
    memory.replies["k"] = encode_reply(first)
    again = await told(await the_orders(memory), GOOD, a_creation(GOOD))
    assert again == msgspec.structs.replace(first, replayed=True)
    assert memory.loads == [[GOOD]]


async def test_a_repeated_creation_that_can_not_be_written_does_not_say_that_there_is_no_order() -> None:
    """It was decided on without a look. The database was away, and what came after it was told that there is no such order."""
    memory = Memory()
    order = decide(
        None, Message(id="k", body=a_creation(GOOD), actor=Actor(ActorType.CLIENT, "x")), NOW, OrderRules()
    ).order
    memory.stored[GOOD] = Loaded(order=order, undecodable=None, dedicated_group=None, keys={"k": ""}, unpublished=())
    memory.refusals = 2
    orders = await the_orders(memory, CommitPolicy(retry_for_s=-1))
    repeat = asyncio.create_task(told(orders, GOOD, a_creation(GOOD)))
    await asyncio.sleep(0)
    added = await told(orders, GOOD, AddItem("ink", 1), key="k2")
    assert isinstance(await repeat, Unavailable)
    assert isinstance(added, Unavailable)  # not a refusal: the second commit was for the order that there is
    assert isinstance(await told(orders, GOOD, AddItem("ink", 1), key="k2"), Reply)


async def test_a_load_that_breaks_is_told_to_those_who_wait_and_the_next_one_is_read() -> None:
    memory = Memory()
    memory.breaks = {BAD}
    orders = await the_orders(memory)
    assert isinstance(await told(orders, BAD, Wake(), by=ActorType.TIMER), Unavailable)
    assert isinstance(await told(orders, GOOD, a_creation(GOOD)), Reply)


async def test_an_order_whose_snapshot_cannot_be_read_is_set_aside_and_its_neighbour_goes_on() -> None:
    memory = Memory()
    unreadable = Loaded(order=None, undecodable="shape 9", dedicated_group=None, keys={}, unpublished=())
    memory.stored = {BAD: unreadable}
    orders = await the_orders(memory)
    failed, made = await asyncio.gather(
        told(orders, BAD, Wake(), by=ActorType.TIMER), told(orders, GOOD, a_creation(GOOD))
    )
    assert isinstance(failed, Unavailable)
    assert "shape 9" in str(failed)
    assert isinstance(made, Reply)
    assert memory.aside == [BAD]


async def test_staff_take_an_order_up_again_that_was_set_aside() -> None:
    memory = Memory()
    memory.stored = {BAD: Loaded(order=None, undecodable="torn", dedicated_group=None, keys={}, unpublished=())}
    orders = await the_orders(memory)
    assert isinstance(await told(orders, BAD, Wake(), by=ActorType.TIMER), Unavailable)
    memory.stored = {}
    assert isinstance(await told(orders, BAD, a_creation(BAD)), Unavailable)
    await told(orders, BAD, RetryNow(), by=ActorType.STAFF)
    assert memory.aside == []
    assert isinstance(await told(orders, BAD, a_creation(BAD)), Reply)


async def test_an_order_of_another_owner_is_not_hosted() -> None:
    memory = Memory()
    orders = await the_orders(memory)
    assert isinstance(await told(orders, GOOD, a_creation(GOOD)), Reply)
    elsewhere = Loaded(order=None, undecodable=None, dedicated_group=f"order-{BAD}", keys={}, unpublished=())
    memory.stored = {BAD: replace(elsewhere)}
    moved = await told(orders, BAD, Wake(), by=ActorType.TIMER)
    assert moved == NotOwner("")


async def test_a_partition_is_let_go_although_its_neighbours_never_pause() -> None:
    """An order was handed over only when its whole shard had nothing to write: under load never, and it was out of reach."""
    orders = await the_orders(Memory())
    for order_id in (GOOD, BAD):
        await told(orders, order_id, a_creation(order_id))

    async def never_pause() -> None:
        while True:
            message = Message(id="wake", body=Wake(), actor=Actor(ActorType.TIMER, "t"))
            envelopes = [asyncio.get_running_loop().create_future() for _ in range(2)]
            for envelope in envelopes:
                orders.accept(PendingReply(GOOD, message, envelope))
            await asyncio.wait(envelopes, return_when=asyncio.FIRST_COMPLETED)

    neighbours = asyncio.create_task(never_pause())
    await asyncio.sleep(0)
    orders.hold(partition_of(BAD))
    async with asyncio.timeout(5):
        await orders.commit_loop.settled()
    neighbours.cancel()


async def test_what_is_asked_while_a_partition_is_held_waits_and_goes_where_it_belongs_then() -> None:
    memory, lease = Memory(), FakeLease()
    orders = await the_orders(memory, lease=lease)
    for order_id in (GOOD, BAD):
        await told(orders, order_id, a_creation(order_id))
        stored = orders.find(order_id)
        memory.stored[order_id] = Loaded(order=stored, undecodable=None, dedicated_group=None, keys={}, unpublished=())
    for order_id in (GOOD, BAD):
        orders.hold(partition_of(order_id))
    waiting = [
        asyncio.create_task(told(orders, order_id, AddItem("ink", 1), key=key))
        for order_id, key in ((GOOD, "k2"), (BAD, "k2"), (GOOD, "k3"))
    ]
    await orders.commit_loop.settled()
    assert not any(each.done() for each in waiting)
    lease.mine -= {partition_of(BAD)}
    orders.release(frozenset((partition_of(BAD),)), "order-shard-1")
    for order_id in (GOOD, BAD):
        orders.go_on(partition_of(order_id))
    assert await waiting[1] == NotOwner("order-shard-1")
    assert isinstance(await waiting[0], Reply)
    assert isinstance(await waiting[2], Reply)
    assert await told(orders, BAD, AddItem("ink", 1), key="k3") == NotOwner("")


async def test_no_more_wait_for_a_partition_that_moves_than_the_bound_says() -> None:
    orders = await the_orders(Memory(), limits=ResidentLimits(queue_max_messages=60))
    await told(orders, GOOD, a_creation(GOOD))
    orders.hold(partition_of(GOOD))
    envelopes = [asyncio.create_task(told(orders, GOOD, AddItem("ink", 1), key=f"k{n}")) for n in range(80)]
    done, _ = await asyncio.wait(envelopes, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 20
    assert all(isinstance(each.result(), Unavailable) for each in done)
    orders.go_on(partition_of(GOOD))
    for envelope in envelopes:
        await envelope


async def test_what_is_committed_while_a_partition_moves_is_said_before_its_publisher_forgets_the_order() -> None:
    """The publisher forgot the order first, took the last event for the next one, and the ones before it were never published."""
    memory, lease = Memory(), FakeLease()
    orders = await the_orders(memory, lease=lease)
    await told(orders, GOOD, a_creation(GOOD))
    memory.said.clear()
    adding = asyncio.create_task(told(orders, GOOD, AddItem("ink", 1), key="k2"))
    await asyncio.sleep(0)
    orders.hold(partition_of(GOOD))
    await orders.commit_loop.settled()
    lease.mine = frozenset()
    orders.release(frozenset((partition_of(GOOD),)), "order-shard-1")
    assert isinstance(await adding, Reply)
    assert memory.said == [(GOOD, [2]), (GOOD, "left")]


async def test_what_was_being_read_of_an_order_that_was_lost_is_of_no_use_when_it_comes_back() -> None:
    """Another shard may have written to it meanwhile."""

    class Slow(Memory):
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def load(self, order_ids: Sequence[str]) -> dict[str, Loaded]:
            self.begun.set()
            await self.go_on.wait()
            return await super().load(order_ids)

    memory, lease = Slow(), FakeLease()
    partition = partition_of(GOOD)
    orders = await the_orders(memory, lease=lease)
    before = asyncio.create_task(told(orders, GOOD, Wake(), by=ActorType.TIMER))
    await memory.begun.wait()
    lease.mine -= {partition}
    orders.release(frozenset((partition,)), "")
    lease.mine |= {partition}
    orders.adopt(partition)
    after = asyncio.create_task(told(orders, GOOD, Wake(), by=ActorType.TIMER))
    assert await before == NotOwner("")
    memory.go_on.set()
    await after
    assert memory.loads == [[GOOD], [GOOD]]


async def test_an_order_that_becomes_a_partition_of_its_own_moves_with_it() -> None:
    memory, lease = Memory(), FakeLease()
    orders = await the_orders(memory, lease=lease)
    await told(orders, GOOD, a_creation(GOOD))
    dedicated = dedicated_partition(GOOD)
    lease.mine |= {dedicated}
    orders.adopt(dedicated)
    orders.hold(dedicated)
    waiting = asyncio.create_task(told(orders, GOOD, AddItem("ink", 1), key="k2"))
    await orders.commit_loop.settled()
    lease.mine -= {dedicated}
    orders.release(frozenset((dedicated,)), dedicated)
    orders.go_on(dedicated)
    assert await waiting == NotOwner(dedicated)
    assert orders.find(GOOD) is None


async def test_a_letter_for_which_something_breaks_before_its_order_has_it_is_answered() -> None:
    memory = Memory()
    memory.breaks = {"k"}
    orders = await the_orders(memory)
    assert isinstance(await told(orders, GOOD, a_creation(GOOD)), Reply)
    repeated = await told(orders, GOOD, a_creation(GOOD))
    assert isinstance(repeated, Unavailable)
    assert repeated.code == "order_failed"


async def watching(orders: Residents, order_id: str) -> asyncio.Task[Order | NotOwner | None]:
    """A watch that has begun to wait."""
    watch = asyncio.create_task(orders.watch(order_id, "validated"))
    await asyncio.wait([watch], timeout=0)
    assert not watch.done()
    return watch


async def test_who_watches_an_order_hears_that_it_is_owned_elsewhere() -> None:
    """They waited until their time was over: no commit of the former owner would ever bring the order anywhere."""
    lease = FakeLease()
    orders = await the_orders(Memory(), lease=lease)
    for order_id in (GOOD, BAD):
        await told(orders, order_id, a_creation(order_id))
    dedicated, lost = await watching(orders, GOOD), await watching(orders, BAD)
    lease.mine |= {dedicated_partition(GOOD)}
    orders.adopt(dedicated_partition(GOOD))
    lease.mine -= {dedicated_partition(GOOD)}
    orders.release(frozenset((dedicated_partition(GOOD),)), "there")
    assert await dedicated == NotOwner("there")
    assert not lost.done()
    lease.mine -= {partition_of(BAD)}
    orders.release(frozenset((partition_of(BAD),)), "")
    assert await lost == NotOwner("")
    assert await orders.watch(BAD, "validated") == NotOwner("")


async def test_an_order_that_is_not_in_memory_is_read_before_it_is_watched() -> None:
    memory = Memory()
    orders = await the_orders(memory)
    created = decide(
        None, Message(id="k", body=a_creation(GOOD), actor=Actor(ActorType.CLIENT, "x")), NOW, OrderRules()
    ).order
    assert created is not None
    stored = Loaded(order=created, undecodable=None, dedicated_group=None, keys={}, unpublished=())
    closed = replace(stored, order=replace(created, id=BAD, status=Status.CANCELLED))
    elsewhere = Loaded(order=None, undecodable=None, dedicated_group="order-x", keys={}, unpublished=())
    memory.stored = {GOOD: stored, BAD: closed, "x": elsewhere}
    async with asyncio.timeout(5):
        assert await orders.watch(BAD, "validated") is None
        assert await orders.watch("x", "validated") == NotOwner("")
        assert await orders.watch("nowhere", "validated") is None
    watch = asyncio.create_task(orders.watch(GOOD, "validated"))
    await told(orders, GOOD, Wake(), by=ActorType.TIMER)  # in line behind what the watch had read
    assert isinstance(await told(orders, GOOD, Cancel(CancelReason.CUSTOMER)), Reply)
    come = await watch
    assert isinstance(come, Order)
    assert come.status is Status.CANCELLED


@pytest.mark.usefixtures("rules_that_break")
async def test_who_watches_an_order_hears_at_once_that_it_is_set_aside() -> None:
    """They waited until their time was over, although nobody would do anything for the order until then."""
    orders = await the_orders(Memory())
    for order_id in (GOOD, BAD):
        await told(orders, order_id, a_creation(order_id))
    good, bad = await watching(orders, GOOD), await watching(orders, BAD)
    await told(orders, BAD, Wake(), by=ActorType.TIMER)
    async with asyncio.timeout(5):
        assert await bad is None
    assert not good.done()
    good.cancel()


async def test_what_is_outdated_is_forgotten_and_the_order_is_judged_anew() -> None:
    """The answer that led to the refused commit is decided on once more, and its sender hears what came of that."""
    memory = Memory()
    orders = await the_orders(memory)
    assert isinstance(await told(orders, GOOD, a_creation(GOOD)), Reply)
    for key, outcome in (
        ("fetch_products:1", ProductsFetched((PEN,))),
        ("fetch_customer:1", CustomerFetched(CUSTOMER)),
        ("hold:1", HoldAnswered(1, "held")),
    ):
        memory.told_of = PEN.version + 1
        answered = await told(orders, GOOD, CallAnswered(key, 1, outcome), by=ActorType.PARTNER, key=key)
        assert isinstance(answered, Reply)
    order = orders.find(GOOD)
    assert order is not None
    assert (order.status, order.products) == (Status.CREATED, ())
    assert {step.key for step in order.steps} == {"fetch_products:2", "fetch_customer:2"}
    # The next order asks the partners: no copy is at hand.
    sent = len(memory.calls)
    assert isinstance(await told(orders, BAD, a_creation(BAD)), Reply)
    assert [type(call.request) for call in memory.calls[sent:]] == [FetchProducts, FetchCustomer]
    assert memory.aside == []
