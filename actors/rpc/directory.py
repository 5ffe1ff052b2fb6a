"""The directory of the service's processes: how they find each other without Ray.

A process keeps its own row in the table ``processes``; the others read there where it listens. The key that opens a connection to a
process is made of ``LINK_SECRET``, which every process of a cell has, and of the incarnation: a port that belongs to another
process by now does not open.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from actors.rpc.frames import Endpoint
from storage.errors import StorageUnavailable
from storage.processes import ProcessRow, ProcessState
from supervised import every

SEEN_EVERY_S = 2.0


class ProcessTable(Protocol):
    """The part of storage that has the rows."""

    async def write(self, row: ProcessRow) -> None: ...
    async def remove(self, process: str) -> None: ...
    async def find(self, cell: str, names: Sequence[str]) -> dict[str, ProcessRow]: ...


class ProcessDirectory:
    """The processes of one cell, as the table has them."""

    def __init__(self, table: ProcessTable, *, cell: str, link_secret: str) -> None:
        self._table = table
        self.cell = cell
        self._link_secret = link_secret.encode()

    async def find(self, names: Sequence[str]) -> Mapping[str, Endpoint]:
        """Where the latest incarnation of each of these listens; who listens nowhere is left out. Raises ``StorageUnavailable``."""
        rows = await self._table.find(self.cell, names)
        return {
            name: Endpoint(row.host, row.port, self.key_of(row.process), row.pid)
            for name, row in rows.items()
            if row.host is not None and row.port is not None
        }

    def key_of(self, process: str) -> str:
        """What opens a connection to this incarnation of a process."""
        return hmac.new(self._link_secret, process.encode(), "sha256").hexdigest()

    def row_of(self, *, process: str, name: str, kind: str, node: str, release: str, pid: int) -> OwnRow:
        """The row of a process that begins to start; it is yet to be written."""
        row = ProcessRow(process=process, name=name, kind=kind, cell=self.cell, node=node, release=release, pid=pid)
        return OwnRow(self._table, row)


class OwnRow:
    """The row of this process."""

    def __init__(self, table: ProcessTable, row: ProcessRow) -> None:
        self._table = table
        self.row = row

    async def write(self, state: ProcessState, *, host: str | None = None, port: int | None = None) -> None:
        """Change the state, and say where the process listens if that is given. Raises ``StorageUnavailable``."""
        self.row = replace(self.row, state=state, host=host or self.row.host, port=port or self.row.port)
        await self._table.write(self.row)

    def keep(self) -> asyncio.Task[None]:
        """Say every ``SEEN_EVERY_S`` that the process lives, until the task is cancelled."""
        return every("own-row", SEEN_EVERY_S, lambda: self._table.write(self.row), expected=(StorageUnavailable,))

    async def remove(self) -> None:
        """Leave the directory; where the database is away, the row is pruned some time."""
        with suppress(StorageUnavailable):
            await self._table.remove(self.row.process)
