"""What is undone when an order is cancelled, in which order."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from domain.calls import (
    Declined,
    HoldAnswered,
    NotFound,
    NotSent,
    Outcome,
    RefundPayment,
    ReleaseHold,
    Unknown,
    VerifyRefund,
)
from domain.commands import (
    CallAnswered,
    Cancel,
    PaymentConfirmed,
    Ship,
    SkipToCompensation,
)
from domain.money import Money
from domain.order import CancelReason, HoldState, Status
from domain.payments import PaymentStatus, RefundStatus
from domain.representation import payment_status, represent, totals
from domain.shipments import ShipmentLine
from sagas.decide import deadline
from tests.unit.sagas.builders import ASKING, CREATE, RULES, Story, at, prepared, refund_said, validated


def test_an_order_that_asked_for_nothing_is_cancelled_at_once() -> None:
    story = Story(lookups=ASKING)
    answer = story.says(Cancel(CancelReason.CUSTOMER, "why not")).result
    order = story.order
    assert (order.status, answer.settled) == (Status.CANCELLED, True)
    assert (order.cancel_reason, order.cancel_note) == (CancelReason.CUSTOMER, "why not")
    assert story.types == ["PedidoCancelado"]
    assert order.is_closed
    assert deadline(order) is None


def test_an_order_that_asked_for_a_hold_gives_it_back_by_a_call_even_if_no_answer_came() -> None:
    story = Story()
    story.calls.clear()
    answer = story.says(Cancel(CancelReason.CUSTOMER)).result
    assert (story.order.status, answer.settled) == (Status.CANCELLING, False)
    assert story.requests == [ReleaseHold()]
    assert story.says(CallAnswered("hold:1", 1, HoldAnswered(1, "held"))).order is None
    story.released()
    assert (story.order.status, story.order.hold) == (Status.CANCELLED, HoldState.RELEASED)


def test_money_goes_back_first_then_the_stock_then_the_promotions_and_only_then_it_is_told() -> None:
    story = validated(replace(CREATE, discount_codes=("TEN", "NOSHIP"))).pays().confirmed().committed()
    story.cancels()
    assert [type(request) for request in story.requests] == [RefundPayment]
    assert story.types == ["PedidoActualizado"]
    assert not story.decided.releases
    story.refunded()
    assert [type(request) for request in story.requests] == [ReleaseHold]
    assert not story.decided.releases
    story.released()
    assert story.decided.releases == ("TEN", "NOSHIP")
    (event,) = story.decided.events
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
    assert sorted(request.amount.amount for request in story.requests if isinstance(request, RefundPayment)) == sorted(
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
    assert (decision.order, decision.result.settled) == (None, status is Status.CANCELLED)
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


@pytest.mark.parametrize("outcome", [Unknown("timeout"), NotSent("open"), NotFound(), HoldAnswered(1, "held")])
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
    story.answer(NotFound(), of=VerifyRefund)
    assert story.requests == [first]


def test_a_refund_is_entered_once_however_often_it_is_told() -> None:
    story = prepared().cancels()
    call = story.calls[0]
    said = refund_said(story, "refunded")
    story.answer(said)
    assert story.says(CallAnswered(call.key, call.attempt, said)).order is None
    assert len(story.order.ledger) == 2


@pytest.mark.parametrize("outcome", [Declined(409, "exceeds_captured"), NotFound()])
def test_a_refund_that_is_declined_waits_for_staff(outcome: Outcome) -> None:
    story = prepared().cancels()
    story.answer(outcome)
    assert [note.reason for note in story.order.attention] == ["refund_rejected"]
    assert story.order.payments[0].refunds[0].status is RefundStatus.REJECTED
    assert story.requests == []


def test_cancelling_tries_again_what_was_refused_as_a_surplus_before() -> None:
    story = validated().pays()
    first = story.order.payments[0]
    story.says(CallAnswered(story.calls[0].key, 1, Declined(422, "declined")))
    story.calls.clear()
    story.pays().confirmed()
    story.says(PaymentConfirmed(payment_id=first.payment_id, amount=Money(first.amount, "EUR")))
    surplus = next(call for call in story.calls if isinstance(call.request, RefundPayment))
    story.calls.remove(surplus)
    story.says(CallAnswered(surplus.key, 1, Declined(409, "exceeds_captured")))
    assert [note.reason for note in story.order.attention] == ["refund_rejected"]
    story.calls.clear()
    story.cancels()
    assert story.order.attention == ()
    assert sorted(request.amount.amount for request in story.requests if isinstance(request, RefundPayment)) == [
        first.amount,
        first.amount,
    ]


def test_a_surplus_that_was_refused_is_not_taken_from_another_payment_instead() -> None:
    story = validated().pays()
    story.answer(Declined(422, "declined"))
    story.pays()
    story.answer(Declined(422, "declined"))
    story.pays().confirmed()
    first, second, _ = story.order.payments
    story.says(PaymentConfirmed(payment_id=first.payment_id, amount=Money(first.amount, "EUR")))
    story.answer(Declined(409, "exceeds_captured"), of=RefundPayment)
    story.says(PaymentConfirmed(payment_id=second.payment_id, amount=Money(second.amount, "EUR")))
    assert [request.payment_id for request in story.requests if isinstance(request, RefundPayment)] == [
        second.payment_id
    ]
