"""When is the work really done: nothing runs any more and every event is published. Asked of the database itself."""

from __future__ import annotations

import asyncio
import time

import asyncpg

POLL_S = 0.05
UNSETTLED = """
select (select count(*) from orders where is_running) + (select count(*) from unpublished_events)"""


class NotSettledError(RuntimeError):
    """Work was still going on when the time was up."""


async def until_settled(dsn: str, timeout_s: float) -> None:
    """Return when no order waits for a partner and no event for RabbitMQ. Raises ``NotSettledError``."""
    connection = await asyncpg.connect(dsn)
    try:
        until = time.monotonic() + timeout_s
        while left := await connection.fetchval(UNSETTLED):
            if time.monotonic() > until:
                raise NotSettledError(f"{left} orders and events are still under way after {timeout_s:g} s")
            await asyncio.sleep(POLL_S)
    finally:
        await connection.close()
