"""A refusal after an unanswered try: it counts only where it shows that the earlier try did nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.attention import AttentionReason
from domain.calls import (
    Call,
    Charge,
    CommitHold,
    Declined,
    Hold,
    HoldAnswered,
    NotFound,
    NotSent,
    Outcome,
    RefundPayment,
    ReleaseHold,
    Unknown,
    Verify,
    VerifyRefund,
)
from domain.commands import ActorType, CallAnswered, RetryNow
from domain.order import CancelReason, Status, StepKind, StepState
from domain.payments import PaymentStatus, RefundStatus
from domain.representation import payment_status
from sagas import steps
from sagas.decide import deadline, resume
from tests.unit.sagas.builders import ASKING, RULES, Story, answered, at, prepared, refund_said, validated

FORBIDDEN = Unknown("403 from something in between", credentials_refused=True)


def reasons(story: Story) -> list[str]:
    return [note.reason for note in story.order.attention]


def unanswered_refund() -> Story:
    """A refund whose first sending was not answered, and whose second is out."""
    story = prepared().cancels()
    story.answer(Unknown("timeout"), of=RefundPayment)
    story.wakes()
    return story


# Refunds.


def test_a_refund_that_was_done_though_its_repeat_is_refused_is_never_given_back_again() -> None:
    """Its POST timed out and was done, its repeat got a 4xx: it was told as rejected, and staff's retry gave it twice."""
    story = unanswered_refund()
    refund = story.order.payments[0].refunds[0]
    story.answer(Declined(409, "exceeds_captured"), of=RefundPayment)
    assert (story.order.payments[0].refunds[0].status, reasons(story)) == (RefundStatus.PROCESSING, [])
    story.says(RetryNow(), by=ActorType.STAFF)
    assert story.requests == [VerifyRefund(refund.refund_id)]
    story.answer(refund_said(story, "refunded"))
    assert story.requests == [ReleaseHold()]
    assert len(story.order.ledger) == 2


def test_a_refund_refused_after_an_unanswered_try_is_rejected_once_it_was_not_known_for_the_settling_time() -> None:
    story = unanswered_refund()
    story.answer(Declined(409, "exceeds_captured"), of=RefundPayment)
    story.wakes()
    story.answer(NotFound(), of=VerifyRefund)
    first_seen = story.now
    assert (story.order.payments[0].refunds[0].status, story.requests) == (RefundStatus.PROCESSING, [])
    story.wakes()
    assert story.now == first_seen + timedelta(seconds=RULES.payment_settle_s)
    story.answer(NotFound(), of=VerifyRefund)
    assert story.order.payments[0].refunds[0].status is RefundStatus.REJECTED
    assert reasons(story) == [AttentionReason.REFUND_REJECTED]
    assert "exceeds_captured" in story.order.attention[0].detail


def test_a_refund_that_is_processing_after_its_refusal_forgets_the_refusal() -> None:
    story = unanswered_refund()
    story.answer(Declined(409, "exceeds_captured"), of=RefundPayment)
    story.wakes()
    story.answer(refund_said(story, "processing"), of=VerifyRefund)
    story.wakes()
    story.answer(NotFound(), of=VerifyRefund)
    assert [type(request) for request in story.requests] == [RefundPayment]


def test_a_refund_that_paymentsvc_had_worked_on_is_not_rejected_by_the_refusal_of_its_repeat() -> None:
    story = prepared().cancels()
    story.answer(refund_said(story, "processing"), of=RefundPayment)
    story.wakes()
    story.answer(NotFound(), of=VerifyRefund)
    story.answer(Declined(409, "exceeds_captured"), of=RefundPayment)
    assert (story.order.payments[0].refunds[0].status, reasons(story)) == (RefundStatus.PROCESSING, [])


def test_a_refund_whose_payment_is_not_known_after_an_unanswered_try_is_asked_about() -> None:
    story = unanswered_refund()
    story.answer(NotFound(), of=RefundPayment)
    assert story.order.payments[0].refunds[0].status is RefundStatus.PROCESSING
    story.wakes()
    assert [type(request) for request in story.requests] == [VerifyRefund]


def test_a_refund_whose_id_is_known_with_other_content_is_asked_about() -> None:
    story = prepared().cancels()
    story.answer(Declined(409, "conflict"), of=RefundPayment)
    assert story.order.payments[0].refunds[0].status is RefundStatus.PROCESSING
    story.wakes()
    assert [type(request) for request in story.requests] == [VerifyRefund]


@pytest.mark.parametrize("how", ["by the bulkhead", "by a lost call", "by a restart"])
def test_an_unanswered_sending_is_remembered_whoever_made_it(how: str) -> None:
    story = prepared().cancels()
    (call,) = story.calls
    refused = Declined(409, "exceeds_captured")
    match how:
        case "by the bulkhead":
            story.says(CallAnswered(call.key, call.attempt, refused, may_have_happened=True), by=ActorType.PARTNER)
        case "by a lost call":
            story.calls.clear()
            story.wakes()
            assert story.calls[0].may_have_happened
            story.answer(refused)
        case _:
            (again,) = resume(story.order, story.now, RULES)
            assert again.may_have_happened
            said = CallAnswered(again.key, again.attempt, refused, may_have_happened=again.may_have_happened)
            story.says(said, by=ActorType.PARTNER)
    assert story.order.payments[0].refunds[0].status is RefundStatus.PROCESSING
    assert [step.kind for step in story.order.steps] == [StepKind.VERIFY_REFUND]


# Charges.


@pytest.mark.parametrize("outcome", [NotFound(), HoldAnswered(1, "held")])
def test_an_answer_that_no_charge_has_rejects_nothing(outcome: Outcome) -> None:
    """A 404 to a charge told it as rejected, and a second payment could be started."""
    story = validated().pays()
    story.answer(outcome)
    assert payment_status(story.order) == "in_doubt"
    story.wakes()
    assert [type(request) for request in story.requests] == [Verify]


@pytest.mark.parametrize("unanswered", [True, False])
def test_a_charge_that_was_not_sent_is_asked_about_where_an_earlier_sending_was_not_answered(unanswered: bool) -> None:
    story = validated().pays()
    (call,) = story.calls
    story.calls.clear()
    not_sent = CallAnswered(call.key, call.attempt, NotSent("no connection"), may_have_happened=unanswered)
    story.says(not_sent, by=ActorType.PARTNER)
    assert payment_status(story.order) == ("in_doubt" if unanswered else "pending")
    story.wakes()
    assert [type(request) for request in story.requests] == [Verify if unanswered else Charge]


def test_a_charge_that_paymentsvc_neither_knows_nor_takes_goes_round_ever_more_slowly_and_needs_attention() -> None:
    """CHARGE, VERIFY and CHARGE followed one another at once, thousands of times, until the order expired."""
    story = validated().pays()
    story.answer(Unknown("timeout"))
    begun, rounds, waits = story.now, 0, []
    while story.now < story.order.expires_at and story.order.status is Status.VALIDATED:
        before = story.now
        story.wakes()
        story.answer(NotFound(), of=Verify)
        if not story.calls:
            break
        story.answer(Declined(422, "invalid_request"), of=Charge)
        rounds += 1
        waits.append((story.now - before).total_seconds())
        if rounds == RULES.step_attention_attempts:
            assert reasons(story) == [AttentionReason.STEP_EXHAUSTED]
            assert story.order.payments[0].status is PaymentStatus.IN_DOUBT
    assert rounds < RULES.payment_window_s / (RULES.step_retry_max_s * 0.75) + RULES.step_attention_attempts
    assert waits[4] > waits[2] > waits[1]
    story.wakes()
    story.answer(NotFound(), of=Verify)
    assert story.order.payments[0].code == "never_made"
    assert (story.order.cancel_reason, reasons(story)) == (CancelReason.EXPIRED, [])
    assert (story.now - begun).total_seconds() < RULES.payment_window_s + 2 * RULES.payment_settle_s


# Stock.


def test_a_hold_refused_for_want_of_stock_is_final_even_after_an_unanswered_try() -> None:
    story = Story()
    story.answer(Unknown("timeout"), of=Hold)
    story.wakes()
    story.answer(Declined(409, "out_of_stock"), of=Hold)
    assert story.order.cancel_reason is CancelReason.OUT_OF_STOCK


def test_a_hold_refused_otherwise_after_an_unanswered_try_is_asked_for_under_the_next_revision() -> None:
    story = Story()
    story.answer(Unknown("timeout"), of=Hold)
    story.wakes()
    story.answer(Declined(422, "invalid_request"), of=Hold)
    assert (story.order.status, story.order.revision) == (Status.CREATED, 2)
    story.wakes()
    story.answer(Declined(422, "invalid_request"), of=Hold)
    assert story.order.cancel_reason is CancelReason.VALIDATION_FAILED


@pytest.mark.parametrize("of", [Hold, CommitHold])
def test_an_answer_that_is_no_answer_to_a_hold_or_commit_is_tried_again(of: type) -> None:
    story = Story() if of is Hold else at(Status.CONFIRMED)
    before = story.order.status
    story.answer(Unknown("a page"), of=of)
    story.wakes()
    story.answer(NotFound() if of is Hold else Declined(422, "invalid_request"), of=of)
    assert (story.order.status, story.order.rehold_tried) == (before, False)
    assert story.order.steps[0].state is StepState.RETRYING


@pytest.mark.parametrize("outcome", [Declined(409, "hold_expired"), Declined(409, "stale_revision"), NotFound()])
def test_a_commit_that_says_that_the_hold_is_gone_is_believed_even_after_an_unanswered_try(outcome: Outcome) -> None:
    story = at(Status.CONFIRMED)
    story.answer(Unknown("timeout"), of=CommitHold)
    story.wakes()
    story.answer(outcome, of=CommitHold)
    assert [type(request) for request in story.requests] == [Hold]


# Credentials.


@pytest.mark.parametrize(
    "story",
    [
        Story(lookups=ASKING),
        Story(),
        validated().pays(),
        prepared().cancels(),
        at(Status.CONFIRMED),
        validated().cancels(),
    ],
    ids=["fetch", "hold", "charge", "refund", "commit", "release"],
)
def test_refused_credentials_need_attention_at_once_and_settle_nothing(story: Story) -> None:
    before = story.order.status
    story.answer(FORBIDDEN)
    assert (story.order.status, reasons(story)) == (before, [AttentionReason.CREDENTIALS_REFUSED])
    for _ in range(RULES.step_attention_attempts + 1):
        story.wakes()
        story.answer(FORBIDDEN)
    assert set(reasons(story)) == {AttentionReason.CREDENTIALS_REFUSED}
    assert deadline(story.order) is not None


def test_the_note_of_refused_credentials_goes_away_with_the_next_answer() -> None:
    story = prepared().cancels()
    story.answer(FORBIDDEN)
    story.wakes()
    story.answer(refund_said(story, "processing"))
    assert reasons(story) == []


# What is still wanted.


def wanted(story: Story, call: Call) -> bool:
    return steps.still_wanted(story.order, call, story.now)


def test_a_call_is_wanted_while_its_step_is_at_that_try() -> None:
    story = prepared().cancels()
    (call,) = story.calls
    assert wanted(story, call)
    story.answer(Unknown("timeout"))
    assert not wanted(story, call)
    story.wakes()
    assert not wanted(story, call)
    assert wanted(story, story.calls[0])
    story.refunded()
    assert not wanted(story, call)


def test_a_charge_is_not_wanted_by_an_order_that_is_cancelled() -> None:
    """A charge kept for a bulkhead that came back was sent for an order that was cancelled long ago."""
    story = validated().pays()
    (call,) = story.calls
    assert wanted(story, call)
    story.cancels()
    assert not wanted(story, call)
    assert resume(story.order, story.now, RULES) == ()


def test_a_charge_is_sent_again_only_within_the_orders_time() -> None:
    story = validated().pays()
    (call,) = story.calls
    (again,) = resume(story.order, story.now, RULES)
    story.now = story.order.expires_at
    assert wanted(story, call), "it was asked for in time"
    assert not wanted(story, again)


def test_a_charge_that_never_left_is_asked_about_and_not_sent_once_the_orders_time_is_over() -> None:
    story = validated().pays()
    story.answer(NotSent("no connection"), of=Charge)
    story.now = story.order.expires_at
    story.wakes()
    assert [type(request) for request in story.requests] == [Verify]


def test_a_charge_that_paymentsvc_had_worked_on_is_not_rejected_by_the_refusal_of_its_repeat() -> None:
    story = validated().pays()
    story.answer(answered(story, "processing"))
    story.wakes()
    story.answer(NotFound(), of=Verify)
    story.answer(Declined(422, "invalid_request"), of=Charge)
    assert payment_status(story.order) == "in_doubt"


def test_a_payment_that_is_known_in_between_was_not_unknown_for_the_settling_time() -> None:
    story = validated().pays().cancels()
    story.answer(Unknown("timeout"), of=Charge)
    story.wakes()
    story.answer(NotFound(), of=Verify)
    story.wakes()
    story.answer(answered(story, "processing"), of=Verify)
    story.wakes()
    story.answer(NotFound(), of=Verify)
    assert story.order.payments[0].status is PaymentStatus.PROCESSING
    story.wakes()
    story.answer(NotFound(), of=Verify)
    assert story.order.payments[0].code == "never_made"
