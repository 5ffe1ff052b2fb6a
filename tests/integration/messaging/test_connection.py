from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection

from messaging.connection import BrokerConnection, BrokerConnectionPolicy

WITHIN_S = 10.0
HASTY = BrokerConnectionPolicy(close_timeout_s=0.2)


async def test_a_link_ends_although_its_user_goes_on_waiting_for_an_answer(amqp_url: str) -> None:
    """As a call to the broker does that is cancelled half-way: a process that was to end stayed for ever."""
    is_waiting = asyncio.Event()
    closed: list[AbstractConnection] = []

    async def use(connection: AbstractConnection) -> None:
        closed.append(connection)
        is_waiting.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    running = asyncio.create_task(BrokerConnection(amqp_url, name="stubborn", use=use, policy=HASTY).run())
    async with asyncio.timeout(WITHIN_S):
        await is_waiting.wait()
        running.cancel()
        await asyncio.wait([running])
    assert running.cancelled()
    assert closed[0].is_closed


async def test_a_link_ends_although_the_cancellation_was_lost_while_it_connected(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by ``wait_for`` of Python 3.11, where it comes together with the result."""
    is_connected = asyncio.Event()
    connect = aio_pika.connect

    async def lose_the_cancellation(*arguments: Any, **options: Any) -> AbstractConnection:
        connection: AbstractConnection = await connect(*arguments, **options)
        is_connected.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return connection

    async def use(_: AbstractConnection) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(aio_pika, "connect", lose_the_cancellation)
    running = asyncio.create_task(BrokerConnection(amqp_url, name="deaf", use=use, policy=HASTY).run())
    async with asyncio.timeout(WITHIN_S):
        await is_connected.wait()
        running.cancel()
        await asyncio.wait([running])
    assert running.cancelled()
