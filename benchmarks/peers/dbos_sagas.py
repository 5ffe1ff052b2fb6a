"""A program: the saga's five steps as a DBOS workflow. Runs in the peers' own environment and imports nothing of ours.

The first line of standard input is ``{"dsn"}``; each further line ``{"in_flight", "sagas"}`` is answered by a line
``{"seconds", "latencies_s"}``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from dbos import DBOS  # type: ignore[import-not-found]

STEPS = ("validate", "pay", "confirm", "prepare", "ship")
DOCUMENT_BYTES = 1500


def _step(name: str) -> Any:
    """Make a durable step whose partner answers at once; its result is a document of an order's size, as ours is."""

    async def step(order_id: str) -> dict[str, str]:
        return {"order_id": order_id, "status": name, "document": "x" * DOCUMENT_BYTES}

    step.__name__ = step.__qualname__ = name
    return DBOS.step(name=name)(step)


_steps = [_step(name) for name in STEPS]


async def _saga(order_id: str) -> str:
    for step in _steps:
        await step(order_id)
    return order_id


saga = DBOS.workflow(name="saga")(_saga)


async def measure(in_flight: int, sagas: int, tag: str) -> dict[str, Any]:
    """Run ``sagas`` workflows, ``in_flight`` at a time."""
    latencies_s: list[float] = []
    indexes = iter(range(sagas))

    async def worker() -> None:
        for index in indexes:
            started_at = time.perf_counter()
            await saga(f"{tag}-{index}")
            latencies_s.append(time.perf_counter() - started_at)

    began_at = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return {"seconds": time.perf_counter() - began_at, "latencies_s": latencies_s}


async def main() -> None:
    """Answer each line until standard input ends."""
    dsn = json.loads(sys.stdin.readline())["dsn"]
    DBOS(
        config={
            "name": "bench",
            "system_database_url": dsn,
            "sys_db_pool_size": 20,
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    print(json.dumps({"ready": True}), flush=True)
    number = 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        number += 1
        print(json.dumps(await measure(asked["in_flight"], asked["sagas"], f"round-{number}")), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
