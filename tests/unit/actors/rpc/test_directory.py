"""The directory: where the others listen, what opens a link to them, and this process' own row."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from actors.rpc.directory import SEEN_EVERY_S, OwnRow, ProcessDirectory
from storage.errors import StorageUnavailable
from storage.processes import ProcessRow, ProcessState
from tests.unit.conftest import Run


class Table:
    """The rows, by process; how often each was written."""

    def __init__(self) -> None:
        self.rows: dict[str, ProcessRow] = {}
        self.written = 0
        self.is_away = False

    async def write(self, row: ProcessRow) -> None:
        if self.is_away:
            raise StorageUnavailable("away")
        self.written += 1
        self.rows[row.process] = row

    async def remove(self, process: str) -> None:
        if self.is_away:
            raise StorageUnavailable("away")
        self.rows.pop(process, None)

    async def find(self, cell: str, names: Sequence[str]) -> dict[str, ProcessRow]:
        rows = self.rows.values()
        return {row.name: row for row in rows if row.cell == cell and row.name in names and row.port is not None}


def own_row(table: Table, cell: str = "main", name: str = "supervisor") -> OwnRow:
    directory = ProcessDirectory(table, cell=cell, link_secret="s" * 32)
    return directory.row_of(process=f"{cell}-{name}", name=name, kind="supervisor", node="n", release="1", pid=7)


async def test_a_process_is_found_once_it_says_where_it_listens() -> None:
    table = Table()
    directory = ProcessDirectory(table, cell="main", link_secret="s" * 32)
    own = own_row(table)
    await own.write(ProcessState.STARTING)
    assert await directory.find(["supervisor"]) == {}
    await own.write(ProcessState.SERVING, host="10.0.0.1", port=4711)
    found = (await directory.find(["supervisor", "event-bridge"]))["supervisor"]
    assert (found.host, found.port, found.pid) == ("10.0.0.1", 4711, 7)
    assert found.secret == directory.key_of("main-supervisor")
    await own.write(ProcessState.DRAINING)
    assert table.rows["main-supervisor"].state is ProcessState.DRAINING
    assert (await directory.find(["supervisor"]))["supervisor"].port == 4711
    await own.remove()
    assert await directory.find(["supervisor"]) == {}


async def test_processes_of_another_cell_are_not_found() -> None:
    table = Table()
    await own_row(table, cell="green").write(ProcessState.SERVING, host="h", port=1)
    assert await ProcessDirectory(table, cell="main", link_secret="s" * 32).find(["supervisor"]) == {}


def test_the_key_of_a_link_is_of_one_incarnation_and_one_secret_and_shows_neither() -> None:
    directory = ProcessDirectory(Table(), cell="main", link_secret="s" * 32)
    keys = {
        directory.key_of("one"),
        directory.key_of("two"),
        ProcessDirectory(Table(), cell="main", link_secret="t").key_of("one"),
    }
    assert len(keys) == 3
    assert directory.key_of("one") == directory.key_of("one")
    assert not [key for key in keys if "s" * 32 in key or len(key) != 64]


def test_a_process_says_again_and_again_that_it_lives_whatever_the_database_does(run: Run) -> None:
    async def scenario() -> None:
        table = Table()
        own = own_row(table)
        keeping = own.keep()
        await asyncio.sleep(10 * SEEN_EVERY_S + 0.1)
        assert table.written == 10
        table.is_away = True
        await asyncio.sleep(10 * SEEN_EVERY_S)
        table.is_away = False
        table.rows.clear()
        await asyncio.sleep(SEEN_EVERY_S)
        assert table.rows.keys() == {"main-supervisor"}, "a row that was pruned meanwhile is there again"
        keeping.cancel()
        table.is_away = True
        await own.remove()

    run(scenario())
