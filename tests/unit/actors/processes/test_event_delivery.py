"""What an event does here: every message is handed in, and what the event as a whole comes to follows from all of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from actors.processes.event_delivery import MESSAGES_TOGETHER_MAX, EventDelivery
from domain.commands import HoldLost, Message
from domain.errors import OutcomeUnknown, RefusalKind, Refused, Unavailable
from domain.money import Money
from domain.reference_data import ReferenceKind, ReferenceVersion
from messaging.consuming.consumed_events import ReferenceChanged
from messaging.envelope import CustomerUpdatedData, Data, InboundEvent, InventoryUpdatedData, MoneyData
from storage.errors import StorageUnavailable

SHARDS = ["order-shard-0", "order-shard-1"]


def order_id(number: int) -> str:
    return f"0198f7a2-8e11-7aa0-9a0e-{number:012d}"


class Router:
    """A router that tells each order what the test says; None is a success."""

    def __init__(self, answers: dict[str, Exception]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Message]] = []

    async def ask(self, order_id: str, message: Message) -> None:
        self.asked.append((order_id, message))
        if order_id in self.answers:
            raise self.answers[order_id]


class Peers:
    """Shards of which those named in ``up`` are up; those in ``gone`` die just then."""

    def __init__(self, up: list[str], gone: tuple[str, ...] = ()) -> None:
        self.heard: list[tuple[object, ...]] = []
        self._up = up
        self._gone = gone

    def up(self) -> list[str]:
        return ["bulkhead-user", *self._up]

    def notify(self, name: str, method: str, *news: object) -> None:
        if name not in self._gone:
            self.heard.append((name, method, *news))


class Invalidation:
    """What was committed; PostgreSQL may be away."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.committed: list[ReferenceVersion] = []
        self._is_away = is_away

    async def changed(self, change: ReferenceVersion) -> None:
        if self._is_away:
            raise StorageUnavailable("away")
        self.committed.append(change)


def inbound(router: Router, clients: Peers, invalidation: Invalidation | None = None) -> EventDelivery:
    both: tuple[Any, Any] = (router, clients)
    return EventDelivery(*both, invalidation or Invalidation())


def event(data: Data) -> InboundEvent:
    return InboundEvent(source="s", id="e", type="t", time=datetime(2026, 1, 1, tzinfo=UTC), data=data)


def lost(*numbers: int) -> InboundEvent:
    holds = tuple(order_id(number) for number in numbers)
    return event(InventoryUpdatedData(sku="pen", available=0, version=7, lost_holds=holds))


NOT_FOUND = Refused(RefusalKind.NOT_FOUND, "order_not_found", "there is no such order")
NO = Refused(RefusalKind.CONFLICT, "illegal_transition", "no")


async def test_every_order_gets_its_letter_however_many_there_are() -> None:
    router = Router({})
    numbers = range(MESSAGES_TOGETHER_MAX * 2 + 1)
    await inbound(router, Peers(SHARDS)).deliver(lost(*numbers))
    assert [asked for asked, _ in router.asked] == [order_id(number) for number in numbers]
    assert {message.id for _, message in router.asked} == {"s/e"}
    assert {message.body for _, message in router.asked} == {HoldLost("pen")}


async def test_an_order_that_does_not_take_it_keeps_it_from_none_and_is_named() -> None:
    router = Router({order_id(1): NOT_FOUND})
    with pytest.raises(Refused) as raised:
        await inbound(router, Peers(SHARDS)).deliver(lost(1, 2, 3))
    assert len(router.asked) == 3
    assert raised.value.code == "order_not_found"
    assert order_id(1) in raised.value.detail
    assert "1 of 3" in raised.value.detail


@pytest.mark.parametrize("later", [NOT_FOUND, Unavailable("no_shard", "none is up"), OutcomeUnknown("who knows")])
async def test_what_may_succeed_later_decides_before_what_never_will(later: Exception) -> None:
    for answers in ({order_id(1): NO, order_id(2): later}, {order_id(1): later, order_id(2): NO}):
        with pytest.raises(type(later)) as raised:
            await inbound(Router(answers), Peers(SHARDS)).deliver(lost(1, 2))
        assert getattr(raised.value, "code", "") == getattr(later, "code", "")


async def test_what_the_rules_refuse_is_told_when_nothing_else_failed() -> None:
    with pytest.raises(Refused) as raised:
        await inbound(Router({order_id(2): NO}), Peers(SHARDS)).deliver(lost(1, 2))
    assert raised.value.code == "illegal_transition"


PRICE = InventoryUpdatedData(sku="pen", available=0, version=7, unit_price=MoneyData(1200, "EUR"))
PEN_CHANGED = ReferenceVersion(ReferenceKind.PRODUCT, "pen", 7)


async def test_the_version_that_an_event_told_of_is_committed_and_every_shard_hears_of_it() -> None:
    clients, invalidation = Peers(SHARDS), Invalidation()
    await inbound(Router({}), clients, invalidation).deliver(event(PRICE))
    assert invalidation.committed == [PEN_CHANGED]
    change = ReferenceChanged(changed=PEN_CHANGED, unit_price=Money(1200, "EUR"))
    assert clients.heard == [(name, "reference_changed", change) for name in SHARDS]

    clients = Peers(SHARDS)
    blocked = event(CustomerUpdatedData(customer_id="c-1", version=2, status="blocked"))
    await inbound(Router({}), clients, invalidation).deliver(blocked)
    change = ReferenceChanged(changed=ReferenceVersion(ReferenceKind.CUSTOMER, "c-1", 2), status="blocked")
    assert invalidation.committed == [PEN_CHANGED, change.changed]
    assert clients.heard == [(name, "reference_changed", change) for name in SHARDS]


async def test_an_event_whose_version_is_not_committed_comes_again() -> None:
    clients = Peers(SHARDS)
    with pytest.raises(Unavailable) as raised:
        await inbound(Router({}), clients, Invalidation(is_away=True)).deliver(event(PRICE))
    assert raised.value.code == "version_not_committed"
    assert clients.heard == []


@pytest.mark.parametrize("clients", [Peers(["order-shard-1"]), Peers(SHARDS, gone=("order-shard-0",))])
async def test_a_shard_that_is_away_holds_up_no_event(clients: Peers) -> None:
    """However often the events come: each is acknowledged at its first delivery, so that none becomes a dead message."""
    invalidation = Invalidation()
    deliver = inbound(Router({}), clients, invalidation).deliver
    for version in range(1, 10):
        await deliver(event(msgspec.structs.replace(PRICE, version=version)))
    assert [change.version for change in invalidation.committed] == list(range(1, 10))
    assert {shard for shard, *_ in clients.heard} == {"order-shard-1"}


async def test_what_is_in_stock_makes_no_copy_old() -> None:
    invalidation = Invalidation()
    await inbound(Router({}), Peers(SHARDS), invalidation).deliver(lost(1))
    assert invalidation.committed == []
