"""What staff may do about an order that does not go on by itself."""

from __future__ import annotations

import pytest

from domain.calls import (
    RefundPayment,
    ReleaseHold,
    Unknown,
)
from domain.commands import (
    ActorType,
    MarkSettled,
    RetryNow,
    SkipToCompensation,
)
from domain.errors import RefusalKind
from domain.order import CancelReason, Status
from tests.unit.sagas.builders import RULES, Story, at, prepared, refund_said, validated


def rejected_refund() -> Story:
    story = prepared().cancels()
    story.answer(refund_said(story, "rejected"))
    return story


def test_staff_try_a_rejected_refund_again_under_a_new_id() -> None:
    story = rejected_refund()
    refund = story.order.payments[0].refunds[0]
    assert (story.order.status, story.requests) == (Status.CANCELLING, [])
    assert story.wakes(after_s=86_400).order is None
    story.says(RetryNow())
    assert story.order.attention == ()
    assert story.give_back.refund_id != refund.refund_id
    assert story.give_back.amount.amount == refund.amount
    story.refunded().released()
    assert story.order.status is Status.CANCELLED


@pytest.mark.parametrize("settle_commit", [True, False])
def test_staff_say_that_the_stock_was_settled_outside(settle_commit: bool) -> None:
    story = at(Status.CONFIRMED) if settle_commit else validated().cancels()
    for _ in range(RULES.step_attention_attempts):
        story.answer(Unknown("timeout"))
        story.wakes()
    story.says(MarkSettled("by telephone"))
    assert story.order.status is (Status.PREPARED if settle_commit else Status.CANCELLED)
    assert story.order.attention == ()


@pytest.mark.parametrize("story", [prepared(), rejected_refund()])
def test_there_is_nothing_to_settle_where_no_stock_needs_attention(story: Story) -> None:
    refused = story.refuses(MarkSettled("x"))
    assert (refused.kind, refused.code) == (RefusalKind.CONFLICT, "nothing_to_settle")


def test_retrying_now_makes_a_call_that_waits_and_leaves_one_that_is_out() -> None:
    story = validated().cancels()
    assert story.says(RetryNow()).order is None
    story.answer(Unknown("timeout"))
    story.says(RetryNow("ProductSvc is back"), by=ActorType.STAFF)
    assert story.requests == [ReleaseHold()]
    assert story.calls[0].attempt == 2
    (told,) = story.decided.events
    assert (told.actor.type, told.data["changed"], told.data["note"]) == (
        ActorType.STAFF,
        ["needs_attention"],
        "ProductSvc is back",
    )


def test_giving_up_going_forward_cancels_as_staff() -> None:
    story = at(Status.CONFIRMED)
    story.calls.clear()
    story.says(SkipToCompensation("stock is broken"))
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLING, CancelReason.STAFF)
    assert story.order.cancel_note == "stock is broken"
    assert [type(request) for request in story.requests] == [RefundPayment]


@pytest.mark.parametrize("body", [RetryNow(), SkipToCompensation("stock is broken")])
def test_what_staff_do_is_in_the_timeline(body: RetryNow | SkipToCompensation) -> None:
    """The timeline shows events: what has none is not there."""
    story = at(Status.CONFIRMED) if isinstance(body, SkipToCompensation) else rejected_refund()
    before = story.order.event_seq
    decision = story.says(body)
    assert decision.events, f"{type(body).__name__} leaves no trace"
    assert story.order.event_seq > before
