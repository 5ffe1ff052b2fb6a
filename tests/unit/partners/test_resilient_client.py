"""The bulkhead with a scripted partner, on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from domain.calls import (
    Call,
    Charge,
    CommitHold,
    Declined,
    FetchCustomer,
    HoldAnswered,
    NotFound,
    NotSent,
    Outcome,
    Partner,
    RefundPayment,
    Request,
    Unknown,
    Verify,
)
from domain.commands import CallAnswered
from domain.money import Money
from partners.circuit_breaker import BreakerState
from partners.resilient_client import ResilienceLimits, ResilientClient
from partners.responses import Throttled
from tests.unit.conftest import Run

HELD = HoldAnswered(1, "held")
CHARGE = Charge(payment_id="p", customer_id="c", amount=Money(100, "EUR"), method="card", token=None)


def _call(request: Request = CommitHold(1)) -> Call:  # noqa: B008 - a frozen value
    return Call(order_id="o", key="step:1", attempt=7, request=request)


def _bulkhead(client: Any, **limits: Any) -> ResilientClient:
    return ResilientClient(Partner.PRODUCT, client, ResilienceLimits(**limits), rng=lambda: 1.0)


async def _outcome(bulkhead: ResilientClient, request: Request = CommitHold(1)) -> Outcome:  # noqa: B008
    return (await bulkhead.call(_call(request))).outcome


async def _let_others_run() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_an_answer_carries_the_key_and_the_attempt_of_its_call(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        assert await _bulkhead(scripted([HELD])).call(_call()) == CallAnswered("step:1", 7, HELD)

    run(scenario())


def test_no_more_calls_run_at_once_than_the_limit(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([HELD], delay_s=1.0)
        bulkhead = _bulkhead(client, concurrency_max_calls=4, queue_max_calls=16)
        outcomes = await asyncio.gather(*(_outcome(bulkhead) for _ in range(20)))
        assert outcomes == [HELD] * 20
        assert client.running_max == 4
        assert asyncio.get_running_loop().time() == pytest.approx(5.0)

    run(scenario())


def test_a_full_queue_refuses_at_once_and_nothing_was_sent(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([None])
        bulkhead = _bulkhead(client, concurrency_max_calls=2, queue_max_calls=3)
        waiting = [asyncio.create_task(_outcome(bulkhead)) for _ in range(5)]
        await _let_others_run()
        assert (bulkhead.state().in_flight, bulkhead.state().queued) == (2, 3)
        before = asyncio.get_running_loop().time()
        assert await _outcome(bulkhead) == NotSent("queue full")
        assert asyncio.get_running_loop().time() == before
        assert len(client.asked) == 2
        await asyncio.gather(*waiting)

    run(scenario())


def test_a_try_that_hangs_is_cut_off_and_its_outcome_is_unknown(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        bulkhead = _bulkhead(scripted([None]), try_timeout_s=3.0, attempts_max=1)
        assert isinstance(await _outcome(bulkhead), Unknown)
        assert asyncio.get_running_loop().time() == pytest.approx(3.0)

    run(scenario())


def test_a_call_ends_within_its_total_time_whatever_the_tries_do(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        bulkhead = _bulkhead(scripted([None]), try_timeout_s=3.0, total_timeout_s=8.0, attempts_max=50)
        assert isinstance(await _outcome(bulkhead), Unknown)
        assert asyncio.get_running_loop().time() <= 8.0

    run(scenario())


def test_waiting_in_vain_for_a_slot_means_that_nothing_was_sent(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([None])
        bulkhead = _bulkhead(client, concurrency_max_calls=1, try_timeout_s=9.0, total_timeout_s=5.0, attempts_max=1)
        first = asyncio.create_task(_outcome(bulkhead))
        await asyncio.sleep(0)
        second = asyncio.create_task(_outcome(bulkhead))
        third = asyncio.create_task(_outcome(bulkhead))
        assert isinstance(await first, Unknown)
        outcomes = {type(await second), type(await third)}
        assert outcomes <= {NotSent, Unknown}
        assert NotSent in outcomes
        assert len(client.asked) <= 2

    run(scenario())


def test_an_idempotent_write_is_repeated_as_it_was_until_it_is_answered(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([Unknown("503"), Unknown("503"), HELD])
        bulkhead = _bulkhead(client, backoff_first_s=0.1)
        assert await _outcome(bulkhead) == HELD
        assert client.asked == [CommitHold(1)] * 3
        assert client.asked_at_s == pytest.approx([0.0, 0.1, 0.3])
        assert bulkhead.state().retries == 2

    run(scenario())


def test_a_charge_whose_outcome_is_unknown_comes_back_at_once(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([Unknown("503"), HELD])
        assert await _outcome(_bulkhead(client), CHARGE) == Unknown("503")
        assert client.asked == [CHARGE]

    run(scenario())


def test_a_charge_that_was_never_sent_is_tried_again(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([NotSent("refused"), Declined(400, "nonsense")])
        assert await _outcome(_bulkhead(client), CHARGE) == Declined(400, "nonsense")
        assert len(client.asked) == 2

    run(scenario())


def test_a_charge_whose_second_try_is_unknown_is_not_sent_a_third_time(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([NotSent("refused"), Unknown("lost"), HELD])
        assert await _outcome(_bulkhead(client), CHARGE) == Unknown("lost")
        assert len(client.asked) == 2

    run(scenario())


@pytest.mark.parametrize("request_", [CommitHold(1), Verify("p"), FetchCustomer("c")])
def test_what_may_have_happened_never_counts_as_not_sent(run: Run, scripted: Any, request_: Request) -> None:
    async def scenario() -> None:
        bulkhead = _bulkhead(scripted([Unknown("lost"), NotSent("refused")]))
        assert await _outcome(bulkhead, request_) == Unknown("refused")

    run(scenario())


def _answered(bulkhead: ResilientClient, request: Request, *, may_have_happened: bool = False) -> Any:
    call = Call(order_id="o", key="step:1", attempt=7, request=request, may_have_happened=may_have_happened)
    return bulkhead.call(call)


REFUND = RefundPayment(refund_id="r", payment_id="p", amount=Money(100, "EUR"), reason="x")
CONFLICT = Declined(409, "exceeds_captured")


@pytest.mark.parametrize(
    ("script", "outcome", "may_have_happened"),
    [
        ([CONFLICT], CONFLICT, False),
        ([NotSent("refused"), CONFLICT], CONFLICT, False),
        ([Unknown("lost"), CONFLICT], CONFLICT, True),
        ([None, CONFLICT], CONFLICT, True),
        ([Throttled("429", retry_after_s=0.0), CONFLICT], CONFLICT, True),
        ([Unknown("lost"), NotSent("refused"), CONFLICT], CONFLICT, True),
        ([NotSent("refused"), Unknown("lost"), NotFound()], NotFound(), True),
        ([Unknown("404 text/html"), Unknown("lost"), NotSent("refused")], Unknown("refused"), True),
        ([Unknown("401", credentials_refused=True), NotSent("x")], Unknown("x", credentials_refused=True), True),
        ([NotSent("a"), NotSent("b"), NotSent("c")], NotSent("c"), False),
        ([Unknown("a"), Unknown("b"), Unknown("c")], Unknown("c"), True),
        ([NotSent("a"), NotSent("b"), Unknown("c")], Unknown("c"), False),
    ],
)
def test_an_answer_says_whether_an_earlier_try_may_have_been_done(
    run: Run, scripted: Any, script: list[Outcome | None], outcome: Outcome, may_have_happened: bool
) -> None:
    """A refund's first try timed out (and was done), its repeat was refused: that was told as a plain refusal, and the
    money given back again under another id.
    """

    async def scenario() -> None:
        answered = await _answered(_bulkhead(scripted(script)), REFUND)
        assert answered == CallAnswered("step:1", 7, outcome, may_have_happened)

    run(scenario())


def test_what_was_sent_before_this_call_is_not_forgotten(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        answered = await _answered(_bulkhead(scripted([CONFLICT])), REFUND, may_have_happened=True)
        assert answered == CallAnswered("step:1", 7, CONFLICT, may_have_happened=True)
        full = _bulkhead(scripted([CONFLICT]), concurrency_max_calls=0, queue_max_calls=0)
        answered = await _answered(full, REFUND, may_have_happened=True)
        assert answered == CallAnswered("step:1", 7, NotSent("queue full"), may_have_happened=True)

    run(scenario())


@pytest.mark.parametrize(
    "page", [Unknown("404 text/html"), Unknown("302 text/html"), Unknown("403 text/html", credentials_refused=True)]
)
def test_pages_of_something_in_between_open_the_circuit(run: Run, scripted: Any, page: Outcome) -> None:
    async def scenario() -> None:
        client = scripted([page])
        bulkhead = _bulkhead(client, attempts_max=1, breaker_failures_max=5)
        for _ in range(5):
            assert await _outcome(bulkhead) == page
        assert bulkhead.state().breaker is BreakerState.OPEN
        assert await _outcome(bulkhead) == NotSent("circuit open", circuit_open=True)
        assert len(client.asked) == 5

    run(scenario())


@pytest.mark.parametrize("word", [NotFound(), Declined(422, "invalid_request"), Declined(409, "conflict")])
def test_refusals_of_the_partner_keep_the_circuit_closed(run: Run, scripted: Any, word: Outcome) -> None:
    async def scenario() -> None:
        bulkhead = _bulkhead(scripted([word]), attempts_max=1, breaker_failures_max=2)
        for _ in range(10):
            assert await _outcome(bulkhead) == word
        assert bulkhead.state().breaker is BreakerState.CLOSED

    run(scenario())


def test_refused_credentials_are_counted_try_by_try(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        refused = Unknown("403 text/html", credentials_refused=True)
        bulkhead = _bulkhead(scripted([Unknown("503"), refused, refused, HELD]))
        await _outcome(bulkhead)
        assert bulkhead.state().credentials_refused == 2
        assert await _outcome(bulkhead) == HELD
        assert bulkhead.state().credentials_refused == 2

    run(scenario())


def test_an_unknown_try_stays_unknown_when_the_circuit_opens_before_the_next(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([Unknown("lost")])
        bulkhead = _bulkhead(client, breaker_failures_max=1)
        assert await _outcome(bulkhead) == Unknown("circuit open")
        assert len(client.asked) == 1

    run(scenario())


def test_a_throttling_partner_is_left_alone_for_as_long_as_it_said(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([Throttled("429", retry_after_s=4.0), HELD])
        assert await _outcome(_bulkhead(client)) == HELD
        assert client.asked_at_s == pytest.approx([0.0, 4.0])

    run(scenario())


def test_throttling_for_longer_than_the_call_may_take_ends_it_as_plainly_unknown(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        outcome = await _outcome(_bulkhead(scripted([Throttled("429", retry_after_s=60.0)])))
        assert type(outcome) is Unknown
        assert asyncio.get_running_loop().time() == 0.0

    run(scenario())


def test_repeats_stop_when_their_budget_is_used_up(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([Unknown("503")])
        bulkhead = _bulkhead(client, retry_budget_burst_max=5.0, retry_budget_fraction=0.2, breaker_failures_max=10_000)
        for _ in range(100):
            assert isinstance(await _outcome(bulkhead), Unknown)
        assert 100 + 20 <= len(client.asked) <= 100 + 25

    run(scenario())


def test_the_circuit_opens_refuses_at_once_and_closes_by_itself(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([*[Unknown("503")] * 5, HELD])
        bulkhead = _bulkhead(client, attempts_max=1, breaker_failures_max=5, breaker_reset_s=2.0)
        for _ in range(5):
            assert isinstance(await _outcome(bulkhead), Unknown)
        assert bulkhead.state().breaker is BreakerState.OPEN
        assert await _outcome(bulkhead) == NotSent("circuit open", circuit_open=True)
        assert len(client.asked) == 5
        await asyncio.sleep(2.0)
        assert bulkhead.state().breaker is BreakerState.HALF_OPEN
        assert await _outcome(bulkhead) == HELD
        assert bulkhead.state().breaker is BreakerState.CLOSED

    run(scenario())


def test_a_declining_partner_is_a_healthy_one(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        bulkhead = _bulkhead(scripted([Declined(409, "out_of_stock")]), breaker_failures_max=2)
        for _ in range(10):
            assert await _outcome(bulkhead) == Declined(409, "out_of_stock")
        assert bulkhead.state().breaker is BreakerState.CLOSED

    run(scenario())


def test_calls_that_wait_when_the_circuit_opens_are_let_go_together(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([None])
        bulkhead = _bulkhead(client, concurrency_max_calls=4, try_timeout_s=3.0, attempts_max=1, breaker_failures_max=4)
        outcomes = await asyncio.gather(*(_outcome(bulkhead) for _ in range(100)))
        assert [type(outcome) for outcome in outcomes] == [Unknown] * 4 + [NotSent] * 96
        assert asyncio.get_running_loop().time() == pytest.approx(3.0)

    run(scenario())


def test_a_partner_that_hangs_costs_its_own_bulkhead_only(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        hanging = _bulkhead(scripted([None]), concurrency_max_calls=8)
        stuck = [asyncio.create_task(_outcome(hanging)) for _ in range(200)]
        await asyncio.sleep(0.5)
        well = _bulkhead(scripted([HELD], delay_s=0.01), concurrency_max_calls=8)
        before = asyncio.get_running_loop().time()
        assert await _outcome(well) == HELD
        assert asyncio.get_running_loop().time() - before == pytest.approx(0.01)
        assert well.state().breaker is BreakerState.CLOSED
        await asyncio.gather(*stuck)

    run(scenario())


def test_a_fault_of_the_client_is_an_unknown_outcome_not_a_lost_answer(run: Run) -> None:
    class Broken:
        async def perform(self, order_id: str, request: Request) -> Outcome:
            raise KeyError(order_id, request)

    async def scenario() -> None:
        assert await _outcome(_bulkhead(Broken(), attempts_max=1)) == Unknown("client failed: KeyError")

    run(scenario())


def test_a_call_that_is_cancelled_gives_its_slot_and_its_probe_back(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        client = scripted([Unknown("503"), None, HELD])
        bulkhead = _bulkhead(client, concurrency_max_calls=1, attempts_max=1, breaker_failures_max=1)
        await _outcome(bulkhead)
        await asyncio.sleep(2.0)
        probe = asyncio.create_task(_outcome(bulkhead))
        await _let_others_run()
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        state = bulkhead.state()
        assert (state.in_flight, state.queued) == (0, 0)
        assert await _outcome(bulkhead) == HELD

    run(scenario())


def test_the_numbers_for_metrics_add_up(run: Run, scripted: Any) -> None:
    async def scenario() -> None:
        bulkhead = _bulkhead(scripted([HELD, Declined(409, "x"), HELD], delay_s=0.02))
        for _ in range(3):
            await _outcome(bulkhead)
        state = bulkhead.state()
        assert state.outcomes == {"HoldAnswered": 2, "Declined": 1}
        assert sum(state.latency_counts) == 3
        assert state.latency_counts[4] == 3  # above 10 ms, up to 25 ms
        assert state.latency_sum_s == pytest.approx(0.06)

    run(scenario())
