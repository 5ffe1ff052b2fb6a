"""What an order takes is bounded: its payments, its refunds, and so its snapshot."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from domain.calls import Declined, RefundAnswered, RefundPayment
from domain.commands import ActorType, Pay, Record, RetryNow
from domain.limits import STAFF_REFUNDS_MAX
from domain.money import Money
from domain.order import Attention, Status
from domain.totals_and_statuses import allowed, totals
from storage.writes.order_codec import decode_order, encode_order
from tests.unit.sagas.builders import RULES, Story, answered, prepared, refund_said, validated

SNAPSHOT_MAX_BYTES = 16_384


def commands(story: Story) -> tuple[str, ...]:
    return allowed(story.order, story.now, payment_attempts_max=RULES.payment_attempts_max)


def test_an_order_takes_so_many_payments_and_no_more() -> None:
    """A thousand rejected attempts were a snapshot of 179 KB at each commit."""
    story = validated()
    for _ in range(RULES.payment_attempts_max):
        assert "pay" in commands(story)
        story.pays()
        story.answer(answered(story, "rejected", "card_declined"))
    assert "pay" not in commands(story)
    assert story.refuses(Pay("card")).code == "too_many_payment_attempts"
    assert len(encode_order(story.order)) < SNAPSHOT_MAX_BYTES


def test_an_order_past_its_time_is_not_said_to_be_payable() -> None:
    story = validated()
    assert "pay" in commands(story)
    story.now = story.order.expires_at
    assert "pay" not in commands(story)
    refused = story.refuses(Pay("card"))
    assert (refused.code, "pay" in (refused.allowed or ())) == ("illegal_transition", False)


def test_retries_of_a_rejected_refund_are_bounded_and_then_it_is_recorded() -> None:
    story = prepared().cancels()
    for _ in range(STAFF_REFUNDS_MAX - 1):
        story.answer(refund_said(story, "rejected"), of=RefundPayment)
        story.says(RetryNow(), by=ActorType.STAFF)
    story.answer(refund_said(story, "rejected"), of=RefundPayment)
    assert story.refuses(RetryNow()).code == "too_many_refund_attempts"
    last = story.order.payments[0].refunds[-1]
    word = Record(
        subject=last.refund_id, outcome="refunded", amount=last.amount, reference="transfer 1", note="paid back"
    )
    story.says(word, by=ActorType.STAFF)
    story.released()
    assert (story.order.status, totals(story.order).refunded) == (Status.CANCELLED, last.amount)
    assert len(encode_order(story.order)) < 4 * SNAPSHOT_MAX_BYTES


def two_refunds() -> tuple[Story, RefundAnswered, RefundAnswered]:
    """A surplus is being given back when the order is cancelled, so that two refunds of one payment are under way."""
    story = validated().pays().confirmed()
    payment = story.order.payments[0]
    story.order = replace(
        story.order, payments=(replace(payment, amount=payment.amount + 607),), ledger=(
            replace(story.order.ledger[0], amount=payment.amount + 607),
        ),
    )  # fmt: skip
    story.says(RetryNow(), by=ActorType.STAFF)
    story.cancels()
    first, second = (call.request for call in story.calls if isinstance(call.request, RefundPayment))
    return (
        story,
        RefundAnswered(refund_id=first.refund_id, status="refunded", amount=first.amount),
        RefundAnswered(refund_id=second.refund_id, status="refunded", amount=second.amount),
    )


@pytest.mark.parametrize("verb", ["retry", "record"])
def test_a_refund_that_is_rejected_after_another_began_keeps_its_own_fate(verb: str) -> None:
    """Two refunds of one payment: the first one's rejection was taken for the last one's, and the order stood still."""
    story, first, second = two_refunds()
    story.answer(Declined(409, "exceeds_captured"), of=RefundPayment)
    story.answer(second, of=RefundPayment)
    assert story.order.status is Status.CANCELLING
    assert [note.key for note in story.order.attention] == [f"refund:{first.refund_id}"]
    if verb == "retry":
        story.says(RetryNow(), by=ActorType.STAFF)
        assert story.give_back.amount == first.amount
        story.refunded()
    else:
        word = Record(
            subject=first.refund_id, outcome="refunded", amount=first.amount.amount, reference="t", note="paid back"
        )
        story.says(word, by=ActorType.STAFF)
    story.released()
    sums = totals(story.order)
    assert (story.order.status, sums.paid - sums.refunded, story.order.attention) == (Status.CANCELLED, 0, ())


@pytest.mark.parametrize("verb", [RetryNow(), None])
def test_an_order_from_before_refunds_had_notes_of_their_own_can_be_brought_to_its_end(verb: RetryNow | None) -> None:
    """Its note stands under the payment; in one that the old rules had left standing still, there is none."""
    story, first, second = two_refunds()
    story.answer(Declined(409, "exceeds_captured"), of=RefundPayment)
    story.answer(second, of=RefundPayment)
    payment_id = story.order.payments[0].payment_id
    old = (Attention(f"refund:{payment_id}", "refund_rejected", "exceeds_captured"),) if verb is None else ()
    story.order = decode_order(encode_order(replace(story.order, attention=old)), 1)
    if verb is None:
        word = Record(
            subject=first.refund_id, outcome="refunded", amount=first.amount.amount, reference="t", note="paid back"
        )
        story.says(word, by=ActorType.STAFF)
    else:
        story.says(verb, by=ActorType.STAFF)
        assert story.give_back.amount == Money(first.amount.amount, "EUR")
        story.refunded()
    story.released()
    assert (story.order.status, story.order.attention) == (Status.CANCELLED, ())
