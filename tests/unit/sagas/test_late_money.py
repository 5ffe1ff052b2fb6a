"""Money that comes late, twice, in excess, or as another amount than was asked for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.calls import (
    NotFound,
    Unknown,
    Verify,
)
from domain.commands import Deliver, Pay, PaymentRejected
from domain.errors import RefusalKind
from domain.money import Money
from domain.order import CancelReason, Status
from domain.payments import PaymentStatus, TransactionType
from domain.representation import payment_status, totals
from sagas.decide import deadline
from tests.unit.sagas.builders import RULES, Story, answered, paid_event, validated

TOTAL = 2000 + 999 + 490 + 420 + 100 + 103


def never_made() -> Story:
    """Give an order that expired after its payment counted as never made; money may still come."""
    story = validated().pays()
    story.answer(Unknown("timeout"))
    story.now = story.order.expires_at
    for _ in range(2):
        story.calls.clear()
        story.wakes(after_s=0 if not story.order.steps[0].not_found_at else RULES.payment_settle_s)
        story.answer(NotFound())
    return story


def test_the_watch_for_money_of_a_payment_never_made_lasts_a_day_with_ever_longer_pauses() -> None:
    story = never_made()
    story.released()
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLED, CancelReason.EXPIRED)
    begun, version = story.now, story.order.version
    pauses = []
    while (due := deadline(story.order)) is not None:
        pauses.append((due - story.now).total_seconds())
        story.wakes()
        story.answer(NotFound(), of=Verify)
    assert (story.now - begun).total_seconds() >= RULES.payment_watch_s
    assert pauses == sorted(pauses)
    assert 5 <= len(pauses) <= 40
    assert story.order.is_closed
    assert story.order.version == version + 2 * len(pauses)


def test_money_of_a_payment_never_made_goes_back_even_if_no_event_tells_of_it() -> None:
    story = never_made()
    story.released()
    story.wakes()
    story.answer(answered(story, "confirmed"), of=Verify)
    assert (story.types, story.order.status) == (["PedidoActualizado"], Status.CANCELLED)
    assert story.give_back.amount == Money(TOTAL, "EUR")
    story.refunded()
    assert story.types == ["PedidoActualizado"]
    assert [entry.type for entry in story.order.ledger] == [TransactionType.CHARGE, TransactionType.REFUND]
    assert (payment_status(story.order), totals(story.order).balance) == ("refunded", 0)
    assert story.order.is_closed


@pytest.mark.parametrize("taken", [Money(TOTAL - 1, "EUR"), Money(TOTAL + 1, "EUR"), Money(TOTAL, "USD")])
def test_another_amount_or_currency_never_advances_the_order_and_wants_attention(taken: Money) -> None:
    story = validated().pays()
    story.says(paid_event(story, amount=taken))
    order = story.order
    assert (order.status, order.payments[0].status) == (Status.VALIDATED, PaymentStatus.MISMATCHED)
    assert (order.payments[0].amount, order.payments[0].currency) == (taken.amount, taken.currency)
    assert [note.reason for note in order.attention] == ["payment_mismatched"]
    assert totals(order).paid == (taken.amount if taken.currency == "EUR" else 0)
    assert payment_status(order) != "paid"
    assert "PagoRecibido" not in story.types
    assert deadline(order) is None
    refused = story.refuses(Pay("card"))
    assert (refused.kind, refused.code) == (RefusalKind.CONFLICT, "payment_mismatched")
    story.now = order.expires_at + timedelta(hours=1)
    assert story.wakes().order is None


@pytest.mark.parametrize("taken", [Money(TOTAL + 1, "EUR"), Money(TOTAL, "USD")])
def test_cancelling_a_mismatched_order_gives_back_what_was_taken(taken: Money) -> None:
    story = validated().pays()
    story.says(paid_event(story, amount=taken))
    story.cancels()
    assert story.give_back.amount == taken
    story.refunded().released()
    assert (story.order.status, story.order.attention) == (Status.CANCELLED, ())


def test_money_that_comes_twice_for_a_paid_order_goes_back() -> None:
    story = validated().pays()
    story.says(PaymentRejected(story.order.payments[0].payment_id, "card_declined"))
    story.pays().confirmed()
    story.says(paid_event(story, payment=0))
    assert story.order.status is Status.CONFIRMED
    assert story.give_back.amount == Money(TOTAL, "EUR")
    assert story.give_back.payment_id == story.order.payments[0].payment_id  # what came last goes back first
    story.refunded()
    sums = totals(story.order)
    assert (sums.paid, sums.refunded, sums.balance) == (2 * TOTAL, TOTAL, 0)
    assert payment_status(story.order) == "paid"


def test_late_money_of_a_rejected_payment_pays_an_order_that_still_waits_for_it() -> None:
    story = validated().pays()
    story.says(PaymentRejected(story.order.payments[0].payment_id, "card_declined"))
    story.says(paid_event(story))
    assert story.order.status is Status.CONFIRMED


def test_late_money_on_a_delivered_order_is_a_charge_and_a_refund_without_a_pago_recibido() -> None:
    story = validated().pays()
    story.says(PaymentRejected(story.order.payments[0].payment_id, "card_declined"))
    story.pays().confirmed().committed().ships()
    story.says(Deliver())
    assert story.order.is_closed
    story.says(paid_event(story, payment=0))
    assert (story.order.status, story.types) == (Status.DELIVERED, ["PedidoActualizado"])
    story.refunded()
    assert story.types == ["PedidoActualizado"]
    assert story.order.is_closed
    assert totals(story.order).balance == 0
