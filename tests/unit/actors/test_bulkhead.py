"""The bulkhead's process: a call that is handed over again while it is under way is made once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from actors.bulkhead import Bulkhead
from actors.router import Router
from actors.wire import encode_calls
from domain.calls import Call, CommitHold, Declined
from domain.commands import CallAnswered, Message

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
    bulkhead = Bulkhead("product", partner, cast("Router", partner), calls_max=8)
    assert bulkhead.perform(encode_calls([CALL])) == []
    assert bulkhead.perform(encode_calls([replace(CALL, may_have_happened=may_have_happened)])) == []
    partner.may_answer.set()
    assert await partner.told.get() == CallAnswered("step:1", 1, NO, may_have_happened)
    assert len(partner.made) == 1
    while bulkhead.under_way:
        await asyncio.sleep(0)
    bulkhead.perform(encode_calls([CALL]))
    assert await partner.told.get() == CallAnswered("step:1", 1, NO, may_have_happened=False)
