"""What is undone when an order is cancelled, in which order, and what staff may do when that does not go on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.calls import (
    CommitHold,
    Declined,
    GiveBack,
    HoldAnswered,
    NotKnown,
    NotSent,
    Outcome,
    RefundAnswered,
    ReleaseHold,
    Unknown,
    Verify,
    VerifyRefund,
)
from domain.commands import (
    CallAnswered,
    Cancel,
    MarkSettled,
    PaymentConfirmed,
    RetryNow,
    Ship,
    SkipToCompensation,
)
from domain.document import payment_status, represent, totals
from domain.errors import RefusalKind
from domain.money import Money
from domain.order import CancelReason, HoldState, Status
from domain.payments import PaymentStatus, RefundStatus
from domain.shipments import ShipmentLine
from sagas.stages import deadline
from tests.unit.sagas.making import ASKING, CREATE, RULES, Story, at, prepared, validated


def refund_said(story: Story, status: str) -> RefundAnswered:
    refund = story.order.payments[-1].refunds[-1]
    return RefundAnswered(refund_id=refund.refund_id, status=status, amount=Money(refund.amount, "EUR"))


def rejected_refund() -> Story:
    story = prepared().cancels()
    story.answer(refund_said(story, "rejected"))
    return story


def test_an_order_that_asked_for_nothing_is_cancelled_at_once() -> None:
    story = Story(known=ASKING)
    answer = story.says(Cancel(CancelReason.CUSTOMER, "why not")).answer
    order = story.order
    assert (order.status, answer.settled) == (Status.CANCELLED, True)
    assert (order.cancel_reason, order.cancel_note) == (CancelReason.CUSTOMER, "why not")
    assert story.types == ["PedidoCancelado"]
    assert order.is_closed
    assert deadline(order) is None


def test_an_order_that_asked_for_a_hold_gives_it_back_by_a_call_even_if_no_answer_came() -> None:
    story = Story()
    story.calls.clear()
    answer = story.says(Cancel(CancelReason.CUSTOMER)).answer
    assert (story.order.status, answer.settled) == (Status.CANCELLING, False)
    assert story.requests == [ReleaseHold()]
    assert story.says(CallAnswered("hold:1", 1, HoldAnswered(1, "held"))).order is None
    story.released()
    assert (story.order.status, story.order.hold) == (Status.CANCELLED, HoldState.RELEASED)


def test_money_goes_back_first_then_the_stock_then_the_promotions_and_only_then_it_is_told() -> None:
    story = validated(replace(CREATE, discount_codes=("TEN", "NOSHIP"))).pays().confirmed().committed()
    story.cancels()
    assert [type(request) for request in story.requests] == [GiveBack]
    assert story.types == ["PedidoActualizado"]
    assert not story.told.releases
    story.refunded()
    assert [type(request) for request in story.requests] == [ReleaseHold]
    assert not story.told.releases
    story.released()
    assert story.told.releases == ("TEN", "NOSHIP")
    (event,) = story.told.events
    assert event.type.value == "PedidoCancelado"
    assert event.data["reason"] == "customer"
    refund = story.order.payments[0].refunds[0]
    assert event.data["refunds"] == [
        {
            "refund_id": refund.refund_id,
            "payment_id": story.order.payments[0].payment_id,
            "amount": refund.amount,
            "currency": "EUR",
        }
    ]
    assert totals(story.order).balance == 0
    assert payment_status(story.order) == "refunded"


def test_every_confirmed_payment_is_refunded() -> None:
    story = validated().pays(1000).confirmed().pays().confirmed().cancels()
    assert sorted(request.amount.amount for request in story.requests if isinstance(request, GiveBack)) == sorted(
        payment.amount for payment in story.order.payments
    )
    story.refunded()
    assert ReleaseHold() not in story.requests
    story.refunded()
    assert story.requests[-1] == ReleaseHold()


@pytest.mark.parametrize("status", [Status.CANCELLING, Status.CANCELLED])
def test_cancelling_again_is_a_success_and_the_first_reason_stays(status: Status) -> None:
    story = at(status)
    decision = story.says(Cancel(CancelReason.STAFF, "mine"))
    assert (decision.order, decision.answer.settled) == (None, status is Status.CANCELLED)
    assert story.order.cancel_reason is CancelReason.CUSTOMER


def test_an_order_is_not_cancelled_once_a_part_of_it_was_shipped() -> None:
    story = prepared()
    line = story.order.lines[0]
    story.says(Ship(carrier="c", tracking_number="t", lines=(ShipmentLine(line.id, 1),)))
    assert story.order.status is Status.PREPARED
    assert story.refuses(Cancel(CancelReason.STAFF)).code == "illegal_transition"
    assert story.refuses(SkipToCompensation("x")).code == "illegal_transition"


def test_a_late_answer_to_the_commit_changes_nothing_while_the_stock_is_given_back() -> None:
    story = at(Status.CONFIRMED)
    (commit,) = story.calls
    story.cancels()
    assert story.says(CallAnswered(commit.key, 1, HoldAnswered(1, "committed"))).order is None


@pytest.mark.parametrize("outcome", [Unknown("timeout"), NotSent("open"), NotKnown(), HoldAnswered(1, "held")])
def test_giving_the_stock_back_is_tried_until_it_succeeds(outcome: Outcome) -> None:
    story = validated().cancels()
    for _ in range(RULES.step_attention_attempts + 2):
        story.answer(outcome)
        assert story.order.status is Status.CANCELLING
        story.wakes()
    assert represent(story.order)["saga"]["state"] == "needs_attention"
    story.released()
    assert (story.order.status, story.order.attention) == (Status.CANCELLED, ())


def test_stock_that_cannot_be_given_back_wants_attention_at_once() -> None:
    story = validated().cancels()
    story.answer(Declined(403, "forbidden"))
    assert [note.reason for note in story.order.attention] == ["release_declined"]
    assert deadline(story.order) is not None


def test_a_refund_without_an_answer_is_asked_for_again_under_the_same_id() -> None:
    story = prepared().cancels()
    first = story.give_back
    story.answer(Unknown("timeout"))
    story.wakes()
    assert story.requests == [first]


def test_a_refund_that_is_processing_is_asked_about_until_it_is_done() -> None:
    story = prepared().cancels()
    story.answer(refund_said(story, "processing"))
    story.wakes()
    assert story.requests == [VerifyRefund(story.order.payments[0].refunds[0].refund_id)]
    story.answer(refund_said(story, "processing"))
    story.wakes()
    story.answer(refund_said(story, "refunded"))
    assert story.order.payments[0].status is PaymentStatus.REFUNDED
    assert story.requests == [ReleaseHold()]


def test_a_refund_that_never_arrived_is_sent_again_under_the_same_id() -> None:
    story = prepared().cancels()
    first = story.give_back
    story.answer(refund_said(story, "processing"))
    story.wakes()
    story.answer(NotKnown(), of=VerifyRefund)
    assert story.requests == [first]


def test_a_refund_is_entered_once_however_often_it_is_told() -> None:
    story = prepared().cancels()
    call = story.calls[0]
    said = refund_said(story, "refunded")
    story.answer(said)
    assert story.says(CallAnswered(call.key, call.attempt, said)).order is None
    assert len(story.order.ledger) == 2


@pytest.mark.parametrize("outcome", [Declined(409, "exceeds_captured"), NotKnown()])
def test_a_refund_that_is_declined_waits_for_staff(outcome: Outcome) -> None:
    story = prepared().cancels()
    story.answer(outcome)
    assert [note.reason for note in story.order.attention] == ["refund_rejected"]
    assert story.order.payments[0].refunds[0].status is RefundStatus.REJECTED
    assert story.requests == []


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


def test_cancelling_tries_again_what_was_refused_as_a_surplus_before() -> None:
    story = validated().pays()
    first = story.order.payments[0]
    story.says(CallAnswered(story.calls[0].key, 1, Declined(422, "declined")))
    story.calls.clear()
    story.pays().confirmed()
    story.says(PaymentConfirmed(payment_id=first.payment_id, amount=Money(first.amount, "EUR")))
    surplus = next(call for call in story.calls if isinstance(call.request, GiveBack))
    story.calls.remove(surplus)
    story.says(CallAnswered(surplus.key, 1, Declined(409, "exceeds_captured")))
    assert [note.reason for note in story.order.attention] == ["refund_rejected"]
    story.calls.clear()
    story.cancels()
    assert story.order.attention == ()
    assert sorted(request.amount.amount for request in story.requests if isinstance(request, GiveBack)) == [
        first.amount,
        first.amount,
    ]


def test_a_surplus_that_was_refused_is_not_taken_from_another_payment_instead() -> None:
    story = validated().pays()
    first = story.order.payments[0]
    story.answer(Declined(422, "declined"))
    story.pays().confirmed()
    late = PaymentConfirmed(payment_id=first.payment_id, amount=Money(first.amount, "EUR"))
    story.says(late)
    story.answer(Declined(409, "exceeds_captured"), of=GiveBack)
    story.committed()
    story.says(late)
    assert not any(isinstance(request, GiveBack) for request in story.requests)


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
    story.says(RetryNow())
    assert story.requests == [ReleaseHold()]
    assert story.calls[0].attempt == 2


def test_giving_up_going_forward_cancels_as_staff() -> None:
    story = at(Status.CONFIRMED)
    story.calls.clear()
    story.says(SkipToCompensation("stock is broken"))
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLING, CancelReason.STAFF)
    assert story.order.cancel_note == "stock is broken"
    assert [type(request) for request in story.requests] == [GiveBack]


def test_a_lost_hold_is_asked_for_once_more_and_the_second_loss_gives_the_money_back() -> None:
    story = at(Status.CONFIRMED)
    story.answer(Declined(409, "hold_expired"))
    assert (story.order.status, story.order.hold, story.order.revision) == (Status.CONFIRMED, HoldState.LOST, 2)
    story.held()
    assert story.requests == [CommitHold(2)]
    story.answer(NotKnown())
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLING, CancelReason.OUT_OF_STOCK)
    story.refunded().released()
    assert story.order.status is Status.CANCELLED


@pytest.mark.parametrize("outcome", [Declined(409, "hold_released"), NotKnown(), HoldAnswered(1, "expired")])
def test_a_new_hold_that_is_refused_gives_the_money_back(outcome: Outcome) -> None:
    story = at(Status.CONFIRMED)
    story.answer(outcome)
    story.answer(Declined(409, "out_of_stock"))
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLING, CancelReason.OUT_OF_STOCK)
    assert [type(request) for request in story.requests] == [GiveBack]


def test_a_new_hold_that_meets_a_commit_of_ours_means_that_the_stock_is_committed() -> None:
    story = at(Status.CONFIRMED)
    story.answer(Declined(409, "hold_expired"))
    story.answer(Declined(409, "already_committed"))
    assert story.order.status is Status.PREPARED


def test_the_new_hold_of_a_paid_order_lasts_a_whole_window() -> None:
    story = at(Status.CONFIRMED)
    story.now += timedelta(seconds=4000)
    story.answer(Declined(409, "hold_expired"))
    (hold,) = story.requests
    assert hold.expires_at == story.now + timedelta(seconds=RULES.payment_window_s)  # type: ignore[attr-defined]
