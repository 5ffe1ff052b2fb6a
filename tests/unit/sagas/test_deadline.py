"""When an order is woken, what it does then, and which calls are made again after a restart."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.calls import CommitHold, FetchProducts, HoldAnswered, NotSent, Partner, Unknown
from domain.commands import ActorType, AskAgain, CallAnswered, Wake
from domain.order import CancelReason, Status
from sagas.decide import deadline, resume
from tests.unit.sagas.builders import ASKING, LOOKUPS, RULES, Story, at, validated


def test_an_order_that_waits_to_be_paid_has_its_expiry_as_deadline() -> None:
    order = validated().order
    assert deadline(order) == order.expires_at


def test_a_running_call_is_due_when_it_counts_as_lost() -> None:
    story = Story()
    assert deadline(story.order) == story.now + timedelta(seconds=RULES.call_lost_s)


@pytest.mark.parametrize("status", [Status.PREPARED, Status.SHIPPED, Status.DELIVERED, Status.CANCELLED])
def test_an_order_that_waits_for_somebody_or_is_closed_has_no_deadline(status: Status) -> None:
    assert deadline(at(status).order) is None


@pytest.mark.parametrize("status", list(Status))
def test_a_wake_before_anything_is_due_changes_nothing_and_repeats_no_call(status: Status) -> None:
    story = at(status)
    story.lookups = replace(LOOKUPS, number=0)
    for _ in range(3):
        decision = story.says(Wake(), by=ActorType.TIMER)
        assert (decision.order, decision.calls, decision.events) == (None, (), ())


def test_an_unpaid_order_expires_at_its_time_and_not_a_moment_earlier() -> None:
    story = validated()
    story.now = story.order.expires_at - timedelta(microseconds=1)
    assert story.says(Wake()).order is None
    story.now = story.order.expires_at
    story.says(Wake(), by=ActorType.TIMER)
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLING, CancelReason.EXPIRED)
    assert story.decided.events[0].actor.type is ActorType.TIMER


def test_an_order_whose_partners_never_answer_expires_a_window_after_its_creation() -> None:
    story = Story(lookups=ASKING)
    for _ in range(200):
        if story.order.is_closed:
            break
        story.wakes()
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLED, CancelReason.EXPIRED)
    assert story.order.cancelled_at == story.order.expires_at


def test_a_partly_paid_order_expires_and_gives_the_money_back() -> None:
    story = validated().pays(1000).confirmed()
    story.now = story.order.expires_at
    story.wakes()
    assert story.order.cancel_reason is CancelReason.EXPIRED
    assert story.give_back.amount.amount == 1000


def test_a_call_without_an_answer_is_made_again_when_it_counts_as_lost() -> None:
    story = at(Status.CONFIRMED)
    story.wakes(after_s=RULES.call_lost_s)
    assert story.requests == [CommitHold(1), CommitHold(1)]
    assert [call.attempt for call in story.calls] == [1, 2]
    step = story.order.steps[0]
    assert (step.attempts, step.last_error) == (2, "no answer came")


def test_a_good_answer_counts_whichever_try_it_belongs_to_and_a_bad_one_only_for_the_last() -> None:
    story = at(Status.CONFIRMED)
    story.wakes(after_s=RULES.call_lost_s)
    key = story.order.steps[0].key
    assert story.says(CallAnswered(key, 1, Unknown("timeout"))).order is None
    story.says(CallAnswered(key, 1, HoldAnswered(1, "committed")))
    assert story.order.status is Status.PREPARED


def test_back_off_doubles_up_to_its_limit_and_the_order_shows_that_it_needs_attention() -> None:
    story = at(Status.CONFIRMED)
    waits = []
    for attempt in range(1, 12):
        story.answer(Unknown("timeout"))
        waits.append((story.order.steps[0].next_try_at - story.now).total_seconds())
        assert bool(story.order.attention) is (attempt >= RULES.step_attention_attempts)
        told = ["PedidoActualizado"] if attempt == RULES.step_attention_attempts else []
        assert story.types == told
        story.wakes()
    for wait, longest in zip(waits, (1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60), strict=True):
        assert 0.75 * longest <= wait <= longest
    story.committed()
    assert story.order.attention == ()
    assert story.types == ["PedidoActualizado", "PedidoActualizado"]  # looked at no more; prepared


def test_a_paid_order_without_a_number_is_confirmed_at_the_next_wake() -> None:
    story = at(Status.PAID)
    assert deadline(story.order) == story.order.updated_at
    story.lookups = LOOKUPS
    story.says(Wake())
    assert (story.order.status, story.order.number) == (Status.CONFIRMED, "ORD-000000042")
    assert [type(request) for request in story.requests] == [CommitHold]


def test_after_a_restart_the_calls_under_way_are_made_again_the_same() -> None:
    """Whether they were sent before is not known, so that a refusal need not be the whole truth."""
    story = Story(lookups=ASKING)
    again = [replace(call, may_have_happened=True) for call in story.calls]
    assert list(resume(story.order, story.now, RULES)) == again


def test_after_a_restart_a_call_that_is_not_due_or_overdue_is_left_to_the_wake() -> None:
    story = at(Status.CONFIRMED)
    late = story.now + timedelta(seconds=RULES.call_lost_s)
    assert resume(story.order, late, RULES) == ()
    story.answer(Unknown("timeout"))
    assert resume(story.order, story.now, RULES) == ()


OPEN = NotSent("circuit open", circuit_open=True)


def test_while_the_circuit_is_open_a_step_waits_about_a_minute_and_not_for_its_fast_tries() -> None:
    story = Story(lookups=ASKING)
    story.answer(OPEN, of=FetchProducts)
    due = deadline(story.order)
    assert due is not None
    wait_s = (min(step.next_try_at for step in story.order.steps if step.last_error) - story.now).total_seconds()
    assert RULES.step_retry_max_s * 0.75 <= wait_s <= RULES.step_retry_max_s
    assert not story.order.attention


def test_a_step_that_has_waited_as_long_as_its_fast_tries_take_needs_attention() -> None:
    story = Story()
    story.answer(OPEN)
    while not story.order.attention:
        story.wakes()
        story.answer(OPEN)
    waited_s = (story.now - story.order.created_at).total_seconds()
    assert RULES.fast_tries_s <= waited_s <= RULES.fast_tries_s + RULES.step_retry_max_s
    assert story.types == ["PedidoActualizado"]


def test_asking_again_makes_the_calls_to_that_partner_before_their_time_and_no_others() -> None:
    story = Story(lookups=ASKING)
    story.answer(OPEN, of=FetchProducts)
    story.answer(OPEN)
    assert story.says(AskAgain(Partner.PAYMENT), by=ActorType.TIMER).order is None
    calls = story.says(AskAgain(Partner.PRODUCT), by=ActorType.TIMER).calls
    assert [type(call.request) for call in calls] == [FetchProducts]
    assert story.says(AskAgain(Partner.PRODUCT), by=ActorType.TIMER).order is None, "it is under way"
    assert len(story.says(AskAgain(Partner.USER), by=ActorType.TIMER).calls) == 1
