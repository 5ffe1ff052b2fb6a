"""The three private servers together: started side by side, since each waits mostly for itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

from local.postgres import PostgreSQL
from local.rabbitmq import RabbitMQ
from local.state import State
from local.valkey import Valkey


class Servers:
    """PostgreSQL, Redis and RabbitMQ with all their data in one folder."""

    def __init__(self, folder: Path) -> None:
        self._state = state = State(folder)
        self.postgres = PostgreSQL(state)
        self.valkey = Valkey(state)
        self.rabbitmq = RabbitMQ(state)

    async def start(self) -> None:
        """Return when all three answer. Raises ``LocalError``; those that did start are then stopped again."""
        starts = (self.postgres.start(), self.valkey.start(), self.rabbitmq.start())
        results = await asyncio.gather(*starts, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            await self.stop()
            raise failures[0]

    async def stop(self) -> None:
        """End all three cleanly; their data stays."""
        await asyncio.gather(self.postgres.stop(), self.valkey.stop(), self.rabbitmq.stop())
        self._state.clear_elsewhere()
