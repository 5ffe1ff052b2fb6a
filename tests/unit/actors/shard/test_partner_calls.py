"""What a bulkhead is given is what the last commits of orders ask for: after each, and again when it is replaced."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from actors.order.messages import decode_call
from actors.rpc.connection import CallFailed, ProcessGone, TooManyCalls
from actors.shard.partner_calls import PartnerCalls
from domain.calls import Call, Charge, FetchCustomer, HoldAnswered, NotFound, NotSent, Partner, ReleaseHold, Verify
from domain.order import Order, Status, StepState
from supervised import failures_total
from tests.unit.conftest import Run
from tests.unit.sagas.builders import ASKING, CREATE, INK, PEN, Story, validated

OPEN = NotSent("circuit open", circuit_open=True)


class Outside:
    """The orders in memory, and the bulkheads: those take all but what finds them ``full``, and it is noted."""

    def __init__(self, *stories: Story) -> None:
        self.orders: dict[str, Order] = {}
        self.now = stories[0].now if stories else validated().now
        self.full = False
        self.unreachable: Exception | None = None
        self.answers_with: Exception | None = None
        self.taken: list[Call] = []
        self.given_up: list[Call] = []
        self.asked_again: list[tuple[str, Partner]] = []
        self.calls = PartnerCalls(
            self._perform,
            lambda call, _: self.given_up.append(call),
            lambda order_id, partner: self.asked_again.append((order_id, partner)),
            self.orders.get,
            lambda: self.now,
        )
        for story in stories:
            self.commit(story)

    def _perform(self, partner: Partner, call: bytes) -> asyncio.Future[bool]:
        if self.unreachable is not None:
            raise self.unreachable
        performed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.answers_with is not None:
            performed.set_exception(self.answers_with)
            return performed
        if not self.full:
            self.taken.append(decode_call(call))
        performed.set_result(not self.full)
        return performed

    def commit(self, story: Story) -> None:
        """What was decided last is the order's commit; its calls go out."""
        self.now = story.now
        self.orders[story.order.id] = story.order
        self.calls.committed(story.order)
        self.calls.send(story.decided.calls)

    @property
    def kinds(self) -> list[type]:
        return [type(call.request) for call in self.taken]


def test_a_call_goes_again_to_a_bulkhead_that_was_replaced_until_it_is_answered_and_says_that_it_may_have_been_made(
    run: Run,
) -> None:
    async def scenario() -> None:
        story = Story(lookups=ASKING)
        outside = Outside(story)
        await asyncio.sleep(1)
        first = {call.key: call for call in outside.taken}
        assert {type(call.request) for call in outside.taken} >= {FetchCustomer}
        assert not any(call.may_have_happened for call in outside.taken)
        outside.taken.clear()
        outside.calls.repeat(Partner.USER)
        await asyncio.sleep(1)
        again = [replace(first[key], may_have_happened=True) for key in first if key.startswith("fetch_customer")]
        assert outside.taken == again
        outside.taken.clear()
        story.fetched(PEN, INK)
        outside.commit(story)
        outside.calls.repeat(Partner.USER)
        await asyncio.sleep(1)
        assert FetchCustomer not in outside.kinds

    run(scenario())


def test_a_charge_that_is_not_wanted_any_more_is_not_sent_again(run: Run) -> None:
    """The answer to a charge never reached its order; the order asked PaymentSvc instead, was cancelled, and gave its stock back.

    Whenever PaymentSvc's bulkhead was replaced after that, the charge went out again: money was taken for a cancelled order.
    """

    async def scenario() -> None:
        story = validated().pays()
        outside = Outside(story)
        await asyncio.sleep(1)
        assert outside.kinds == [Charge]
        story.wakes(after_s=story.rules.call_lost_s + 1)
        outside.commit(story)
        story.cancels()
        outside.commit(story)
        await asyncio.sleep(1)
        assert outside.kinds == [Charge, Verify]
        story.answer(NotFound(), of=Verify)
        outside.commit(story)
        story.wakes(after_s=story.rules.payment_settle_s + 1)
        outside.commit(story)
        story.answer(NotFound(), of=Verify)
        outside.commit(story)
        story.answer(HoldAnswered(story.order.hold_revision, "released"), of=ReleaseHold)
        outside.commit(story)
        assert story.is_at(Status.CANCELLED)
        await asyncio.sleep(1)
        outside.taken.clear()
        for partner in Partner:
            outside.calls.repeat(partner)
        await asyncio.sleep(1)
        assert outside.taken == []
        assert outside.calls.unanswered == 0

    run(scenario())


def test_a_charge_of_an_order_that_was_cancelled_meanwhile_is_not_sent_again_and_the_order_hears_so(run: Run) -> None:
    async def scenario() -> None:
        story = validated().pays()
        charges = story.decided.calls
        outside = Outside(story)
        story.cancels()
        outside.commit(story)
        outside.taken.clear()
        outside.calls.send_again(charges)
        await asyncio.sleep(1)
        assert Charge not in outside.kinds
        assert [type(call.request) for call in outside.given_up] == [Charge]

    run(scenario())


def test_a_charge_is_not_repeated_past_the_orders_time(run: Run) -> None:
    async def scenario() -> None:
        story = validated().pays()
        outside = Outside(story)
        await asyncio.sleep(1)
        outside.taken.clear()
        outside.now = story.order.expires_at
        outside.calls.repeat(Partner.PAYMENT)
        await asyncio.sleep(1)
        assert outside.taken == []

    run(scenario())


def test_a_call_whose_step_is_tried_again_meanwhile_is_not_sent_again_as_the_earlier_try(run: Run) -> None:
    async def scenario() -> None:
        story = Story(lookups=ASKING)
        first = story.decided.calls
        outside = Outside(story)
        story.wakes(after_s=story.rules.call_lost_s + 1)
        outside.taken.clear()
        outside.commit(story)
        outside.calls.send_again(first)
        await asyncio.sleep(1)
        assert {call.attempt for call in outside.taken} == {2}
        assert len(outside.taken) == len({call.key for call in outside.taken})

    run(scenario())


def test_nothing_is_sent_for_an_order_that_is_not_in_memory(run: Run) -> None:
    """Somebody else owns it, or it comes back by its own deadline."""

    async def scenario() -> None:
        story = Story(lookups=ASKING)
        outside = Outside(story)
        await asyncio.sleep(1)
        outside.taken.clear()
        outside.calls.leave([story.order.id])
        assert outside.calls.unanswered == 0
        del outside.orders[story.order.id]
        outside.calls.send_again(story.calls)
        outside.calls.repeat(Partner.USER)
        await asyncio.sleep(1)
        assert (outside.taken, outside.given_up) == ([], [])

    run(scenario())


def test_what_is_overdue_is_left_to_the_wake_that_is_due_as_well(run: Run) -> None:
    async def scenario() -> None:
        story = Story(lookups=ASKING)
        outside = Outside(story)
        await asyncio.sleep(1)
        outside.taken.clear()
        outside.now = story.order.steps[0].next_try_at
        outside.calls.repeat(Partner.USER)
        outside.calls.repeat(Partner.PRODUCT)
        await asyncio.sleep(1)
        assert outside.taken == []

    run(scenario())


def test_a_call_for_which_there_is_no_room_is_given_up(run: Run) -> None:
    async def scenario() -> None:
        story = Story(lookups=ASKING)
        outside = Outside()
        outside.full = True
        outside.commit(story)
        await asyncio.sleep(1)
        assert {call.key for call in outside.given_up} == {step.key for step in story.order.steps}

    run(scenario())


@pytest.mark.parametrize("full", [TooManyCalls("bulkhead-user", 8), None])
def test_a_call_that_cannot_be_sent_at_all_is_given_up(run: Run, full: Exception | None) -> None:
    async def scenario() -> None:
        outside = Outside()
        outside.unreachable = full
        text = "c" if full is not None else "\ud800"
        outside.calls.send([Call(order_id="o", key="k", attempt=1, request=FetchCustomer(text))])
        await asyncio.sleep(1)
        assert [call.key for call in outside.given_up] == ["k"]

    run(scenario())


def test_a_call_to_a_bulkhead_that_is_gone_is_left_to_its_repeat(run: Run) -> None:
    async def scenario() -> None:
        story = Story(lookups=ASKING)
        outside = Outside()
        outside.unreachable = ProcessGone("bulkhead-user", "not there", sent=False)
        outside.commit(story)
        outside.unreachable, outside.answers_with = None, ProcessGone("bulkhead-user", "ended", sent=True)
        outside.calls.repeat(Partner.USER)
        outside.answers_with = None
        await asyncio.sleep(1)
        assert (outside.taken, outside.given_up) == ([], [])
        outside.calls.repeat(Partner.USER)
        await asyncio.sleep(1)
        assert outside.kinds == [FetchCustomer]

    run(scenario())


def test_a_bulkhead_that_fails_to_take_a_call_is_counted(run: Run) -> None:
    async def scenario() -> None:
        before = failures_total()
        outside = Outside()
        outside.answers_with = CallFailed("ZeroDivisionError")
        outside.calls.send([Call(order_id="o", key="k", attempt=1, request=FetchCustomer("c"))])
        await asyncio.sleep(1)
        assert failures_total() == before + 1

    run(scenario())


def test_unanswered_calls_are_the_running_steps_of_the_orders_in_memory(run: Run) -> None:
    async def scenario() -> None:
        story = Story(lookups=ASKING)
        outside = Outside(story)
        assert outside.calls.unanswered == sum(step.state is StepState.RUNNING for step in story.order.steps) == 2
        outside.calls.forget([story.order.id])
        assert outside.calls.unanswered == 0

    run(scenario())


def test_an_order_that_hears_of_an_open_circuit_is_asked_again_unless_it_has_left(run: Run) -> None:
    async def scenario() -> None:
        other = replace(CREATE, order_id=CREATE.order_id[:-1] + "9")
        stays, leaves = Story(lookups=ASKING), Story(other, lookups=ASKING)
        outside = Outside(stays, leaves)
        for story in (stays, leaves):
            outside.calls.answered(
                story.order, next(c.key for c in story.calls if isinstance(c.request, FetchCustomer)), OPEN
            )
        assert outside.calls.held_back == 2
        outside.calls.forget([leaves.order.id])
        await asyncio.sleep(60)
        assert outside.asked_again == [(stays.order.id, Partner.USER)]

    run(scenario())
