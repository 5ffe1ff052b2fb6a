"""Which process owns an order now, as far as a router can know it: the tables say, and are read again when they may have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from actors.rpc.process_names import SHARD
from domain.slices import dedicated_partition, partition_of
from supervised import awaited, every

log = structlog.get_logger()


class Ownership:
    """Finds the owners of orders."""

    def __init__(
        self,
        read_owners: Callable[[], Awaitable[Mapping[str, str | None]]],
        forget: Callable[[str], None],
        *,
        read_every_s: float = 1.0,
    ) -> None:
        """``read_owners`` gives partition -> name of the process that owns it; ``forget`` gets the name of a process of one order that
        owns nothing any more.
        """
        self._read_owners = read_owners
        self._forget = forget
        self._read_every_s = read_every_s
        self._owners: Mapping[str, str | None] = {}
        self._reading: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the owners, and go on reading them now and then."""
        await self.refresh()
        self._keeper = every("read-owners-again", self._read_every_s, self.refresh)

    async def stop(self) -> None:
        """Stop reading owners."""
        if self._keeper is not None:
            self._keeper.cancel()

    def owner_of(self, order_id: str) -> str | None:
        """Give the name of the process that owns an order, or None where it is not known."""
        return self._owners.get(dedicated_partition(order_id)) or self._owners.get(partition_of(order_id))

    async def refresh(self) -> None:
        """Read the owners; several callers share one reading. A reading that fails leaves the last one."""
        if self._reading is None:
            self._reading = awaited("read-owners", self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        try:
            former, self._owners = self._owners, await self._read_owners()
        except Exception as error:  # noqa: BLE001 - without a new reading the last one stands
            log.warning("owners_not_read", error=str(error))
        else:
            for name in set(former.values()) - set(self._owners.values()):
                if name is not None and not name.startswith(SHARD):
                    self._forget(name)
        finally:
            self._reading = None
