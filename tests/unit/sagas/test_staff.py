"""What staff may do about an order that does not go on by itself."""

from __future__ import annotations

import pytest

from domain.calls import (
    GiveBack,
    ReleaseHold,
    Unknown,
    Verify,
)
from domain.commands import (
    ActorType,
    MarkSettled,
    PaymentConfirmed,
    Record,
    RetryNow,
    SkipToCompensation,
)
from domain.document import totals
from domain.errors import RefusalKind
from domain.money import Money
from domain.order import CancelReason, Status
from domain.payments import PaymentStatus
from tests.unit.sagas.making import RULES, Story, answered, at, prepared, refund_said, validated


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


def test_staff_say_that_a_rejected_refund_was_settled_outside() -> None:
    story = rejected_refund()
    story.says(MarkSettled("paid back by transfer"))
    assert story.told.events[-1].data["note"] == "paid back by transfer"
    assert totals(story.order).refunded == totals(story.order).paid
    assert story.order.attention == ()
    story.released()
    assert story.order.status is Status.CANCELLED


def test_staff_say_that_a_mismatched_payment_was_settled_outside_and_the_order_can_be_paid_again() -> None:
    story = validated().pays()
    story.says(PaymentConfirmed(payment_id=story.order.payments[0].payment_id, amount=Money(5, "EUR")))
    story.says(MarkSettled("given back in cash"))
    assert (story.order.payments[0].status, story.order.attention) == (PaymentStatus.REFUNDED, ())
    story.calls.clear()
    story.pays().confirmed()
    assert story.order.status is Status.CONFIRMED


def test_staff_say_that_a_payment_without_an_outcome_was_settled_and_it_is_still_watched() -> None:
    story = validated().pays()
    story.answer(Unknown("timeout"))
    for _ in range(RULES.step_attention_attempts):
        story.wakes()
        story.answer(Unknown("timeout"), of=Verify)
    story.says(MarkSettled("the bank says no"))
    assert (story.order.payments[0].status, story.order.payments[0].code) == (
        PaymentStatus.REJECTED,
        "settled_outside",
    )
    assert story.order.attention == ()
    assert [step.subject for step in story.order.steps] == [story.order.payments[0].payment_id]


@pytest.mark.parametrize("settle_commit", [True, False])
def test_staff_say_that_the_stock_was_settled_outside(settle_commit: bool) -> None:
    story = at(Status.CONFIRMED) if settle_commit else validated().cancels()
    for _ in range(RULES.step_attention_attempts):
        story.answer(Unknown("timeout"))
        story.wakes()
    story.says(MarkSettled("by telephone"))
    assert story.order.status is (Status.PREPARED if settle_commit else Status.CANCELLED)
    assert story.order.attention == ()


def test_there_is_nothing_to_settle_where_nothing_needs_attention() -> None:
    refused = prepared().refuses(MarkSettled("x"))
    assert (refused.kind, refused.code) == (RefusalKind.CONFLICT, "nothing_to_settle")


def test_retrying_now_makes_a_call_that_waits_and_leaves_one_that_is_out() -> None:
    story = validated().cancels()
    assert story.says(RetryNow()).order is None
    story.answer(Unknown("timeout"))
    story.says(RetryNow("ProductSvc is back"), by=ActorType.STAFF)
    assert story.requests == [ReleaseHold()]
    assert story.calls[0].attempt == 2
    (told,) = story.told.events
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
    assert [type(request) for request in story.requests] == [GiveBack]


@pytest.mark.parametrize(
    "body", [RetryNow(), MarkSettled("paid back by transfer"), SkipToCompensation("stock is broken")]
)
def test_what_staff_do_is_in_the_timeline(body: RetryNow | MarkSettled | SkipToCompensation) -> None:
    """The timeline shows events: what has none is not there."""
    story = at(Status.CONFIRMED) if isinstance(body, SkipToCompensation) else rejected_refund()
    before = story.order.event_seq
    decision = story.says(body)
    assert decision.events, f"{type(body).__name__} leaves no trace"
    assert story.order.event_seq > before


def test_staff_record_what_became_of_a_payment_that_stays_undecided() -> None:
    """PaymentSvc never says more than that it works on it; the bank's statement says that the money was taken."""
    story = validated().pays()
    payment = story.order.payments[0]
    story.answer(answered(story, "processing"))
    word = Record(
        subject=payment.payment_id.upper(),
        outcome="confirmed",
        amount=payment.amount,
        reference="statement 7",
        note="seen at the bank",
    )
    story.says(word, by=ActorType.STAFF)
    assert story.order.status is Status.CONFIRMED
    assert "seen at the bank" in [event.data.get("note") for event in story.told.events]
