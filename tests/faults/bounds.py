"""Samples of what must stay bounded while the service runs (L12): connections, memory, the inbox."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg

from tests.acceptance.started import Started
from tests.faults.evidence import Bounds

EVERY_S = 3.0
LIMIT_S = 5.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Ours, and those that a fault takes, have no name.
CONNECTIONS = "select count(*) from pg_stat_activity where backend_type = 'client backend' and application_name <> ''"


async def sample(bounds: Bounds, started: Started, endpoints: dict[str, str]) -> None:
    """Keep the highest figures, for ever; what can't be asked at a moment is left out."""
    while True:
        bounds.resident_bytes = max(bounds.resident_bytes, await asyncio.to_thread(_resident_bytes, started))
        with contextlib.suppress(asyncpg.PostgresError, OSError, TimeoutError):
            connection: Any = await asyncpg.connect(endpoints["database"], timeout=LIMIT_S, command_timeout=LIMIT_S)
            try:
                bounds.connections = max(bounds.connections, await connection.fetchval(CONNECTIONS))
            finally:
                await connection.close()
        with contextlib.suppress(aio_pika.exceptions.AMQPError, OSError, RuntimeError, TimeoutError):
            async with await aio_pika.connect(endpoints["amqp"], timeout=LIMIT_S) as link:
                channel = await link.channel()
                inbox = await channel.declare_queue("ordersvc.inbox", passive=True, timeout=LIMIT_S)
                bounds.inbox_messages = max(bounds.inbox_messages, inbox.declaration_result.message_count or 0)
        await asyncio.sleep(EVERY_S)


def _resident_bytes(started: Started) -> int:
    """The largest resident set of one process of the service."""
    most = 0
    for pid in started.find_all("ray::") + started.find_all("uvicorn"):
        with contextlib.suppress(OSError):
            most = max(most, int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES)
    return most
