"""Peers are looked up in the directory, all that are missing at once: quickly at first, and until they are there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from actors.rpc import clients as module
from actors.rpc.clients import SILENT, ProcessClients
from actors.rpc.frames import Endpoint
from storage.errors import StorageUnavailable
from tests.unit.conftest import Run


class Directory:
    """The directory, and every question that it was asked."""

    def __init__(self) -> None:
        self.rows: dict[str, Endpoint] = {}
        self.asked: list[tuple[float, list[str]]] = []
        self.is_away = False

    async def find(self, names: Sequence[str]) -> Mapping[str, Endpoint]:
        self.asked.append((asyncio.get_running_loop().time(), list(names)))
        if self.is_away:
            raise StorageUnavailable("away")
        return {name: self.rows[name] for name in names if name in self.rows}


class Link:
    """A link to a process that lives if its port is not among ``dead``; one that hangs takes all the time it gets."""

    dead: set[int]
    hanging: set[int]
    opened: list[Link]
    waits: list[float | None]

    def __init__(self, name: str, endpoint: Endpoint, **_: object) -> None:
        del name
        self.endpoint = endpoint
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self, within_s: float | None = None) -> None:
        self.waits.append(within_s)
        if self.endpoint.port in self.dead:
            raise ConnectionRefusedError
        if self.endpoint.port in self.hanging:
            await asyncio.sleep(within_s or 2.0)
            raise TimeoutError
        self.opened.append(self)

    def close(self, why: str = "closed") -> None:
        if not self.lost.done():
            self.lost.set_result(why)


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> type[Link]:
    monkeypatch.setattr(module, "RpcConnection", Link)
    for name, value in (("dead", set()), ("hanging", set()), ("opened", []), ("waits", [])):
        monkeypatch.setattr(Link, name, value, raising=False)
    return Link


def some_peers(directory: Directory) -> ProcessClients:
    return ProcessClients(directory, ping_every_s=0.5, pings_missed_max=4)


def at(port: int) -> Endpoint:
    return Endpoint("127.0.0.1", port, f"key-{port}", port)


def test_all_that_are_missing_are_looked_up_by_one_question(run: Run) -> None:
    async def scenario() -> None:
        directory = Directory()
        clients = some_peers(directory)
        names = [f"order-shard-{index}" for index in range(8)]
        for name in names:
            clients.get(name)
        await asyncio.sleep(1.0)
        assert {tuple(asked) for _, asked in directory.asked} == {tuple(names)}
        assert 18 <= len(directory.asked) <= 22
        directory.rows = {name: at(index + 1) for index, name in enumerate(names)}
        await asyncio.sleep(0.1)
        assert sorted(clients.up()) == names
        before = len(directory.asked)
        await asyncio.sleep(60.0)
        assert len(directory.asked) == before, "nothing is asked while all are there"
        clients.stop()

    run(scenario())


def test_what_is_missing_for_long_is_looked_up_once_a_second_and_holds_no_other_up(run: Run) -> None:
    async def scenario() -> None:
        directory = Directory()
        clients = some_peers(directory)
        clients.get("order-gone")
        await asyncio.sleep(60.0)
        late = [at_s for at_s, _ in directory.asked if at_s > 11.0]
        assert 45 <= len(late) <= 50
        clients.get("order-shard-0")
        directory.rows["order-shard-0"] = at(1)
        await asyncio.sleep(0.1)
        assert clients.is_up("order-shard-0")
        clients.stop()

    run(scenario())


def test_a_process_that_died_is_found_where_the_next_one_listens(run: Run) -> None:
    async def scenario() -> None:
        directory = Directory()
        clients = some_peers(directory)
        told: list[tuple[str, ...]] = []
        clients.on_lost = lambda name, why: told.append((name, why))
        clients.on_found = lambda name: told.append((name,))
        directory.rows["bulkhead-user"] = at(1)
        client = clients.get("bulkhead-user")
        await asyncio.sleep(0.1)
        Link.dead.add(1)
        Link.opened[0].close("ended")
        await asyncio.sleep(1.0)
        assert not clients.is_up(client.name)
        assert not client.found.is_set()
        directory.rows["bulkhead-user"] = at(2)
        await asyncio.sleep(0.06)
        assert clients.is_up(client.name)
        assert client.endpoint == at(2)
        assert told == [("bulkhead-user",), ("bulkhead-user", "ended"), ("bulkhead-user",)]
        clients.stop()

    run(scenario())


def test_one_that_hangs_is_not_found_again_and_the_one_in_its_place_is_found_soon(run: Run) -> None:
    async def scenario() -> None:
        directory = Directory()
        clients = some_peers(directory)
        directory.rows["order-shard-0"] = at(1)
        client = clients.get("order-shard-0")
        await asyncio.sleep(0.1)
        Link.hanging.add(1)
        Link.opened[0].close(SILENT)
        await asyncio.sleep(3.2)
        assert not clients.is_up(client.name)
        assert set(Link.waits[1:]) == {0.5}, "little time is given to one that hung"
        directory.rows["order-shard-0"] = at(2)
        await asyncio.sleep(0.6)
        assert client.endpoint == at(2)
        assert clients.is_up(client.name)
        clients.stop()

    run(scenario())


def test_one_that_hung_for_a_while_only_is_found_again(run: Run) -> None:
    async def scenario() -> None:
        directory = Directory()
        clients = some_peers(directory)
        directory.rows["order-shard-0"] = at(1)
        client = clients.get("order-shard-0")
        await asyncio.sleep(0.1)
        Link.opened[0].close(SILENT)
        await asyncio.sleep(0.1)
        assert clients.is_up(client.name)
        clients.stop()

    run(scenario())


def test_a_directory_that_is_away_is_asked_again(run: Run) -> None:
    async def scenario() -> None:
        directory = Directory()
        directory.is_away = True
        directory.rows["supervisor"] = at(1)
        clients = some_peers(directory)
        client = clients.get("supervisor")
        await asyncio.sleep(5.0)
        assert not clients.is_up(client.name)
        directory.is_away = False
        await asyncio.sleep(0.1)
        assert clients.is_up(client.name)
        clients.stop()

    run(scenario())


def test_who_is_forgotten_is_looked_for_no_more(run: Run) -> None:
    async def scenario() -> None:
        directory = Directory()
        clients = some_peers(directory)
        clients.get("order-closed")
        await asyncio.sleep(0.2)
        clients.forget("order-closed")
        await asyncio.sleep(0.06)
        before = len(directory.asked)
        await asyncio.sleep(60.0)
        assert len(directory.asked) == before
        clients.stop()

    run(scenario())
