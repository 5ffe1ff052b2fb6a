"""While a partner's circuit is open one order goes ahead now and then; the others follow once it was answered, not all at once."""

from __future__ import annotations

import asyncio

from actors.shard.parked_orders import ParkedOrders
from domain.calls import Declined, NotSent, Partner, Unknown
from tests.unit.conftest import Run

OPEN = NotSent("circuit open", circuit_open=True)
ANSWER = Declined(409, "out_of_stock")


class Asked:
    """Who was asked to go again, and when."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.partners: set[Partner] = set()
        self.at_s: list[float] = []

    def __call__(self, order_id: str, partner: Partner) -> None:
        self.orders.append(order_id)
        self.partners.add(partner)
        self.at_s.append(asyncio.get_running_loop().time())


def test_one_order_at_a_time_goes_ahead_ever_more_seldom_and_who_fails_stands_at_the_end_again(run: Run) -> None:
    async def scenario() -> None:
        asked = Asked()
        parked = ParkedOrders(asked, ahead_first_s=2.0, ahead_max_s=5.0)
        for order_id in ("a", "b"):
            parked.answered(Partner.USER, order_id, OPEN)
        await asyncio.sleep(2.5)
        parked.answered(Partner.USER, "a", OPEN)
        await asyncio.sleep(4.0)
        parked.answered(Partner.USER, "b", OPEN)
        await asyncio.sleep(10.0)
        assert asked.orders == ["a", "b", "a", "b"]
        assert asked.at_s == [2.0, 6.0, 11.0, 16.0]
        assert asked.partners == {Partner.USER}

    run(scenario())


def test_after_an_answer_the_others_follow_at_once_but_at_a_bounded_rate(run: Run) -> None:
    async def scenario() -> None:
        asked = Asked()
        parked = ParkedOrders(asked, ahead_first_s=60.0, follow_max_orders_per_s=50)
        for number in range(100):
            parked.answered(Partner.PRODUCT, f"order-{number}", OPEN)
        began_s = asyncio.get_running_loop().time()
        parked.answered(Partner.PRODUCT, "somebody", ANSWER)
        await asyncio.sleep(1.05)
        assert 45 <= len(asked.orders) <= 55
        await asyncio.sleep(2.0)
        assert asked.orders == [f"order-{number}" for number in range(100)]
        assert asked.at_s[-1] - began_s <= 2.1
        assert parked.waiting == 0

    run(scenario())


def test_after_an_answer_the_next_time_begins_with_the_short_wait_again(run: Run) -> None:
    async def scenario() -> None:
        asked = Asked()
        parked = ParkedOrders(asked, ahead_first_s=2.0, ahead_max_s=60.0)
        for number in range(3):
            parked.answered(Partner.USER, f"order-{number}", OPEN)
        await asyncio.sleep(6.5)
        parked.answered(Partner.USER, "somebody", ANSWER)
        await asyncio.sleep(1.0)
        assert (len(asked.orders), parked.waiting) == (3, 0)
        parked.answered(Partner.USER, "again", OPEN)
        await asyncio.sleep(2.5)
        assert asked.orders[-1] == "again"

    run(scenario())


def test_no_word_and_what_other_partners_say_let_nobody_follow(run: Run) -> None:
    async def scenario() -> None:
        asked = Asked()
        parked = ParkedOrders(asked, ahead_first_s=60.0)
        parked.answered(Partner.PAYMENT, "waits", OPEN)
        for outcome in (Unknown("timeout"), NotSent("queue full")):
            parked.answered(Partner.PAYMENT, "another", outcome)
        parked.answered(Partner.USER, "another", ANSWER)
        await asyncio.sleep(30.0)
        assert asked.orders == []

    run(scenario())


def test_who_was_answered_or_is_somebody_elses_waits_no_more(run: Run) -> None:
    async def scenario() -> None:
        asked = Asked()
        parked = ParkedOrders(asked, ahead_first_s=1.0)
        for order_id in ("answered", "moved", "waits"):
            parked.answered(Partner.PRODUCT, order_id, OPEN)
        parked.answered(Partner.PRODUCT, "answered", Unknown("timeout"))
        parked.forget(["moved"])
        assert parked.waiting == 1
        await asyncio.sleep(10.0)
        assert asked.orders == ["waits"]

    run(scenario())


def test_those_above_the_bound_are_left_to_their_own_deadline(run: Run) -> None:
    async def scenario() -> None:
        parked = ParkedOrders(Asked(), waiting_max_orders=2)
        for number in range(5):
            parked.answered(Partner.PRODUCT, f"order-{number}", OPEN)
        assert parked.waiting == 2

    run(scenario())
