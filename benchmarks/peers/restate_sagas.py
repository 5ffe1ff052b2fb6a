"""A program: the saga's five steps as a Restate handler. Runs in the peers' environment and imports nothing of ours.

Usage: ``python restate_sagas.py PORT``; it serves HTTP/2 in clear on loopback until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import restate  # type: ignore[import-not-found]
from hypercorn.asyncio import serve  # type: ignore[import-not-found]
from hypercorn.config import Config  # type: ignore[import-not-found]

STEPS = ("validate", "pay", "confirm", "prepare", "ship")
DOCUMENT_BYTES = 1500


async def _run(context: Any, order_id: str) -> str:
    """Take five durable steps whose partners answer at once; each result is a document of an order's size."""
    for name in STEPS:

        async def step(status: str = name) -> dict[str, str]:
            return {"order_id": order_id, "status": status, "document": "x" * DOCUMENT_BYTES}

        await context.run_typed(name, step)
    return order_id


saga = restate.Service("Saga")
saga.handler(name="run")(_run)


def main() -> None:
    """Serve until the process is ended."""
    config = Config()
    config.bind = [f"127.0.0.1:{int(sys.argv[1])}"]
    config.loglevel = "ERROR"
    asyncio.run(serve(restate.app(services=[saga]), config))


if __name__ == "__main__":
    main()
