"""What an event does here: every letter is handed in, and what the event as a whole comes to follows from all of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from actors.groups import Layout
from actors.inbound import LETTERS_TOGETHER_MAX, Inbound
from actors.link import ProcessGone
from domain.commands import HoldLost, Message
from domain.errors import OutcomeUnknown, RefusalKind, Refused, Unavailable
from messaging.envelope import CustomerUpdatedData, Data, InboundEvent, InventoryUpdatedData
from messaging.inbound import CustomerChanged, ProductChanged
from storage.copies import CustomerNews, ProductNews
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


class Peer:
    def __init__(self, name: str, heard: list[tuple[object, ...]], *, is_gone: bool) -> None:
        self._name = name
        self._heard = heard
        self._is_gone = is_gone

    async def call(self, method: str, *news: object) -> None:
        if self._is_gone:
            raise ProcessGone(self._name, "it ended", sent=False)
        self._heard.append((self._name, method, *news))


class Peers:
    """Shards of which those named in ``up`` are up; those in ``gone`` die just then."""

    def __init__(self, up: list[str], gone: tuple[str, ...] = ()) -> None:
        self.heard: list[tuple[object, ...]] = []
        self._up = up
        self._gone = gone

    def is_up(self, name: str) -> bool:
        return name in self._up

    def get(self, name: str) -> Peer:
        return Peer(name, self.heard, is_gone=name in self._gone)


class Copies:
    """What was written over the copies; Redis or PostgreSQL may be away."""

    def __init__(self, *, redis: bool = True, postgresql: bool = True) -> None:
        self.written: list[ProductNews | CustomerNews] = []
        self._redis = redis
        self._postgresql = postgresql

    async def product(self, news: ProductNews | CustomerNews) -> bool:
        if not self._postgresql:
            raise StorageUnavailable("away")
        self.written.append(news)
        return self._redis

    customer = product


def inbound(router: Router, peers: Peers, copies: Copies | None = None) -> Inbound:
    both: tuple[Any, Any] = (router, peers)
    return Inbound(*both, Layout(2), copies or Copies())


def event(data: Data) -> InboundEvent:
    return InboundEvent(source="s", id="e", type="t", time=datetime(2026, 1, 1, tzinfo=UTC), data=data)


def lost(*numbers: int) -> InboundEvent:
    holds = tuple(order_id(number) for number in numbers)
    return event(InventoryUpdatedData(sku="pen", available=0, version=7, lost_holds=holds))


NOT_FOUND = Refused(RefusalKind.NOT_FOUND, "order_not_found", "there is no such order")
NO = Refused(RefusalKind.CONFLICT, "illegal_transition", "no")


async def test_every_order_gets_its_letter_however_many_there_are() -> None:
    router = Router({})
    numbers = range(LETTERS_TOGETHER_MAX * 2 + 1)
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


async def test_news_reach_every_shard() -> None:
    peers = Peers(SHARDS)
    await inbound(Router({}), peers).deliver(lost())
    news = ProductChanged(sku="pen", version=7, available=0, unit_price=None, tax_rate=None, name=None)
    assert [told for told in peers.heard if told[0] in SHARDS] == [(name, "product_changed", news) for name in SHARDS]

    peers = Peers(SHARDS)
    await inbound(Router({}), peers).deliver(event(CustomerUpdatedData(customer_id="c-1", version=2, status="blocked")))
    told = CustomerChanged(customer_id="c-1", version=2, name=None, email=None, status="blocked", addresses=None)
    assert [told for told in peers.heard if told[0] in SHARDS] == [(name, "customer_changed", told) for name in SHARDS]


async def test_news_are_written_over_the_copies_and_whoever_gives_them_out_is_told() -> None:
    peers, copies = Peers(SHARDS), Copies()
    deliver = inbound(Router({}), peers, copies).deliver
    await deliver(lost())
    await deliver(event(CustomerUpdatedData(customer_id="c-1", version=2, status="blocked")))
    assert copies.written == [
        ProductNews(sku="pen", version=7, available=0),
        CustomerNews(customer_id="c-1", version=2, status="blocked"),
    ]
    assert [told for told in peers.heard if told[1] == "told"] == [
        ("bulkhead-product", "told", "product:pen", 7),
        ("bulkhead-user", "told", "customer:c-1", 2),
    ]


async def test_news_that_neither_redis_nor_the_bulkhead_has_heard_come_again() -> None:
    gone = ("bulkhead-product",)
    await inbound(Router({}), Peers(SHARDS, gone)).deliver(lost())
    await inbound(Router({}), Peers(SHARDS), Copies(redis=False)).deliver(lost())
    with pytest.raises(Unavailable):
        await inbound(Router({}), Peers(SHARDS, gone), Copies(redis=False)).deliver(lost())
    with pytest.raises(Unavailable):
        await inbound(Router({}), Peers(SHARDS), Copies(postgresql=False)).deliver(lost())


@pytest.mark.parametrize("peers", [Peers(["order-shard-1"]), Peers(SHARDS, gone=("order-shard-0",))])
async def test_an_event_of_which_a_shard_was_not_told_comes_again_though_all_else_is_done(peers: Peers) -> None:
    """A shard that had just come back was up for the API and not yet for the bridge: it went on with what it had."""
    router = Router({order_id(2): NO})
    with pytest.raises(Unavailable) as raised:
        await inbound(router, peers).deliver(lost(1, 2))
    assert "order-shard-0" in raised.value.detail
    assert [told[0] for told in peers.heard if told[0] in SHARDS] == ["order-shard-1"]
    assert len(router.asked) == 2
