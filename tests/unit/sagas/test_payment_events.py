"""What events say of a payment where PaymentSvc is asked before they count (``payment_events_confirmed``)."""

from __future__ import annotations

import pytest

from domain.attention import AttentionReason
from domain.calls import Charge, Declined, NotFound, PaymentAnswered, Unknown, Verify
from domain.commands import ActorType, PaymentConfirmed, PaymentRejected, Record
from domain.money import Money
from domain.order import Status, StepState
from domain.payments import PaymentStatus
from sagas.decision import OrderRules
from tests.unit.sagas.builders import CREATE, Story, answered, paid_event

ASKING_FIRST = OrderRules(payment_events_confirmed=True)


def waiting_payment() -> Story:
    """A payment that PaymentSvc works on."""
    story = Story(CREATE, rules=ASKING_FIRST).held().pays()
    story.answer(answered(story, "processing"))
    return story


def reasons(story: Story) -> list[str]:
    return [note.reason for note in story.order.attention]


def test_an_event_of_a_confirmation_makes_paymentsvc_be_asked_now_and_its_answer_counts() -> None:
    story = waiting_payment()
    story.says(paid_event(story))
    assert (story.order.payments[0].status, story.order.ledger) == (PaymentStatus.PROCESSING, ())
    assert [type(request) for request in story.requests] == [Verify]
    story.answer(answered(story, "confirmed"))
    assert story.order.status is Status.CONFIRMED


@pytest.mark.parametrize("truth", ["confirmed", "rejected", "processing"])
def test_an_event_of_a_rejection_rejects_nothing_by_itself(truth: str) -> None:
    story = waiting_payment()
    story.says(PaymentRejected(story.order.payments[0].payment_id, "card_declined"))
    assert story.order.payments[0].status is PaymentStatus.PROCESSING
    story.answer(answered(story, truth), of=Verify)
    assert story.order.payments[0].status.value == truth


def test_an_event_while_the_charge_is_out_waits_for_its_answer() -> None:
    story = Story(CREATE, rules=ASKING_FIRST).held().pays()
    story.says(paid_event(story))
    assert [type(request) for request in story.requests] == [Charge]
    assert story.says(paid_event(story)).order is None
    story.confirmed()
    assert story.order.status is Status.CONFIRMED


def test_an_event_of_another_amount_than_paymentsvc_answers_only_needs_attention() -> None:
    story = waiting_payment()
    asked = story.order.payments[0]
    story.says(paid_event(story, amount=Money(1, "EUR")))
    story.answer(answered(story, "confirmed"), of=Verify)
    assert (story.order.payments[0].status, story.order.ledger) == (PaymentStatus.PROCESSING, ())
    assert reasons(story) == [AttentionReason.PAYMENT_CONTRADICTED]
    assert story.order.steps[0].state is StepState.WAITING
    story.wakes()
    story.answer(answered(story, "confirmed"), of=Verify)
    assert story.order.ledger == ()
    word = Record(subject=asked.payment_id, outcome="confirmed", amount=asked.amount, reference="r", note="n")
    story.says(word, by=ActorType.STAFF)
    assert (story.order.status, reasons(story)) == (Status.CONFIRMED, [])


def test_a_later_event_that_agrees_ends_the_contradiction() -> None:
    story = waiting_payment()
    story.says(paid_event(story, amount=Money(1, "EUR")))
    story.answer(answered(story, "confirmed"), of=Verify)
    story.says(paid_event(story))
    story.answer(answered(story, "confirmed"), of=Verify)
    assert (story.order.status, reasons(story)) == (Status.CONFIRMED, [])


def test_a_mismatch_that_event_and_answer_agree_on_is_one() -> None:
    story = waiting_payment()
    payment = story.order.payments[0]
    story.says(paid_event(story, amount=Money(1, "EUR")))
    said = PaymentAnswered(payment_id=payment.payment_id, status="confirmed", amount=Money(1, "EUR"))
    story.answer(said, of=Verify)
    assert story.order.payments[0].status is PaymentStatus.MISMATCHED


def test_a_forged_event_for_a_rejected_payment_brings_nothing() -> None:
    story = waiting_payment()
    payment = story.order.payments[0]
    story.wakes()
    story.answer(answered(story, "rejected", "card_declined"), of=Verify)
    story.says(PaymentConfirmed(payment_id=payment.payment_id, amount=Money(payment.amount, "EUR")))
    assert [type(request) for request in story.requests] == [Verify]
    story.answer(answered(story, "rejected", "card_declined"), of=Verify)
    assert (story.order.steps, story.order.ledger) == ((), ())
    assert story.says(PaymentRejected(payment.payment_id, "card_declined")).order is None


def test_late_money_that_an_event_tells_of_is_asked_about_and_goes_back() -> None:
    story = waiting_payment()
    story.cancels()
    payment = story.order.payments[0]
    story.wakes()
    story.answer(answered(story, "rejected", "card_declined"), of=Verify)
    story.released()
    assert story.order.status is Status.CANCELLED
    story.says(PaymentConfirmed(payment_id=payment.payment_id, amount=Money(payment.amount, "EUR")))
    assert not story.order.is_closed
    story.answer(answered(story, "confirmed"), of=Verify)
    assert story.give_back.amount == Money(payment.amount, "EUR")


def test_an_event_whose_question_is_not_answered_is_asked_about_again() -> None:
    story = waiting_payment()
    story.says(paid_event(story))
    story.answer(Unknown("timeout"), of=Verify)
    story.wakes()
    story.answer(NotFound(), of=Verify)
    assert [type(request) for request in story.requests] == [Charge]
    story.confirmed()
    assert story.order.status is Status.CONFIRMED


def test_an_event_of_a_rejection_does_not_take_back_what_an_event_said_was_taken() -> None:
    """The second event made the amount of the first be forgotten, and the answer that differed from it counted."""
    story = waiting_payment()
    story.says(paid_event(story, amount=Money(1, "EUR")))
    story.says(PaymentRejected(story.order.payments[0].payment_id, "card_declined"))
    story.answer(answered(story, "confirmed"), of=Verify)
    assert (reasons(story), story.order.ledger) == ([AttentionReason.PAYMENT_CONTRADICTED], ())


def test_a_charge_that_is_refused_after_an_event_told_of_its_money_is_asked_about() -> None:
    """The refusal of a first try rejected the payment, and nobody asked for the money that the event told of."""
    story = Story(CREATE, rules=ASKING_FIRST).held().pays()
    story.says(paid_event(story))
    story.answer(Declined(422, "invalid_request"), of=Charge)
    assert story.order.payments[0].status is PaymentStatus.IN_DOUBT
    story.wakes()
    story.answer(answered(story, "confirmed"), of=Verify)
    assert story.order.status is Status.CONFIRMED


@pytest.mark.parametrize("recorded", ["confirmed", "rejected"])
def test_an_amount_that_contradicts_late_money_is_ended_by_staffs_word(recorded: str) -> None:
    """A cancelled order kept its money: PaymentSvc and the event differed for ever, and no verb could say which was so."""
    story = waiting_payment()
    story.cancels()
    payment = story.order.payments[0]
    story.wakes()
    story.answer(answered(story, "rejected", "card_declined"), of=Verify)
    story.released()
    story.says(paid_event(story, amount=Money(1, "EUR")))
    story.answer(answered(story, "confirmed"), of=Verify)
    assert (reasons(story), story.order.ledger) == ([AttentionReason.PAYMENT_CONTRADICTED], ())
    amount = payment.amount if recorded == "confirmed" else 0
    word = Record(subject=payment.payment_id, outcome=recorded, amount=amount, reference="r", note="n")
    story.says(word, by=ActorType.STAFF)
    assert reasons(story) == []
    if recorded == "rejected":
        story.wakes()
        story.answer(answered(story, "confirmed"), of=Verify)
        assert reasons(story) == [AttentionReason.PAYMENT_CONTRADICTED], "PaymentSvc says otherwise than staff"
    assert story.give_back.amount == Money(payment.amount, "EUR")


def test_an_event_that_contradicts_a_confirmation_needs_attention_at_once_and_nothing_is_asked() -> None:
    story = Story(CREATE, rules=ASKING_FIRST).held().pays().confirmed()
    story.calls.clear()
    ledger = story.order.ledger
    story.says(paid_event(story, amount=Money(1, "EUR")))
    assert reasons(story) == [AttentionReason.PAYMENT_CONTRADICTED]
    assert (story.requests, story.order.ledger) == ([], ledger)
    assert story.says(PaymentRejected(story.order.payments[0].payment_id, "fraud_suspected")).order is None
