"""Which process owns an order now, as far as a router can know it: the owners table, and which shards are up.

The owners table decides. Where the owner by the table is gone, or says repeatedly that the order is not its own, the next shard in
the fixed order is asked to take the order's group over.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec
import structlog

from actors.groups import Layout
from domain.slices import DEDICATED
from supervised import awaited, supervised

log = structlog.get_logger()

DENIALS_MAX = 2  # the first may come of an owners table that was read a moment too early


class Shards(Protocol):
    """Which shards are up (``peers.py``, or a test's own)."""

    def is_up(self, name: str) -> bool: ...
    def forget(self, name: str) -> None: ...


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The process to ask for an order. ``take``: it has to take ``group`` over for that. ``reading``: the number of the reading of
    the owners table that this is from.
    """

    process: str
    group: str
    take: bool
    reading: int


class Ownership:
    """Finds the owners of orders."""

    def __init__(
        self,
        layout: Layout,
        shards: Shards,
        read_owners: Callable[[], Awaitable[Mapping[str, str]]],
        *,
        read_every_s: float,
        dedicated_max_orders: int = 4096,
    ) -> None:
        """``read_owners`` gives group -> process as the owners table has it. ``dedicated_max_orders``: so many orders with a process
        of their own are remembered.
        """
        self._layout = layout
        self._shards = shards
        self._read_owners = read_owners
        self._read_every_s = read_every_s
        self._dedicated_max_orders = dedicated_max_orders
        self._owners: Mapping[str, str] = {}
        self._dedicated: OrderedDict[str, str] = OrderedDict()
        self._denials: dict[str, list[Owner]] = {}  # by group: the answers of its owner by the table that it is not
        self._looked_up: set[str] = set()  # dedicated groups whose process is looked for
        self._looked_up_lately: set[str] = set()
        self._readings = 0
        self._reading: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the owners, and go on reading them now and then."""
        await self.refresh()
        self._keeper = supervised("read-owners-again", self._keep)

    async def stop(self) -> None:
        """Stop reading owners."""
        if self._keeper is not None:
            self._keeper.cancel()

    def owner_of(self, order_id: str) -> Owner | None:
        """Give the process to ask for an order now, or None while no shard is up that could have it."""
        group = self._dedicated.get(order_id) or self._layout.group_of(order_id)
        if group.startswith(DEDICATED):
            self._looked_up_lately.add(group)
        home = self._layout.home_of(group)
        owner = self._owners.get(group, home)
        if self._shards.is_up(owner) and not self._is_denied_by(owner, group):
            return Owner(process=owner, group=group, take=False, reading=self._readings)
        for name in (home, *self._layout.stand_ins(group)):
            if self._shards.is_up(name):
                return Owner(process=name, group=group, take=True, reading=self._readings)
        return None

    def is_owner(self, owner: Owner) -> None:
        """The process has answered for an order of the group: it owns it."""
        self._denials.pop(owner.group, None)

    def not_owner(self, order_id: str, owner: Owner, moved_to: str) -> None:
        """The process says that it does not own the order; ``moved_to``: the group that holds this order alone, or empty.

        A process may have taken a group and not know it: it died since, or never heard the answer. Then no process hosts the group,
        and another one has to be asked to take it over.
        """
        if moved_to:
            self._denials.pop(owner.group, None)
            self._dedicated[order_id] = moved_to
            self._dedicated.move_to_end(order_id)
            if len(self._dedicated) > self._dedicated_max_orders:
                self._dedicated.popitem(last=False)
        elif owner.group.startswith(DEDICATED):
            self._dedicated.pop(order_id, None)
        elif not owner.take:
            denials = self._denials.setdefault(owner.group, [])
            if denials and denials[-1].process != owner.process:
                denials.clear()
            if len(denials) < DENIALS_MAX and not any(denial.reading == owner.reading for denial in denials):
                denials.append(owner)

    async def refresh(self) -> None:
        """Read the owners table; several callers share one reading. A reading that fails leaves the last one."""
        if self._reading is None:
            self._reading = awaited("read-owners", self._read())
        await asyncio.shield(self._reading)

    def _is_denied_by(self, process: str, group: str) -> bool:
        denials = self._denials.get(group, [])
        return len(denials) == DENIALS_MAX and denials[-1].process == process

    async def _read(self) -> None:
        try:
            self._owners = await self._read_owners()
            self._readings += 1
        except Exception as error:  # noqa: BLE001 - whatever keeps us from reading, the last reading stands
            log.warning("owners_not_read", error=str(error))
        finally:
            self._reading = None

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._read_every_s)
            await self.refresh()
            self._tidy()

    def _tidy(self) -> None:
        """Look no more for the processes of dedicated orders that are closed, once no message has gone there since the last time."""
        self._looked_up |= self._looked_up_lately
        for group in [g for g in self._looked_up - self._looked_up_lately if g not in self._owners]:
            self._looked_up.discard(group)
            self._shards.forget(group)
        self._looked_up_lately.clear()
