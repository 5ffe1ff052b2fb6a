"""Staff's word on money: it ends what PaymentSvc leaves undecided, and moves money once whatever PaymentSvc says later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from domain.attention import AttentionReason
from domain.calls import (
    Charge,
    Declined,
    HoldAnswered,
    NotFound,
    PaymentAnswered,
    RefundAnswered,
    RefundPayment,
    Unknown,
    Verify,
)
from domain.commands import (
    ActorType,
    AddItem,
    CallAnswered,
    Deliver,
    PaymentConfirmed,
    PaymentRejected,
    Record,
    RetryNow,
)
from domain.errors import RefusalKind
from domain.money import Money
from domain.order import Status
from domain.payments import PaymentStatus, RefundStatus, TransactionType
from domain.totals_and_statuses import totals
from sagas.decide import deadline
from sagas.decision import Decision, OrderRules
from tests.unit.sagas.builders import (
    FREE,
    INK,
    LOOKUPS,
    PEN,
    RULES,
    Story,
    answered,
    paid_event,
    prepared,
    refund_said,
    validated,
)

TOTAL = 2000 + 999 + 490 + 420 + 100 + 103


def record(story: Story, subject: str, outcome: str, amount: int, **more: Any) -> Decision:
    words = {"reference": "statement 7", "note": "seen at the bank", **more}
    return story.says(Record(subject=subject, outcome=outcome, amount=amount, **words), by=ActorType.STAFF)


def refused(story: Story, subject: str, outcome: str, amount: int = 1, **more: Any) -> str:
    words = {"reference": "statement 7", "note": "seen at the bank", **more}
    return story.refuses(Record(subject=subject, outcome=outcome, amount=amount, **words)).code


def reasons(story: Story) -> list[str]:
    return [note.reason for note in story.order.attention]


def processing_payment() -> Story:
    story = validated().pays()
    story.answer(answered(story, "processing"))
    return story


def processing_refund() -> Story:
    story = prepared().cancels()
    story.answer(refund_said(story, "processing"))
    return story


def rejected_refund() -> Story:
    story = prepared().cancels()
    story.answer(refund_said(story, "rejected"))
    return story


def mismatched(amount: int = 5, currency: str = "EUR") -> Story:
    story = validated().pays()
    story.says(paid_event(story, amount=Money(amount, currency)))
    return story


def payment_of(story: Story) -> str:
    return story.order.payments[0].payment_id


def refund_of(story: Story, position: int = 0) -> str:
    return story.order.payments[0].refunds[position].refund_id


def late_word(story: Story, outcome: RefundAnswered | PaymentAnswered) -> Decision:
    return story.says(CallAnswered("refund:late", 1, outcome), by=ActorType.PARTNER)


def test_a_payment_that_stays_processing_needs_attention_after_an_hour_by_its_own_deadline() -> None:
    """PaymentSvc works on a payment for ever: nothing told of it, and no verb ended it."""
    story = processing_payment()
    begun = story.now
    while not story.order.attention:
        due = deadline(story.order)
        assert due is not None
        assert (due - begun).total_seconds() <= RULES.payment_attention_s
        story.wakes()
        if not story.order.attention:
            story.answer(answered(story, "processing"), of=Verify)
    assert (story.now - begun).total_seconds() == RULES.payment_attention_s
    assert reasons(story) == [AttentionReason.PAYMENT_UNDECIDED]
    before = story.order.version
    story.wakes()
    assert reasons(story) == [AttentionReason.PAYMENT_UNDECIDED]
    assert deadline(story.order) != story.now
    assert story.order.version > before, "it goes on being asked for"


def test_a_refund_that_stays_processing_needs_attention_after_an_hour() -> None:
    story = processing_refund()
    begun = story.now
    story.calls.clear()
    while not story.order.attention:
        story.wakes()
        story.calls.clear()
        (step,) = story.order.steps
        if not story.order.attention:
            story.says(CallAnswered(step.key, step.attempts, refund_said(story, "processing")))
    assert (story.now - begun).total_seconds() <= RULES.payment_attention_s
    assert reasons(story) == [AttentionReason.REFUND_UNDECIDED]


@pytest.mark.parametrize("doubtful", [True, False])
def test_a_payment_recorded_as_confirmed_pays_the_order(doubtful: bool) -> None:
    story = validated().pays()
    story.answer(Unknown("timeout") if doubtful else answered(story, "processing"))
    record(story, payment_of(story).upper(), "confirmed", TOTAL)
    assert story.order.status is Status.CONFIRMED
    assert story.order.payments[0].gateway_ref == "statement 7"
    assert "seen at the bank" in [event.data.get("note") for event in story.decided.events]
    assert not story.order.attention


def test_a_payment_recorded_as_rejected_can_be_followed_by_another_and_is_watched() -> None:
    story = processing_payment()
    record(story, payment_of(story), "rejected", 0)
    assert (story.order.payments[0].status, story.order.payments[0].code) == (
        PaymentStatus.REJECTED,
        "settled_outside",
    )
    assert [step.subject for step in story.order.steps] == [payment_of(story)]
    story.pays().confirmed()
    assert story.order.status is Status.CONFIRMED


def test_the_watch_over_a_payment_recorded_as_rejected_ends_though_paymentsvc_works_on_it_for_ever() -> None:
    story = processing_payment().cancels()
    record(story, payment_of(story), "rejected", 0)
    story.released()
    begun = story.now
    while (due := deadline(story.order)) is not None:
        assert (due - begun).total_seconds() < 2 * RULES.payment_watch_s
        story.wakes()
        story.answer(answered(story, "processing"), of=Verify)
    assert story.order.is_closed


def test_money_of_a_payment_recorded_as_rejected_is_entered_goes_back_and_is_shown() -> None:
    story = processing_payment().cancels()
    record(story, payment_of(story), "rejected", 0)
    story.released()
    assert story.order.status is Status.CANCELLED
    story.says(paid_event(story))
    assert reasons(story) == [AttentionReason.PAYMENT_CONTRADICTED]
    story.refunded()
    assert [entry.type for entry in story.order.ledger] == [TransactionType.CHARGE, TransactionType.REFUND]
    record(story, payment_of(story), "confirmed", TOTAL)
    assert reasons(story) == []
    assert story.order.is_closed


@pytest.mark.parametrize("same", [True, False])
def test_what_paymentsvc_says_of_a_payment_recorded_as_confirmed_moves_nothing(same: bool) -> None:
    story = processing_payment()
    record(story, payment_of(story), "confirmed", TOTAL)
    ledger = story.order.ledger
    story.says(paid_event(story) if same else paid_event(story, amount=Money(1, "EUR")))
    assert story.order.ledger == ledger
    assert reasons(story) == ([] if same else [AttentionReason.PAYMENT_CONTRADICTED])
    assert story.order.status is Status.CONFIRMED
    record(story, payment_of(story), "confirmed", TOTAL)
    assert reasons(story) == []


def test_a_rejection_is_news_against_staffs_confirmation_and_none_against_paymentsvcs_own() -> None:
    """Events come in any order: a rejection of what PaymentSvc has confirmed may be from before."""
    story = validated().pays().confirmed()
    assert story.says(PaymentRejected(payment_of(story), "fraud_suspected")).order is None
    story = validated().pays()
    record(story, payment_of(story), "confirmed", TOTAL)
    before = story.order
    story.says(PaymentRejected(payment_of(story), "fraud_suspected"))
    assert reasons(story) == [AttentionReason.PAYMENT_CONTRADICTED]
    assert (story.order.ledger, story.order.status, story.order.payments) == (
        before.ledger,
        before.status,
        before.payments,
    )


@pytest.mark.parametrize("word", ["another amount", "another currency"])
def test_a_word_that_contradicts_a_confirmation_moves_nothing_and_needs_attention(word: str) -> None:
    """A second confirmation with another amount was passed over in silence."""
    story = validated().pays().confirmed()
    before = story.order
    match word:
        case "another amount":
            story.says(paid_event(story, amount=Money(TOTAL - 1, "EUR")))
        case _:
            story.says(paid_event(story, amount=Money(TOTAL, "USD")))
    assert reasons(story) == [AttentionReason.PAYMENT_CONTRADICTED]
    assert (story.order.ledger, story.order.status) == (before.ledger, before.status)
    assert story.order.payments == before.payments
    assert story.says(paid_event(story)).order is None


def test_a_contradiction_of_a_cancelled_order_stays_until_staff_have_seen_it() -> None:
    story = prepared().cancels().refunded()
    story.says(paid_event(story, amount=Money(TOTAL + 900, "EUR")))
    story.released()
    assert (story.order.status, reasons(story)) == (Status.CANCELLED, [AttentionReason.PAYMENT_CONTRADICTED])
    record(story, payment_of(story), "confirmed", TOTAL)
    assert reasons(story) == []


def test_a_mismatched_payment_that_really_took_what_was_asked_for_pays_the_order() -> None:
    story = mismatched(5)
    record(story, payment_of(story), "confirmed", TOTAL)
    sums = totals(story.order)
    assert (story.order.status, sums.paid, sums.balance) == (Status.CONFIRMED, TOTAL, 0)
    assert story.order.payments[0].status is PaymentStatus.CONFIRMED
    assert reasons(story) == []


def test_a_mismatched_payment_taken_as_it_is_counts_and_what_is_missing_can_be_paid() -> None:
    story = mismatched(5)
    record(story, payment_of(story), "confirmed", 5)
    assert (story.order.status, totals(story.order).paid, reasons(story)) == (Status.VALIDATED, 5, [])
    story.calls.clear()
    story.pays().confirmed()
    assert story.order.status is Status.CONFIRMED


def test_a_mismatched_payment_that_took_less_than_was_said_is_corrected_and_never_refunded_for_it() -> None:
    story = mismatched(TOTAL + 100)
    record(story, payment_of(story), "confirmed", TOTAL)
    sums = totals(story.order)
    assert (story.order.status, sums.paid - sums.refunded) == (Status.CONFIRMED, TOTAL)
    assert [request for request in story.requests if isinstance(request, RefundPayment)] == []
    story.cancels()
    assert story.give_back.amount == Money(TOTAL, "EUR")


def test_a_mismatched_payment_that_was_in_the_orders_currency_after_all_is_corrected() -> None:
    story = mismatched(TOTAL, "USD")
    record(story, payment_of(story), "confirmed", TOTAL, currency="EUR")
    assert (story.order.status, totals(story.order).balance) == (Status.CONFIRMED, 0)
    in_dollars = [entry for entry in story.order.ledger if entry.currency == "USD"]
    assert sum(entry.amount if entry.refund_id is None else -entry.amount for entry in in_dollars) == 0
    assert [request for request in story.requests if isinstance(request, RefundPayment)] == []


def test_a_mismatched_payment_given_back_outside_lets_the_order_be_paid_again() -> None:
    story = mismatched(5)
    record(story, payment_of(story), "refunded", 2, reference="cash 1")
    assert (story.order.payments[0].status, reasons(story)) == (
        PaymentStatus.MISMATCHED,
        [AttentionReason.PAYMENT_MISMATCHED],
    )
    assert record(story, payment_of(story), "refunded", 2, reference="cash 1").order is None
    assert refused(story, payment_of(story), "refunded", 4) == "amount_out_of_range"
    record(story, payment_of(story), "refunded", 3, reference="cash 2")
    assert (story.order.payments[0].status, reasons(story)) == (PaymentStatus.REFUNDED, [])
    assert record(story, payment_of(story), "refunded", 3, reference="cash 2").order is None
    story.calls.clear()
    story.pays().confirmed()
    assert story.order.status is Status.CONFIRMED


def test_a_mismatched_payment_that_is_being_given_back_is_not_corrected_meanwhile() -> None:
    story = mismatched(TOTAL, "USD").cancels()
    assert refused(story, payment_of(story), "confirmed", TOTAL, currency="EUR") == "refund_in_progress"
    story.refunded().released()
    assert story.order.status is Status.CANCELLED


def test_a_refund_recorded_as_done_lets_the_cancellation_go_on_and_paymentsvcs_word_later_moves_nothing() -> None:
    story = processing_refund()
    record(story, refund_of(story), "refunded", TOTAL)
    story.released()
    assert (story.order.status, reasons(story)) == (Status.CANCELLED, [])
    entries = len(story.order.ledger)
    assert late_word(story, refund_said(story, "refunded")).order is None
    late_word(story, refund_said(story, "rejected"))
    assert reasons(story) == [AttentionReason.REFUND_CONTRADICTED]
    assert len(story.order.ledger) == entries
    record(story, refund_of(story), "refunded", TOTAL)
    assert reasons(story) == []


def test_a_refund_recorded_as_rejected_and_done_all_the_same_is_entered_once_and_shown() -> None:
    story = processing_refund()
    record(story, refund_of(story), "rejected", 0)
    assert reasons(story) == [AttentionReason.REFUND_REJECTED]
    late_word(story, refund_said(story, "refunded"))
    assert reasons(story) == [AttentionReason.REFUND_CONTRADICTED]
    assert totals(story.order).refunded == TOTAL
    story.released()
    assert (story.order.status, reasons(story)) == (Status.CANCELLED, [AttentionReason.REFUND_CONTRADICTED])
    record(story, refund_of(story), "refunded", TOTAL)
    assert reasons(story) == []


def test_a_rejected_refund_that_staff_gave_back_outside_ends_the_wait() -> None:
    story = rejected_refund()
    record(story, refund_of(story), "refunded", TOTAL)
    assert totals(story.order).refunded == TOTAL
    assert record(story, refund_of(story), "refunded", TOTAL).order is None
    story.released()
    assert (story.order.status, reasons(story)) == (Status.CANCELLED, [])


def test_a_rejected_refund_of_which_staff_gave_back_a_part_leaves_the_rest_to_a_retry() -> None:
    story = rejected_refund()
    record(story, refund_of(story), "refunded", 1000)
    assert reasons(story) == [AttentionReason.REFUND_MISMATCHED]
    assert record(story, refund_of(story), "refunded", 1000).order is None
    story.says(RetryNow(), by=ActorType.STAFF)
    assert story.give_back.amount.amount == TOTAL - 1000
    story.refunded().released()
    assert (story.order.status, totals(story.order).refunded) == (Status.CANCELLED, TOTAL)


def test_a_refund_that_gave_back_less_is_entered_as_it_was_and_the_rest_waits_for_staff() -> None:
    story = prepared().cancels()
    story.answer(RefundAnswered(refund_id=story.give_back.refund_id, status="refunded", amount=Money(1, "EUR")))
    assert (totals(story.order).refunded, story.order.payments[0].refunds[0].amount) == (1, 1)
    assert reasons(story) == [AttentionReason.REFUND_MISMATCHED]
    assert story.requests == []
    story.says(RetryNow(), by=ActorType.STAFF)
    assert story.give_back.amount.amount == TOTAL - 1
    story.refunded().released()
    assert (story.order.status, totals(story.order).refunded, reasons(story)) == (Status.CANCELLED, TOTAL, [])


@pytest.mark.parametrize(("said", "left"), [(1, TOTAL - 1), (TOTAL - 5, 5)])
def test_staff_say_what_a_refund_gave_back_in_all_and_the_rest_goes_back_by_itself(said: int, left: int) -> None:
    story = prepared().cancels()
    story.answer(RefundAnswered(refund_id=story.give_back.refund_id, status="refunded", amount=Money(1, "EUR")))
    record(story, refund_of(story), "refunded", said)
    assert reasons(story) == []
    assert story.give_back.amount.amount == left
    story.refunded().released()
    assert totals(story.order).refunded == TOTAL


def test_a_refund_that_gave_back_more_is_entered_as_it_was_and_shown() -> None:
    story = validated().pays(1000).confirmed().pays().confirmed().cancels()
    asked = story.give_back
    said = RefundAnswered(refund_id=asked.refund_id, status="refunded", amount=Money(asked.amount.amount + 50, "EUR"))
    story.answer(said, of=RefundPayment)
    story.refunded().released()
    assert story.order.status is Status.CANCELLED
    assert totals(story.order).refunded == TOTAL + 50
    assert reasons(story) == [AttentionReason.REFUND_MISMATCHED]
    story.says(RetryNow("the customer keeps it"), by=ActorType.STAFF)
    assert (reasons(story), story.requests) == ([], [])


def test_a_refund_in_another_currency_does_not_count_and_waits_for_staff() -> None:
    story = prepared().cancels()
    said = RefundAnswered(refund_id=story.give_back.refund_id, status="refunded", amount=Money(TOTAL, "USD"))
    story.answer(said)
    assert (totals(story.order).refunded, story.order.ledger[-1].currency) == (0, "USD")
    assert (story.order.status, reasons(story)) == (Status.CANCELLING, [AttentionReason.REFUND_MISMATCHED])
    assert story.requests == []
    record(story, refund_of(story), "refunded", TOTAL)
    story.released()
    assert (story.order.status, totals(story.order).refunded) == (Status.CANCELLED, TOTAL)


def test_what_is_not_there_or_decided_otherwise_is_refused() -> None:
    story = processing_payment()
    assert refused(story, "0198f7a2-0000-7aa0-9a0e-2f8f6d3c1b00", "confirmed") == "subject_not_found"
    assert refused(story, payment_of(story), "refunded") == "outcome_not_applicable"
    assert refused(story, payment_of(story), "confirmed", 0) == "amount_out_of_range"
    record(story, payment_of(story), "confirmed", TOTAL)
    assert record(story, payment_of(story), "confirmed", TOTAL).order is None
    assert refused(story, payment_of(story), "confirmed", TOTAL - 1) == "already_decided"
    assert refused(story, payment_of(story), "rejected", 0) == "already_decided"
    story.cancels()
    assert refused(story, refund_of(story), "confirmed") == "outcome_not_applicable"
    story.refunded()
    assert refused(story, refund_of(story), "rejected") == "already_decided"
    assert refused(story, refund_of(story), "refunded", 1) == "already_decided"
    kind = story.refuses(Record(subject="x", outcome="refunded", amount=1, reference="r", note="n")).kind
    assert kind is RefusalKind.NOT_FOUND
    assert refused(mismatched(), payment_of(mismatched()), "rejected") == "outcome_not_applicable"


def never_made() -> Story:
    """A payment that counted as never made, of an order that was cancelled meanwhile: it is watched."""
    story = validated().pays()
    story.answer(Unknown("timeout"))
    story.cancels()
    story.wakes()
    story.answer(NotFound(), of=Verify)
    story.wakes()
    story.answer(NotFound(), of=Verify)
    return story.released()


def never_made_and_worked_on() -> Story:
    story = never_made()
    for _ in range(60):
        story.wakes()
        story.calls.clear()
        for step in story.order.steps:
            story.says(CallAnswered(step.key, step.attempts, answered(story, "processing")))
    assert reasons(story) == [AttentionReason.PAYMENT_UNDECIDED]
    return story


def test_a_payment_never_made_that_paymentsvc_works_on_for_ever_needs_attention_until_staff_say_so() -> None:
    story = never_made_and_worked_on()
    record(story, payment_of(story), "rejected", 0)
    while deadline(story.order) is not None:
        story.wakes()
        story.answer(answered(story, "processing"), of=Verify)
    assert (story.order.is_closed, reasons(story)) == (True, [])


def test_a_rejected_refund_of_a_delivered_order_can_still_be_ended() -> None:
    story = validated().pays()
    story.answer(Declined(422, "declined"), of=Charge)
    story.pays().confirmed().committed().ships()
    story.says(Deliver())
    story.says(PaymentConfirmed(payment_id=payment_of(story), amount=Money(TOTAL, "EUR")))
    story.answer(Declined(409, "exceeds_captured"), of=RefundPayment)
    assert reasons(story) == [AttentionReason.REFUND_REJECTED]
    record(story, refund_of(story), "refunded", TOTAL)
    assert (reasons(story), totals(story.order).balance) == ([], 0)
    assert story.order.payments[0].refunds[0].status is RefundStatus.REFUNDED


def test_a_payment_never_made_that_the_bank_says_was_taken_is_recorded_and_goes_back() -> None:
    """It was undecided, and staff who saw the money at the bank could only say that it had not been taken."""
    story = never_made_and_worked_on()
    record(story, payment_of(story), "confirmed", TOTAL)
    assert (reasons(story), story.order.payments[0].status) == ([], PaymentStatus.CONFIRMED)
    assert story.give_back.amount == Money(TOTAL, "EUR")
    story.refunded()
    assert story.order.is_closed
    assert totals(story.order).refunded == TOTAL


def test_a_payment_that_counted_as_rejected_and_is_not_in_question_stays_so() -> None:
    story = validated().pays()
    story.answer(Declined(422, "declined"), of=Charge)
    assert refused(story, payment_of(story), "confirmed", TOTAL) == "already_decided"


def test_what_was_taken_must_be_an_amount_also_of_a_payment_that_counted_as_never_made() -> None:
    story = never_made_and_worked_on()
    assert refused(story, payment_of(story), "confirmed", 0) == "amount_out_of_range"


def test_the_watch_over_a_payment_that_paymentsvc_declines_to_speak_of_ends_and_needs_nobody() -> None:
    """It was asked for every minute for ever, and the cancelled order needed attention that no verb could end."""
    story = never_made()
    begun = story.now
    while (due := deadline(story.order)) is not None:
        assert (due - begun).total_seconds() < 2 * RULES.payment_watch_s
        story.wakes()
        story.answer(Declined(422, "invalid_request"), of=Verify)
        assert reasons(story) == []
    assert story.order.is_closed


def test_an_order_that_is_covered_once_a_mismatch_was_given_back_outside_is_paid() -> None:
    """Nothing was left to pay, so that no payment could be started, and it was cancelled when its time was over."""
    story = validated().pays(1000).confirmed().pays()
    story.says(paid_event(story, payment=1, amount=Money(5, "USD")))
    story.lookups = replace(LOOKUPS, products=(replace(PEN, unit_price=1), replace(INK, unit_price=1), FREE))
    story.says(AddItem("free", 1))
    story.answer(HoldAnswered(story.order.revision, "held"))
    due = totals(story.order).total
    assert (story.order.status, due < 1000) == (Status.VALIDATED, True)
    record(story, story.order.payments[1].payment_id, "refunded", 5, currency="USD")
    assert story.order.status is Status.CONFIRMED
    assert story.give_back.amount == Money(1000 - due, "EUR")


def test_a_refund_that_paymentsvc_made_as_well_as_staff_is_shown() -> None:
    """PaymentSvc rejected it, staff gave the money back outside, and then PaymentSvc said that it had done so too."""
    story = rejected_refund()
    record(story, refund_of(story), "refunded", TOTAL)
    late_word(story, RefundAnswered(refund_id=refund_of(story), status="refunded", amount=Money(TOTAL, "EUR")))
    assert reasons(story) == [AttentionReason.REFUND_CONTRADICTED]
    assert totals(story.order).refunded == TOTAL
    record(story, refund_of(story), "refunded", TOTAL)
    assert reasons(story) == []


def test_staff_may_name_one_reference_for_both_halves_of_what_they_gave_back() -> None:
    story = rejected_refund()
    record(story, refund_of(story), "refunded", TOTAL // 2)
    record(story, refund_of(story), "refunded", TOTAL)
    assert (totals(story.order).refunded, reasons(story)) == (TOTAL, [])
    assert record(story, refund_of(story), "refunded", TOTAL).order is None


@pytest.mark.parametrize("worked_on", ["before it counted as rejected", "while it was watched"])
def test_a_watch_lasts_its_whole_time_from_when_the_payment_was_last_worked_on(worked_on: str) -> None:
    story = processing_payment().cancels() if worked_on.startswith("before") else never_made()
    begun = story.now
    while (story.now - begun).total_seconds() < 2 * RULES.payment_watch_s:
        story.wakes()
        if story.calls:
            story.answer(answered(story, "processing"), of=Verify)
    if worked_on.startswith("before"):
        record(story, payment_of(story), "rejected", 0)
        story.released()
    begun = story.now
    while story.order.steps and (story.now - begun).total_seconds() < RULES.payment_watch_s:
        story.wakes()
        story.answer(NotFound(), of=Verify)
    assert (story.now - begun).total_seconds() >= RULES.payment_watch_s


@pytest.mark.parametrize("currency", ["EUR", "USD"])
def test_a_rejected_refund_of_surplus_is_left_to_staff_though_more_comes_late(currency: str) -> None:
    story = validated()
    for _ in range(2):
        story.pays()
        story.answer(Declined(422, "declined"), of=Charge)
    story.pays().confirmed()
    late = Money(TOTAL, currency)
    story.says(paid_event(story, payment=0, amount=late))
    story.answer(Declined(409, "exceeds_captured"), of=RefundPayment)
    assert reasons(story) == [AttentionReason.REFUND_REJECTED]
    story.says(paid_event(story, payment=1, amount=late))
    asked = [request for request in story.requests if isinstance(request, RefundPayment)]
    assert [(each.payment_id, each.amount) for each in asked] == [(story.order.payments[1].payment_id, late)]


def test_a_rejection_said_again_of_a_refund_that_is_tried_under_a_new_id_changes_nothing() -> None:
    story = rejected_refund()
    said = refund_said(story, "rejected")
    story.says(RetryNow("again"), by=ActorType.STAFF)
    assert late_word(story, said).order is None
    assert reasons(story) == []


@pytest.mark.parametrize("make", [processing_payment, processing_refund])
def test_what_was_undecided_before_there_was_a_time_for_it_needs_attention_from_when_it_began(
    make: Callable[[], Story],
) -> None:
    story = make()
    story.calls.clear()
    steps = tuple(replace(step, undecided_at=None) for step in story.order.steps)
    story.order = replace(story.order, steps=steps)
    story.wakes(after_s=RULES.payment_attention_s)
    is_refund = make is processing_refund
    undecided = AttentionReason.REFUND_UNDECIDED if is_refund else AttentionReason.PAYMENT_UNDECIDED
    assert reasons(story) == [undecided]


def test_a_contradiction_is_not_hidden_by_the_time_that_the_payment_is_undecided() -> None:
    story = Story(rules=OrderRules(payment_events_confirmed=True)).held().pays()
    story.says(paid_event(story, amount=Money(1, "EUR")))
    story.answer(answered(story, "confirmed"), of=Charge)
    story.wakes(after_s=RULES.payment_attention_s)
    assert reasons(story) == [AttentionReason.PAYMENT_CONTRADICTED]
