"""What follows from an order: statuses that nobody stores."""

from __future__ import annotations

import pytest

from domain.calls import PaymentAnswered, Unknown
from domain.commands import CallAnswered, PaymentRejected
from domain.money import Money
from domain.order import Status
from domain.totals_and_statuses import allowed, fulfillment_status, in_flight, money_kept, payment_status, totals
from tests.unit.sagas.builders import RULES, at, prepared, validated


@pytest.mark.parametrize(
    ("status", "paid", "fulfilled"),
    [
        (Status.CREATED, "unpaid", "unfulfilled"),
        (Status.VALIDATED, "unpaid", "unfulfilled"),
        (Status.PAID, "paid", "unfulfilled"),
        (Status.PREPARED, "paid", "unfulfilled"),
        (Status.SHIPPED, "paid", "shipped"),
        (Status.DELIVERED, "paid", "delivered"),
        (Status.CANCELLED, "unpaid", "unfulfilled"),
    ],
)
def test_payment_and_fulfillment_follow_the_order(status: Status, paid: str, fulfilled: str) -> None:
    order = at(status).order
    assert (payment_status(order), fulfillment_status(order)) == (paid, fulfilled)


def test_what_is_in_flight_comes_before_what_was_paid() -> None:
    story = validated().pays(1000).confirmed()
    assert payment_status(story.order) == "partially_paid"
    story.pays(500)
    assert (payment_status(story.order), in_flight(story.order)) == ("pending", story.order.payments[1])
    story.answer(Unknown("timeout"))
    assert payment_status(story.order) == "in_doubt"
    story.says(PaymentRejected(story.order.payments[1].payment_id, "card_declined"))
    assert payment_status(story.order) == "partially_paid"


def test_a_cancelled_order_owes_nothing_and_shows_what_went_back() -> None:
    story = validated().pays(1000).confirmed().pays().confirmed().cancels()
    assert payment_status(story.order) == "paid"
    story.refunded()
    assert payment_status(story.order) == "partially_refunded"
    story.refunded()
    assert payment_status(story.order) == "refunded"
    story.released()
    sums = totals(story.order)
    assert (sums.paid, sums.refunded, sums.balance) == (sums.total, sums.total, 0)


def test_foreign_money_is_not_in_paid() -> None:
    story = validated().pays()
    payment_id = story.charge.payment_id
    foreign = PaymentAnswered(payment_id=payment_id, status="confirmed", amount=Money(4112, "USD"))
    story.says(CallAnswered(story.calls[0].key, 1, foreign))
    assert (totals(story.order).paid, money_kept(story.order)) == (0, 0)
    assert story.order.ledger[0].currency == "USD"
    assert "pay" not in allowed(story.order, story.now, payment_attempts_max=RULES.payment_attempts_max)


def test_money_that_is_being_given_back_is_not_kept() -> None:
    story = prepared().cancels()
    assert money_kept(story.order) == 0
    assert totals(story.order).refunded == 0
