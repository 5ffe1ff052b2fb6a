"""Which outcomes allow a repeat, how long it waits, and how many there may be."""

from __future__ import annotations

import pytest

from domain.calls import (
    Charge,
    CommitHold,
    Declined,
    FetchCustomer,
    HoldAnswered,
    NotFound,
    NotSent,
    Outcome,
    RefundPayment,
    ReleaseHold,
    Request,
    Unknown,
    Verify,
)
from domain.money import Money
from partners.retry_policy import Backoff, RetryBudget, is_repeatable

CHARGE = Charge(payment_id="p", customer_id="c", amount=Money(100, "EUR"), method="card", token=None)
REFUND = RefundPayment(refund_id="r", payment_id="p", amount=Money(100, "EUR"), reason="cancelled")


@pytest.mark.parametrize("request_", [FetchCustomer("c"), CommitHold(1), ReleaseHold(), REFUND, Verify("p")])
def test_reads_and_idempotent_writes_are_repeated_after_an_unknown_outcome(request_: Request) -> None:
    assert is_repeatable(request_, Unknown("timeout"))


def test_a_charge_is_not_repeated_once_it_may_have_happened() -> None:
    assert not is_repeatable(CHARGE, Unknown("timeout"))


def test_what_was_never_sent_may_be_sent_even_a_charge() -> None:
    assert is_repeatable(CHARGE, NotSent("refused"))


@pytest.mark.parametrize("word", [Declined(409, "out_of_stock"), NotFound(), HoldAnswered(1, "held")])
def test_a_partners_word_is_final(word: Outcome) -> None:
    assert not is_repeatable(CommitHold(1), word)


def test_the_wait_doubles_up_to_its_maximum_and_jitter_may_take_all_of_it_away() -> None:
    backoff = Backoff(first_s=0.1, max_s=0.5)
    assert [backoff.delay_s(tries, 1.0) for tries in (1, 2, 3, 4, 5000)] == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])
    assert backoff.delay_s(3, 0.0) == 0.0


def test_repeats_are_a_fraction_of_the_calls() -> None:
    budget = RetryBudget(fraction=0.2, burst_max=2.0)
    repeats = 0
    for _ in range(100):
        budget.earn()
        repeats += budget.spend()
    assert 20 <= repeats <= 22


def test_quiet_times_do_not_save_up_more_than_the_burst() -> None:
    budget = RetryBudget(fraction=0.5, burst_max=3.0)
    for _ in range(1000):
        budget.earn()
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
