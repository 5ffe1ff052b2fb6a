"""Stage 5: a hold that is lost on the way is asked for once more."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.calls import (
    CommitHold,
    Declined,
    HoldAnswered,
    NotFound,
    Outcome,
    RefundPayment,
)
from domain.order import CancelReason, HoldState, Status
from tests.unit.sagas.builders import RULES, at


def test_a_lost_hold_is_asked_for_once_more_and_the_second_loss_gives_the_money_back() -> None:
    story = at(Status.CONFIRMED)
    story.answer(Declined(409, "hold_expired"))
    assert (story.order.status, story.order.hold, story.order.revision) == (Status.CONFIRMED, HoldState.LOST, 2)
    story.held()
    assert story.requests == [CommitHold(2)]
    story.answer(NotFound())
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLING, CancelReason.OUT_OF_STOCK)
    story.refunded().released()
    assert story.order.status is Status.CANCELLED


@pytest.mark.parametrize("outcome", [Declined(409, "hold_released"), NotFound(), HoldAnswered(1, "expired")])
def test_a_new_hold_that_is_refused_gives_the_money_back(outcome: Outcome) -> None:
    story = at(Status.CONFIRMED)
    story.answer(outcome)
    story.answer(Declined(409, "out_of_stock"))
    assert (story.order.status, story.order.cancel_reason) == (Status.CANCELLING, CancelReason.OUT_OF_STOCK)
    assert [type(request) for request in story.requests] == [RefundPayment]


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
