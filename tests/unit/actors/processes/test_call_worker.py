"""The bulkhead's process: a call under way is made once, and whatever comes of one, its order hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace

from actors.order.messages import Unencodable, encode_call, encode_message
from actors.processes.call_worker import CallWorker
from actors.routing.router import Router
from domain.calls import Call, CommitHold, Declined, FetchCustomer, NotFound, Outcome, Unknown
from domain.commands import CallAnswered, Message
from domain.errors import RefusalKind, Refused

CALL = Call(order_id="o", key="step:1", attempt=1, request=CommitHold(1))
NO = Declined(409, "hold_expired")


class Partner:
    """Answers when it is told to, and hears what orders are told."""

    def __init__(self) -> None:
        self.made: list[Call] = []
        self.may_answer = asyncio.Event()
        self.told: asyncio.Queue[CallAnswered] = asyncio.Queue()

    async def call(self, call: Call) -> CallAnswered:
        self.made.append(call)
        await self.may_answer.wait()
        return CallAnswered(call.key, call.attempt, NO, call.may_have_happened)

    async def ask(self, _order_id: str, message: Message) -> Any:
        assert isinstance(message.body, CallAnswered)
        self.told.put_nowait(message.body)


@pytest.mark.parametrize("may_have_happened", [False, True])
async def test_a_repeat_of_a_call_under_way_is_answered_with_it_and_says_what_it_knew(may_have_happened: bool) -> None:
    partner = Partner()
    bulkhead = CallWorker("product", partner, cast("Router", partner), calls_max=8)
    assert bulkhead.perform(encode_call(CALL))
    assert bulkhead.perform(encode_call(replace(CALL, may_have_happened=may_have_happened)))
    partner.may_answer.set()
    assert await partner.told.get() == CallAnswered("step:1", 1, NO, may_have_happened)
    assert len(partner.made) == 1
    while bulkhead.under_way:
        await asyncio.sleep(0)
    bulkhead.perform(encode_call(CALL))
    assert await partner.told.get() == CallAnswered("step:1", 1, NO, may_have_happened=False)


class World:
    """Orders that hear answers, and a partner that gives ``outcome``."""

    def __init__(self, outcome: Callable[[], Outcome]) -> None:
        self.outcome = outcome
        self.heard: dict[str, Outcome] = {}
        self.bulkhead = CallWorker("user", self, cast("Router", self), calls_max=10)

    async def call(self, call: Call) -> CallAnswered:
        outcome = NotFound() if call.order_id == "neighbour" else self.outcome()
        return CallAnswered(call.key, call.attempt, outcome, call.may_have_happened)

    async def ask(self, order_id: str, message: Message) -> None:
        try:
            encode_message(order_id, message)
        except Unencodable as error:
            raise Refused(RefusalKind.UNPROCESSABLE, "invalid_text", str(error)) from error
        assert isinstance(message.body, CallAnswered)
        self.heard[order_id] = message.body.outcome

    async def all_heard(self) -> dict[str, Outcome]:
        calls = [
            Call(order_id=order_id, key="k", attempt=1, request=FetchCustomer("c")) for order_id in ("o", "neighbour")
        ]
        assert all(self.bulkhead.perform(encode_call(call)) for call in calls)
        async with asyncio.timeout(5):
            while self.bulkhead.under_way:
                await asyncio.sleep(0)
        return self.heard


async def test_a_partners_answer_that_cannot_be_passed_on_is_no_word() -> None:
    heard = await World(lambda: Declined(422, "code", "\ud800")).all_heard()
    assert heard == {"o": Unknown("the answer can't be passed on"), "neighbour": NotFound()}


async def test_a_call_that_breaks_is_no_word() -> None:
    """The call's task ended with a line in the log; its order waited until the call counted as lost."""

    def breaks() -> Outcome:
        raise ZeroDivisionError

    heard = await World(breaks).all_heard()
    assert heard == {"o": Unknown("the call failed: ZeroDivisionError"), "neighbour": NotFound()}


async def test_a_call_that_cannot_be_read_or_for_which_there_is_no_room_is_not_taken() -> None:
    partner = Partner()
    bulkhead = CallWorker("product", partner, cast("Router", partner), calls_max=1)
    assert not bulkhead.perform(b"\x90")
    assert bulkhead.perform(encode_call(CALL))
    assert not bulkhead.perform(encode_call(replace(CALL, key="step:2")))
    partner.may_answer.set()
    await partner.told.get()
