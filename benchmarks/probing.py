"""How long is nothing answered? From a moment on, one command after the other is sent at a steady pace until one succeeds.

Each goes to another order, with a key of its own, and is sent after the moment; what counts is the first 2xx. All that were sent
are then waited for: what they promised has to be in the database.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import asyncpg
import msgspec

from benchmarks.client import Response
from benchmarks.tallied import Sender

EVERY_S = 0.02
# A version is committed with its events, so an event of that version is what shows the commit.
COMMITTED = """
select count(*) from unnest($1::uuid[], $2::integer[]) told (order_id, version)
where exists (select from order_events e where e.order_id = told.order_id and e.version = told.version)"""

Probe = tuple[str, bytes]
"""An order's id, and a command to it that answers 200 or 201 with the order."""


class NothingAnsweredError(RuntimeError):
    """No command succeeded in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """``seconds`` until the first success; ``slowest_s``: the longest that one of the others took to be answered, however it was."""

    seconds: float
    slowest_s: float
    statuses: Counter[int]
    promised: list[tuple[str, int]] = field(default_factory=list)


async def until_answered(sender: Sender, probes: Iterator[Probe], began_s: float, limit_s: float) -> Probed:
    """Probe from now on; ``began_s`` (monotonic) is the moment. Raises ``NothingAnsweredError`` after ``limit_s``."""
    statuses: Counter[int] = Counter()
    promised: list[tuple[str, int]] = []
    first = asyncio.get_running_loop().create_future()
    slowest_s = 0.0

    async def one(order_id: str, request: bytes) -> None:
        nonlocal slowest_s
        asked_s = time.monotonic()
        response = await sender.send(request)
        statuses[response.status] += 1
        slowest_s = max(slowest_s, time.monotonic() - asked_s)
        if response.status in {200, 201}:
            promised.append((order_id, version_of(response)))
            if not first.done():
                first.set_result(time.monotonic() - began_s)

    async with asyncio.TaskGroup() as running:
        for order_id, request in probes:
            if first.done() or time.monotonic() - began_s > limit_s:
                break
            running.create_task(one(order_id, request))
            await asyncio.wait([first], timeout=EVERY_S)
    if not first.done():
        raise NothingAnsweredError(f"within {limit_s:g} s: {dict(statuses)}")
    return Probed(seconds=first.result(), slowest_s=slowest_s, statuses=statuses, promised=promised)


def version_of(response: Response) -> int:
    """Read the version of the order that is shown."""
    version: int = msgspec.json.decode(response.body)["version"]
    return version


async def not_committed(dsn: str, promised: Sequence[tuple[str, int]]) -> int:
    """How many of the versions that were shown as done are not in the database."""
    connection = await asyncpg.connect(dsn)
    try:
        there: int = await connection.fetchval(COMMITTED, [one for one, _ in promised], [of for _, of in promised])
        return len(promised) - there
    finally:
        await connection.close()
