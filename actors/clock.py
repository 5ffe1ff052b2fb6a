"""The database's clock, as this process estimates it: never ahead of it, so that no deadline fires early (faults.md, L11)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta


class DatabaseClock:
    """Reads the database's time now and then and counts on from there with the monotonic clock.

    The reading is taken when the answer arrives, so the estimate lags by the answer's way back and never runs ahead.
    """

    def __init__(self, read: Callable[[], Awaitable[datetime]], monotonic: Callable[[], float]) -> None:
        self._read = read
        self._monotonic = monotonic
        self._base = datetime(1970, 1, 1, tzinfo=UTC)
        self._base_s = 0.0

    async def synchronise(self) -> None:
        """Read the database's clock once; raises what the reader raises."""
        base = await self._read()
        self._base, self._base_s = base, self._monotonic()

    def now(self) -> datetime:
        """The estimate: timezone-aware UTC."""
        return self._base + timedelta(seconds=self._monotonic() - self._base_s)

    async def keep(self, every_s: float, on_error: Callable[[Exception], None]) -> None:
        """Synchronise for ever; a reading that fails keeps the last one."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.synchronise()
            except Exception as error:  # noqa: BLE001 - whatever fails, the loop must go on; the error is reported
                on_error(error)
