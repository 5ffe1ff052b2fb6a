"""What was handed to a bulkhead is remembered until its answer is committed, and given to the next bulkhead if need be."""

from __future__ import annotations

import asyncio

from actors.partner_calls import BulkheadCalls
from actors.wire import decode_calls
from domain.calls import Call, FetchCustomer, NotSent, Partner, ReleaseHold
from tests.unit.conftest import Run

OPEN = NotSent("circuit open", circuit_open=True)


def call(order_id: str, number: int = 1) -> Call:
    return Call(order_id=order_id, key="fetch_customer:1", attempt=number, request=FetchCustomer("c-1"))


class Outside:
    """The bulkheads: takes all but what is in ``full``, and notes it."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.taken: list[tuple[Partner, str]] = []
        self.given_up: list[str] = []
        self.asked_again: list[tuple[str, Partner]] = []
        self.calls = BulkheadCalls(
            self._perform,
            lambda call, _: self.given_up.append(call.order_id),
            lambda order_id, partner: self.asked_again.append((order_id, partner)),
            queue_max_calls=8,
        )

    async def _perform(self, partner: Partner, batch: bytes) -> list[int]:
        calls = decode_calls(batch)
        if self.full:
            return list(range(len(calls)))
        self.taken += [(partner, each.order_id) for each in calls]
        return []


def test_a_call_goes_to_its_partner_and_again_to_a_bulkhead_that_was_replaced_until_it_is_answered(run: Run) -> None:
    async def scenario() -> None:
        outside = Outside()
        outside.calls.send([call("a"), Call(order_id="b", key="release", attempt=1, request=ReleaseHold())])
        await asyncio.sleep(1)
        assert set(outside.taken) == {(Partner.USER, "a"), (Partner.PRODUCT, "b")}
        outside.calls.repeat(Partner.USER)
        await asyncio.sleep(1)
        assert outside.taken[2:] == [(Partner.USER, "a")]
        outside.calls.answered("a", "fetch_customer:1", NotSent("queue full"))
        outside.calls.repeat(Partner.USER)
        await asyncio.sleep(1)
        assert (len(outside.taken), outside.calls.unanswered) == (3, 1)

    run(scenario())


def test_a_call_for_which_there_is_no_room_is_given_up(run: Run) -> None:
    async def scenario() -> None:
        outside = Outside(full=True)
        outside.calls.send([call("a")])
        await asyncio.sleep(1)
        assert (outside.given_up, outside.calls.unanswered) == (["a"], 0)

    run(scenario())


def test_an_order_that_hears_of_an_open_circuit_is_asked_again_unless_it_has_left(run: Run) -> None:
    async def scenario() -> None:
        outside = Outside()
        outside.calls.send([call("stays"), call("leaves")])
        for order_id in ("stays", "leaves"):
            outside.calls.answered(order_id, "fetch_customer:1", OPEN)
        assert outside.calls.held_back == 2
        outside.calls.forget(["leaves"])
        await asyncio.sleep(60)
        assert outside.asked_again == [("stays", Partner.USER)]

    run(scenario())
