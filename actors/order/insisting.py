"""What has to be known before anything else can be done: the database is asked until it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from storage.errors import CommitUnknown, StorageUnavailable

T = TypeVar("T")


async def ask_until_answered(ask: Callable[[], Awaitable[T]], *, first_s: float, max_s: float) -> T:
    """Ask again while the database is away, after waits that double from ``first_s`` to ``max_s``, for as long as that takes."""
    wait_s = first_s
    while True:
        try:
            return await ask()
        except (StorageUnavailable, CommitUnknown):
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, max_s)
