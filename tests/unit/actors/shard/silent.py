"""What surrounds a shard in tests: a publisher that confirms nothing, and partners that answer nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Self

from actors.order.messages import decode_call
from domain.calls import Call, Partner
from messaging.publishing.publisher import OnConfirmed


class Silent:
    """Takes all calls, and keeps them. What is offered to be published is for each test to take."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def make_publisher(self, *, on_confirmed: OnConfirmed) -> Self:
        """Give itself; nothing is ever confirmed."""
        del on_confirmed
        return self

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def statistics(self) -> dict[str, float]:
        return {}

    def forget(self, order_ids: Iterable[str]) -> None: ...

    def leave(self, order_ids: Iterable[str]) -> None: ...

    def perform(self, partner: Partner, call: bytes) -> asyncio.Future[bool]:
        """Take a call; it is never answered."""
        del partner
        self.calls.append(decode_call(call))
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        taken.set_result(True)
        return taken
