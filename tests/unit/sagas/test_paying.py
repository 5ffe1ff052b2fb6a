"""Stage 3: one payment at a time, doubt that only PaymentSvc ends, and money that comes when nobody waits for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.calls import (
    Charge,
    CommitHold,
    Declined,
    NotFound,
    NotSent,
    Outcome,
    RefundPayment,
    ReleaseHold,
    Unknown,
    Verify,
)
from domain.commands import CallAnswered, Cancel, Pay, PaymentRejected
from domain.errors import RefusalKind
from domain.money import Money
from domain.order import CancelReason, Status, StepKind, StepState
from domain.payments import PaymentStatus, TransactionType
from domain.representation import payment_status, totals
from sagas.decide import deadline
from tests.unit.sagas.builders import RULES, answered, paid_event, validated

TOTAL = 2000 + 999 + 490 + 420 + 100 + 103


def test_paying_charges_the_balance_unless_an_amount_is_named() -> None:
    story = validated()
    answer = story.says(Pay("card", "tok")).result
    payment = story.order.payments[0]
    assert (answer.resource, answer.resource_id, answer.settled) == ("payment", payment.payment_id, False)
    assert story.charge.amount == Money(TOTAL, "EUR")
    assert (story.charge.customer_id, story.charge.method, story.charge.token) == ("c-1", "card", "tok")
    assert validated().pays(700).charge.amount == Money(700, "EUR")


@pytest.mark.parametrize("amount", [0, -1, TOTAL + 1])
def test_an_amount_must_be_part_of_the_balance(amount: int) -> None:
    refused = validated().refuses(Pay("card", None, amount))
    assert (refused.kind, refused.code) == (RefusalKind.UNPROCESSABLE, "amount_out_of_range")


def test_a_second_payment_is_refused_while_the_first_is_in_flight() -> None:
    refused = validated().pays().refuses(Pay("card"))
    assert (refused.kind, refused.code) == (RefusalKind.CONFLICT, "payment_in_progress")


def test_an_order_past_its_time_cannot_be_paid_any_more() -> None:
    story = validated()
    story.now = story.order.expires_at
    assert story.refuses(Pay("card")).code == "illegal_transition"


def test_full_payment_is_received_confirmed_and_prepared_for_in_one_decision() -> None:
    story = validated().pays().confirmed()
    order = story.order
    assert (order.status, order.number) == (Status.CONFIRMED, "ORD-000000042")
    assert [(each.type.value, each.data["status"], each.data["number"]) for each in story.decided.events] == [
        ("PagoRecibido", "paid", None),
        ("PedidoConfirmado", "confirmed", "ORD-000000042"),
    ]
    assert story.requests == [CommitHold(1)]
    assert [(entry.type, entry.amount) for entry in story.decided.ledger] == [(TransactionType.CHARGE, TOTAL)]
    assert order.payments[0].token is None
    assert (payment_status(order), totals(order).balance) == ("paid", 0)


def test_parts_follow_one_another_until_they_add_up() -> None:
    story = validated().pays(1000).confirmed()
    assert (story.order.status, payment_status(story.order)) == (Status.VALIDATED, "partially_paid")
    assert (story.types, story.decided.events[0].data["status"]) == (["PagoRecibido"], "validated")
    story.pays().confirmed()
    assert [payment.amount for payment in story.order.payments] == [1000, TOTAL - 1000]
    assert story.order.status is Status.CONFIRMED


@pytest.mark.parametrize("by_event", [True, False])
def test_a_rejection_leaves_the_order_validated_and_its_payment_status_as_it_was(by_event: bool) -> None:
    story = validated().pays()
    if by_event:
        story.says(PaymentRejected(story.order.payments[0].payment_id, "card_declined"))
    else:
        story.answer(answered(story, "rejected", "card_declined"))
    order = story.order
    assert (order.status, payment_status(order)) == (Status.VALIDATED, "unpaid")
    assert (order.payments[0].status, order.payments[0].code) == (PaymentStatus.REJECTED, "card_declined")
    assert order.steps == ()
    notice = story.decided.events[-1].notice
    assert notice is not None
    assert notice.template.value == "payment_rejected"
    story.pays().confirmed()
    assert story.order.status is Status.CONFIRMED


@pytest.mark.parametrize("late", [True, False])
def test_a_confirmation_counts_once_whether_its_repeat_comes_before_or_after_the_answer(late: bool) -> None:
    story = validated().pays()
    event, call = paid_event(story), story.calls[0]
    if late:
        story.confirmed()
        assert story.says(event).order is None
    else:
        story.says(event)
        assert story.says(CallAnswered(call.key, 1, answered(story, "confirmed"))).order is None
    assert len(story.order.ledger) == 1


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_charge_without_an_answer_is_in_doubt_and_asked_about_with_the_same_id(attempt: int) -> None:
    story = validated().pays()
    payment_id = story.charge.payment_id
    if attempt == 2:
        story.answer(NotSent("circuit open"))
        assert story.order.payments[0].status is PaymentStatus.PROCESSING
        story.wakes()
    story.answer(Unknown("timeout"))
    assert payment_status(story.order) == "in_doubt"
    assert story.decided.events[0].data["changed"] == ["payments"]
    assert story.refuses(Pay("card")).code == "payment_in_progress"
    story.wakes()
    assert story.requests == [Verify(payment_id)]
    story.answer(answered(story, "confirmed"))
    assert story.order.status is Status.CONFIRMED


def test_a_charge_whose_call_is_lost_is_asked_about_and_not_made_again_blindly() -> None:
    story = validated().pays()
    story.calls.clear()
    story.wakes(after_s=RULES.call_lost_s)
    assert payment_status(story.order) == "in_doubt"
    assert story.requests == [Verify(story.order.payments[0].payment_id)]


def test_a_payment_that_is_processing_is_asked_for_ever_more_rarely_and_nothing_failed() -> None:
    story = validated().pays()
    story.answer(answered(story, "processing"))
    waits = []
    for _ in range(10):
        step = story.order.steps[0]
        assert step.state is StepState.WAITING
        waits.append((step.next_try_at - story.now).total_seconds())
        story.wakes()
        story.answer(answered(story, "processing"), of=Verify)
    assert waits[0] == RULES.verify_first_s
    assert waits == sorted(waits)
    assert waits[-1] == RULES.verify_max_s
    assert not story.order.attention
    assert payment_status(story.order) == "pending"


def test_an_unknown_payment_that_is_still_wanted_is_sent_again_the_same() -> None:
    story = validated().pays()
    first = story.charge
    story.answer(Unknown("timeout"))
    story.wakes()
    story.answer(NotFound())
    assert story.requests == [first]
    story.confirmed()
    assert story.order.status is Status.CONFIRMED


def test_an_unknown_payment_that_is_not_wanted_counts_as_never_made_only_after_the_settling_time() -> None:
    story = validated().pays()
    story.answer(Unknown("timeout"))
    story.cancels()
    story.wakes()
    story.answer(NotFound())
    asked_at = story.now
    assert story.order.payments[0].status is PaymentStatus.IN_DOUBT
    assert story.order.steps[0].next_try_at == asked_at + timedelta(seconds=RULES.payment_settle_s)
    story.wakes()
    story.answer(NotFound())
    assert (story.order.payments[0].status, story.order.payments[0].code) == (PaymentStatus.REJECTED, "never_made")
    assert story.requests == [ReleaseHold()]


def test_an_early_second_look_does_not_shorten_the_settling_time() -> None:
    story = validated().pays()
    story.answer(Unknown("timeout"))
    story.cancels()
    story.wakes()
    story.answer(NotFound())
    due = deadline(story.order)
    assert due is not None
    story.now += timedelta(seconds=10)
    step = story.order.steps[0]
    early = replace(step, state=StepState.RUNNING, attempts=step.attempts + 1)
    story.order = replace(story.order, steps=(early,))
    story.says(CallAnswered(early.key, early.attempts, NotFound()))
    assert story.order.payments[0].status is PaymentStatus.IN_DOUBT
    assert deadline(story.order) == due


def test_a_stale_not_known_does_not_count() -> None:
    story = validated().pays()
    story.answer(Unknown("timeout"))
    story.cancels()
    story.wakes()
    call = story.calls[0]
    story.answer(NotFound())
    story.wakes()
    assert story.says(CallAnswered(call.key, call.attempt, NotFound())).order is None


def test_a_payment_in_flight_keeps_the_order_from_expiring_and_its_late_rejection_expires_it_at_once() -> None:
    story = validated().pays()
    story.answer(answered(story, "processing"))
    story.now = story.order.expires_at + timedelta(seconds=1)
    story.wakes()
    assert story.order.status is Status.VALIDATED
    story.says(PaymentRejected(story.order.payments[0].payment_id, "card_declined"))
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLING, CancelReason.EXPIRED)


def test_a_confirmation_past_the_time_still_pays_the_order() -> None:
    story = validated().pays()
    story.now = story.order.expires_at + timedelta(seconds=1)
    story.confirmed()
    assert story.order.status is Status.CONFIRMED


def test_a_declined_charge_is_rejected_with_the_partners_code() -> None:
    story = validated().pays()
    story.answer(Declined(422, "method_not_supported"))
    assert (story.order.payments[0].status, story.order.payments[0].code) == (
        PaymentStatus.REJECTED,
        "method_not_supported",
    )


@pytest.mark.parametrize("outcome", [Declined(409, "conflict"), Declined(422, "invalid")])
def test_a_charge_that_is_declined_after_one_that_may_have_happened_is_asked_about(outcome: Outcome) -> None:
    story = validated().pays()
    story.answer(Unknown("timeout"))
    story.wakes()
    story.answer(NotFound())
    story.answer(outcome, of=Charge)
    assert payment_status(story.order) == "in_doubt"
    assert story.requests == []
    story.wakes()
    assert [type(request) for request in story.requests] == [Verify]


def test_a_conflict_means_that_the_id_is_known_so_it_is_asked_about() -> None:
    story = validated().pays()
    story.answer(Declined(409, "conflict"))
    assert payment_status(story.order) == "in_doubt"
    story.wakes()
    assert [type(request) for request in story.requests] == [Verify]


def test_a_charge_that_never_left_is_sent_again_but_asked_about_once_it_is_not_wanted() -> None:
    story = validated().pays()
    story.answer(NotSent("circuit open"))
    story.cancels()
    assert [type(request) for request in story.requests] == [Verify]


def test_exhausted_tries_want_attention_that_goes_away_when_the_payment_is_settled() -> None:
    story = validated().pays()
    story.answer(Unknown("timeout"))
    for _ in range(RULES.step_attention_attempts):
        story.wakes()
        story.answer(Unknown("timeout"), of=Verify)
    assert [note.reason for note in story.order.attention] == ["step_exhausted"]
    assert deadline(story.order) is not None
    story.says(paid_event(story))
    assert story.order.attention == ()
    assert story.order.status is Status.CONFIRMED


def test_another_payments_confirmation_does_not_end_the_doubt_about_the_one_in_flight() -> None:
    story = validated().pays(1000)
    story.says(PaymentRejected(story.order.payments[0].payment_id, "card_declined"))
    story.pays()
    story.says(paid_event(story, payment=0))
    assert [payment.status for payment in story.order.payments] == [PaymentStatus.CONFIRMED, PaymentStatus.PROCESSING]
    assert story.is_at(Status.VALIDATED)
    story.confirmed()
    assert story.order.status is Status.CONFIRMED
    assert any(isinstance(request, RefundPayment) and request.amount.amount == 1000 for request in story.requests)


def test_cancelling_while_a_payment_is_in_flight_awaits_its_outcome_before_anything_is_undone() -> None:
    story = validated().pays()
    answer = story.says(Cancel(CancelReason.CUSTOMER)).result
    assert (story.order.status, answer.settled) == (Status.CANCELLING, False)
    assert [type(request) for request in story.requests] == [Charge]
    story.confirmed()
    assert story.types[0] == "PagoRecibido"
    assert [type(request) for request in story.requests] == [RefundPayment]


def test_a_step_about_a_payment_has_its_kind_in_its_key() -> None:
    story = validated().pays()
    (step,) = story.order.steps
    assert (step.kind, step.key) == (StepKind.CHARGE, f"charge:{story.order.payments[0].payment_id}")
