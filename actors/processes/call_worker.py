"""A partner's bulkhead as a process: takes calls, answers each to its order through the router.

The resilience itself is ``partners/resilient_client.py``; a partner that hangs fills this process's queue and no other.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog
from msgspec.structs import replace

from actors.order.messages import Undecodable, decode_call
from actors.routing.router import INVALID_TEXT, Router
from domain.calls import Call, Unknown
from domain.commands import Actor, ActorType, CallAnswered, Message
from domain.errors import OutcomeUnknown, Refused, Unavailable
from supervised import note_failure, supervised_once

log = structlog.get_logger()


class PartnerCaller(Protocol):
    """``partners.resilient_client.Bulkhead``."""

    async def call(self, call: Call) -> CallAnswered: ...


class CallWorker:
    """Performs calls for one partner. ``calls_max`` bounds those accepted and not yet answered to their orders."""

    def __init__(
        self,
        partner: str,
        caller: PartnerCaller,
        router: Router,
        *,
        calls_max: int,
        deliver_attempts_max: int = 8,
        deliver_retry_s: float = 0.5,
    ) -> None:
        self.partner = partner
        self._caller = caller
        self._router = router
        self._calls_max = calls_max
        self._deliver_attempts_max = deliver_attempts_max
        self._deliver_retry_s = deliver_retry_s
        self._calls: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._repeated: set[tuple[str, str]] = set()
        self.undelivered = 0

    def perform(self, encoded: bytes) -> bool:
        """Take a call; False where there is no room for it, or it can't be read."""
        try:
            call = decode_call(encoded)
        except Undecodable as error:
            log.error("call_not_read", partner=self.partner, why=str(error))  # noqa: TRY400 - bytes are no fault of this code
            return False
        key = (call.order_id, call.key)
        if key in self._calls:
            if call.may_have_happened:
                self._repeated.add(key)
            return True  # it is under way already; its answer serves both
        if len(self._calls) >= self._calls_max:
            return False
        self._calls[key] = supervised_once(
            "partner-call", self._perform(key, call), order_id=call.order_id, key=call.key
        )
        return True

    @property
    def under_way(self) -> int:
        """Calls accepted and not yet answered to their orders."""
        return len(self._calls)

    async def _perform(self, key: tuple[str, str], call: Call) -> None:
        try:
            try:
                answered = await self._caller.call(call)
            except Exception as error:  # noqa: BLE001 - any error: the order gets an unknown outcome
                note_failure("partner-call", error, order_id=call.order_id, key=call.key)
                outcome = Unknown(f"the call failed: {type(error).__name__}")
                answered = CallAnswered(call.key, call.attempt, outcome, call.may_have_happened)
            if key in self._repeated:
                answered = replace(answered, may_have_happened=True)
            await self._answer(call, answered)
        finally:
            self._calls.pop(key, None)
            self._repeated.discard(key)

    async def _answer(self, call: Call, answered: CallAnswered) -> None:
        """Deliver the answer; if that can't be done for long, the order's own deadline asks again."""
        message = Message(
            id=f"answer:{call.key}:{call.attempt}", body=answered, actor=Actor(ActorType.PARTNER, f"{self.partner}svc")
        )
        for attempt in range(self._deliver_attempts_max):
            try:
                await self._router.ask(call.order_id, message)
            except Refused as refused:
                if refused.code == INVALID_TEXT and not isinstance(answered.outcome, Unknown):
                    # What the partner said can't be passed on, so it said nothing that counts.
                    await self._answer(call, replace(answered, outcome=Unknown("the answer can't be passed on")))
                    return
                log.warning("answer_refused", order_id=call.order_id, key=call.key, code=refused.code)
                return
            except (Unavailable, OutcomeUnknown):
                await asyncio.sleep(min(self._deliver_retry_s * 2**attempt, 5.0))
            else:
                return
        self.undelivered += 1
        log.warning("answer_not_delivered", order_id=call.order_id, key=call.key)
