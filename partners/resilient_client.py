"""A bulkhead: everything that is asked of one partner goes through here, and a sick partner fills only its own.

It bounds how many calls run and wait and for how long, repeats what may be repeated, and stops asking a partner that
does not answer. It decides nothing about an order: each call ends in exactly one outcome, and "it may have happened" is
never turned into "it has not".
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from domain.calls import Call, NotSent, Outcome, Partner, Request, Unknown, outside_name
from domain.commands import CallAnswered
from partners.circuit_breaker import BreakerState, CircuitBreaker
from partners.responses import Throttled
from partners.retry_policy import Backoff, RetryBudget, is_repeatable

LATENCY_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

CIRCUIT_OPEN: Final = NotSent("circuit open", circuit_open=True)

_log = structlog.get_logger(__name__)


class PartnerClient(Protocol):
    """What a bulkhead stands in front of (partners/product.py, payment.py, user.py)."""

    async def perform(self, order_id: str, request: Request) -> Outcome:
        """Make one try."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ResilienceLimits:
    """The bounds of one bulkhead.

    ``try_timeout_s`` is a backstop and lies above the client's own timeout, which knows better what was sent.
    ``total_timeout_s`` covers waiting, tries and pauses. ``retry_budget_fraction``: repeats, as a share of the calls.
    """

    concurrency_max_calls: int = 64
    queue_max_calls: int = 4096
    try_timeout_s: float = 3.5
    total_timeout_s: float = 15.0
    attempts_max: int = 3
    backoff_first_s: float = 0.05
    backoff_max_s: float = 1.0
    retry_budget_fraction: float = 0.2
    retry_budget_burst_max: float = 20.0
    breaker_failures_max: int = 20
    breaker_reset_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResilientClientState:
    """Plain numbers for metrics. ``outcomes`` counts finished calls by the name of their outcome, ``retries`` repeats,
    ``credentials_refused`` tries that were answered 401 or 403.

    ``latency_counts`` has one count for each of ``LATENCY_BOUNDS_S`` (tries that took up to that, above the one before)
    and one for slower ones; ``latency_sum_s`` is of all tries.
    """

    partner: str
    in_flight: int
    queued: int
    breaker: BreakerState
    outcomes: dict[str, int]
    retries: int
    credentials_refused: int
    latency_counts: tuple[int, ...]
    latency_sum_s: float


class ResilientClient:
    """One partner's share of our attention. Use it on one event loop only.

    ``rng`` gives numbers in 0..1 for the jitter.
    """

    def __init__(
        self,
        partner: Partner,
        client: PartnerClient,
        limits: ResilienceLimits,
        *,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._partner = partner
        self._client = client
        self._limits = limits
        self._rng = rng
        self._slots = asyncio.Semaphore(limits.concurrency_max_calls)
        self._breaker = CircuitBreaker(failures_max=limits.breaker_failures_max, reset_s=limits.breaker_reset_s)
        self._budget = RetryBudget(fraction=limits.retry_budget_fraction, burst_max=limits.retry_budget_burst_max)
        self._backoff = Backoff(first_s=limits.backoff_first_s, max_s=limits.backoff_max_s)
        self._admitted = 0
        self._in_flight = 0
        self._retries = 0
        self._credentials_refused = 0
        self._outcomes: dict[str, int] = {}
        self._latency_counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self._latency_sum_s = 0.0

    async def call(self, call: Call) -> CallAnswered:
        """Make ``call`` and give its one answer, within ``total_timeout_s``; never raises for anything a partner does.

        ``NotSent`` comes at once when the queue is full or the circuit is open. The answer says whether a try before the
        one that was answered, or an earlier sending of the call, may have been done.
        """
        outcome: Outcome
        may_have_happened = call.may_have_happened
        if self._admitted >= self._limits.concurrency_max_calls + self._limits.queue_max_calls:
            outcome = NotSent("queue full")
        elif not self._breaker.admits(asyncio.get_running_loop().time()):
            outcome = CIRCUIT_OPEN
        else:
            self._admitted += 1
            try:
                outcome, was_repeated = await self._until_answered(call)
            finally:
                self._admitted -= 1
            may_have_happened = may_have_happened or was_repeated
        name = outside_name(type(outcome))
        self._outcomes[name] = self._outcomes.get(name, 0) + 1
        return CallAnswered(call.key, call.attempt, outcome, may_have_happened)

    def state(self) -> ResilientClientState:
        """Give the state of the calls."""
        return ResilientClientState(
            partner=self._partner.value,
            in_flight=self._in_flight,
            queued=self._admitted - self._in_flight,
            breaker=self._breaker.state(asyncio.get_running_loop().time()),
            outcomes=dict(self._outcomes),
            retries=self._retries,
            credentials_refused=self._credentials_refused,
            latency_counts=tuple(self._latency_counts),
            latency_sum_s=self._latency_sum_s,
        )

    async def _until_answered(self, call: Call) -> tuple[Outcome, bool]:
        """Try, and try again where that is allowed, there is budget for it and the time is not up.

        The second value says whether a try before the last one was made and not answered.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._limits.total_timeout_s
        self._budget.earn()
        unanswered: Unknown | None = None  # the last try before this one of which nothing is known
        tries = 0
        while True:
            tries += 1
            outcome, was_tried = await self._in_turn(call, deadline)
            if isinstance(outcome, Unknown) and outcome.credentials_refused:
                self._credentials_refused += 1
                _log.error("credentials_refused", partner=self._partner.value, detail=outcome.detail)
            if was_tried and tries < self._limits.attempts_max and is_repeatable(call.request, outcome):
                pause_s = self._backoff.delay_s(tries, self._rng())
                if isinstance(outcome, Throttled):
                    pause_s = max(pause_s, outcome.retry_after_s)
                if clock() + pause_s < deadline and self._budget.spend():
                    unanswered = outcome if isinstance(outcome, Unknown) else unanswered
                    self._retries += 1
                    await asyncio.sleep(pause_s)
                    continue
            if unanswered is not None and isinstance(outcome, NotSent):
                outcome = Unknown(outcome.detail, unanswered.credentials_refused)
            elif isinstance(outcome, Throttled):
                outcome = Unknown(outcome.detail)
            return outcome, unanswered is not None

    async def _in_turn(self, call: Call, deadline: float) -> tuple[Outcome, bool]:
        """Wait for a slot and make one try in it. The second value is False when we did not even try."""
        clock = asyncio.get_running_loop().time
        if self._slots.locked():
            try:
                async with asyncio.timeout_at(deadline):
                    await self._slots.acquire()
            except TimeoutError:
                return NotSent("no free slot in time"), False
        else:
            await self._slots.acquire()
        self._in_flight += 1
        try:
            now = clock()
            permit = self._breaker.enter(now)
            if permit is None:
                return CIRCUIT_OPEN, False
            return await self._through_breaker(call, permit, min(deadline, now + self._limits.try_timeout_s)), True
        finally:
            self._in_flight -= 1
            self._slots.release()

    async def _through_breaker(self, call: Call, permit: int, until: float) -> Outcome:
        """Make one try, measure it, and report to the breaker how it went (that nothing is known, when we are cancelled)."""
        clock = asyncio.get_running_loop().time
        started = clock()
        is_healthy: bool | None = None
        try:
            outcome = await self._try(call, until)
            is_healthy = not isinstance(outcome, Unknown | NotSent)
            return outcome
        finally:
            now = clock()
            self._latency_counts[bisect_left(LATENCY_BOUNDS_S, now - started)] += 1
            self._latency_sum_s += now - started
            before = self._breaker.state(now)
            self._breaker.leave(permit, healthy=is_healthy, now=now)
            after = self._breaker.state(now)
            if after is not before:
                _log.warning("breaker_changed", partner=self._partner.value, before=before.value, after=after.value)

    async def _try(self, call: Call, until: float) -> Outcome:
        try:
            async with asyncio.timeout_at(until):
                return await self._client.perform(call.order_id, call.request)
        except TimeoutError:
            return Unknown("no answer in time")
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave the order without an answer
            _log.exception("partner_client_failed", partner=self._partner.value, order_id=call.order_id, key=call.key)
            return Unknown(f"client failed: {type(error).__name__}")
