"""No answers of partners, whatever they are, make an order commit without a wait: nothing goes round at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.calls import (
    Charge,
    CommitHold,
    CustomerFetched,
    Declined,
    FetchCustomer,
    FetchProducts,
    Hold,
    HoldAnswered,
    NotFound,
    NotSent,
    Outcome,
    PaymentAnswered,
    ProductsFetched,
    RefundAnswered,
    RefundPayment,
    ReleaseHold,
    Request,
    Unknown,
    Verify,
    VerifyRefund,
)
from domain.commands import ActorType, CallAnswered, Pay
from domain.money import Money
from domain.order import Status, StepState
from sagas.decide import deadline
from tests.unit.sagas.builders import ASKING, CUSTOMER, INK, PEN, Story, prepared, validated

COMMITS_A_SECOND_MAX = 20
NOTHING = (
    NotFound(),
    NotSent("no connection"),
    NotSent("circuit open", circuit_open=True),
    Unknown("timeout"),
    Unknown("403", credentials_refused=True),
    Declined(422, "invalid_request"),
    Declined(409, "conflict"),
)
HOLDS = tuple(HoldAnswered(1, state) for state in ("held", "committed", "released", "expired"))
HOLD_CODES = ("out_of_stock", "stale_revision", "already_committed", "hold_released", "hold_expired")


def possible(request: Request) -> tuple[Outcome, ...]:
    """All that may come back for a request, against the contract too."""
    match request:
        case FetchProducts():
            return (*NOTHING, ProductsFetched((PEN, INK)), ProductsFetched(()))
        case FetchCustomer():
            return (*NOTHING, CustomerFetched(CUSTOMER))
        case Hold() | CommitHold() | ReleaseHold():
            return (*NOTHING, *HOLDS, *(Declined(409, code) for code in HOLD_CODES))
        case Charge(payment_id=payment_id) | Verify(payment_id=payment_id):
            return (
                *NOTHING,
                *(
                    PaymentAnswered(payment_id=payment_id, status=status, amount=Money(amount, "EUR"))
                    for status, amount in (("processing", 0), ("confirmed", 7), ("rejected", 0))
                ),
            )
        case RefundPayment(refund_id=refund_id) | VerifyRefund(refund_id=refund_id):
            return (
                *NOTHING,
                Declined(409, "exceeds_captured"),
                *(
                    RefundAnswered(refund_id=refund_id, status=status, amount=Money(amount, "EUR"))
                    for status, amount in (("processing", 0), ("refunded", 3), ("rejected", 0))
                ),
            )


def follow(story: Story, picks: list[int], unanswered: list[bool]) -> None:
    """Answer each call at once, and let the clock go on only when nothing else is left; count the commits on the way."""
    times = [story.now]
    for pick, may_have_happened in zip(picks, unanswered, strict=True):
        version = story.order.version
        story.calls = [call for call in story.calls if is_out(story, call.key, call.attempt)]
        if story.calls:
            call = story.calls.pop(pick % len(story.calls))
            outcomes = possible(call.request)
            said = CallAnswered(call.key, call.attempt, outcomes[pick % len(outcomes)], may_have_happened)
            story.says(said, by=ActorType.PARTNER)
        elif story.is_at(Status.VALIDATED) and not story.order.payments and story.now < story.order.expires_at:
            story.says(Pay("card"))
        elif deadline(story.order) is not None:
            story.wakes()
        else:
            return
        if story.order.version != version:
            times.append(story.now)
            recent = [at for at in times if at > story.now - timedelta(seconds=1)]
            assert len(recent) <= COMMITS_A_SECOND_MAX, [step.key for step in story.order.steps]


def is_out(story: Story, key: str, attempt: int) -> bool:
    return any(
        step.key == key and step.attempts == attempt and step.state is StepState.RUNNING for step in story.order.steps
    )


BEGINNINGS: dict[str, Callable[[], Story]] = {
    "asking": lambda: Story(lookups=ASKING),
    "holding": Story,
    "paying": lambda: validated().pays(),
    "committing": lambda: validated().pays().confirmed(),
    "refunding": lambda: prepared().cancels(),
    "refunding two": lambda: validated().pays(1000).confirmed().pays().confirmed().cancels(),
    "releasing": lambda: validated().cancels(),
}
LENGTH = 90


@pytest.mark.parametrize("beginning", BEGINNINGS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    picks=st.lists(st.integers(0, 2**16), min_size=LENGTH, max_size=LENGTH),
    unanswered=st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH),
)
def test_no_answers_make_an_order_commit_without_a_wait(
    beginning: str, picks: list[int], unanswered: list[bool]
) -> None:
    follow(BEGINNINGS[beginning](), picks, unanswered)


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_no_pair_of_answers_goes_round_without_a_wait(beginning: str) -> None:
    """Each pair of outcomes, one for each of two kinds of call that may follow one another, for ever."""
    for first in range(12):
        for second in range(12):
            follow(BEGINNINGS[beginning](), [first, second] * 22, [True] * 44)
