"""When is the work really done: nothing runs any more and every event is published. And is all of it there? Asked of the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

import asyncpg

POLL_S = 0.05
UNSETTLED = """
select (select count(*) from orders where is_running) + (select count(*) from unpublished_events)"""

LOST = """
select count(*) from unnest($1::uuid[]) promised (id) left join orders o on o.id = promised.id
where o.id is null"""
# Where no order may rest: a partner is waited for, or somebody has to look.
MAY_NOT_REST = """(is_running or needs_attention or set_aside is not null or payment_status in ('pending', 'in_doubt')
or status in ('created', 'cancelling', 'paid', 'confirmed'))"""
RESTLESS = f"select count(*) from orders where id = any($1::uuid[]) and {MAY_NOT_REST}"  # noqa: S608  a constant
WAITING = f"select count(*) from orders where {MAY_NOT_REST}"  # noqa: S608  a constant


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


async def lost(dsn: str, promised: Collection[str]) -> int:
    """How many of the orders that clients were promised do not exist."""
    connection = await asyncpg.connect(dsn)
    try:
        gone: int = await connection.fetchval(LOST, list(promised))
        return gone
    finally:
        await connection.close()


async def until_resting(dsn: str, promised: Collection[str], timeout_s: float) -> int:
    """Return when each of these orders stands where it may rest, or time is up; gives how many do not."""
    connection = await asyncpg.connect(dsn)
    try:
        until = time.monotonic() + timeout_s
        ids = list(promised)
        while True:
            restless: int = await connection.fetchval(RESTLESS, ids)
            if not restless or time.monotonic() > until:
                return restless
            await asyncio.sleep(POLL_S)
    finally:
        await connection.close()


async def waiting(dsn: str) -> int:
    """How many orders of all stand where none may rest."""
    connection = await asyncpg.connect(dsn)
    try:
        found: int = await connection.fetchval(WAITING)
        return found
    finally:
        await connection.close()
