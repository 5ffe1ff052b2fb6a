"""A process whose start fails leaves nothing open: whoever looks for it has it start anew, again and again until it is up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from actors import composition
from actors.processes import process
from actors.processes.bulkhead import Bulkhead
from actors.processes.order_shard import OrderShard
from actors.processes.process import Process
from actors.processes.supervisor import Supervisor
from settings import Settings
from storage.errors import StorageUnavailable

WITHIN_S = 20.0
CONNECTED = "select count(*) from pg_stat_activity where application_name = $1"
STARTS = 3
NOBODY = "http://127.0.0.1:9"


class NoPeers:
    """Nobody else is there; whether this was given up is known."""

    made: list[NoPeers]

    def __init__(self) -> None:
        self.is_stopped = False
        self.on_found: Any = None
        self.on_lost: Any = None
        self.made.append(self)

    def get(self, name: str) -> Any:
        return SimpleNamespace(name=name, is_up=False)

    def stop(self) -> None:
        self.is_stopped = True


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> list[NoPeers]:
    """The peers of each start. What is a whole process's own is left as it is: this one is the tests'."""
    made: list[NoPeers] = []
    monkeypatch.setattr(NoPeers, "made", made, raising=False)
    monkeypatch.setattr(composition, "make_peers", lambda _: NoPeers())
    monkeypatch.setattr(process, "node_address", lambda: "127.0.0.1")
    monkeypatch.setattr(process, "set_up_logs", lambda *_, **__: None)
    monkeypatch.setattr(process, "keep_garbage_collection_rare", lambda: None)
    return made


@pytest.fixture
def config(database_url: str, amqp_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        amqp_url=SecretStr(amqp_url),
        redis_url=SecretStr(redis_url),
        shards=1,
        product_url=NOBODY,
        payment_url=NOBODY,
        user_url=NOBODY,
    )


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def tasks() -> set[str]:
    """What runs on the event loop beside the test: the names of its tasks."""
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await is_so():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "name", "breaks", "mends"),
    [
        (OrderShard, "order-shard-0", "alter sequence epochs rename to away", "alter sequence away rename to epochs"),
        (
            OrderShard,
            "order-shard-0",
            "alter table order_numbers rename to away",
            "alter table away rename to order_numbers",
        ),
        (Supervisor, "supervisor", "alter table orders rename dedicated_group to away", ""),
    ],
)
async def test_a_start_that_fails_closes_what_it_opened(
    peers: list[NoPeers],
    config: Settings,
    sql: asyncpg.Connection[asyncpg.Record],
    kind: type[Process],
    name: str,
    breaks: str,
    mends: str,
) -> None:
    before = tasks()
    await sql.execute(breaks)
    made = kind(name, config)
    for _ in range(STARTS):
        with pytest.raises(StorageUnavailable):
            await made.hello()

    async def is_all_closed() -> bool:
        return await sql.fetchval(CONNECTED, name) == 0 and tasks() <= before

    try:
        await until(is_all_closed)
    except TimeoutError:
        left = [
            task for task in asyncio.all_tasks() if task.get_name() not in before and task is not asyncio.current_task()
        ]
        pytest.fail(f"{await sql.fetchval(CONNECTED, name)} connections and these tasks are left: {left}")
    assert [each.is_stopped for each in peers] == [True] * STARTS
    if mends:
        await sql.execute(mends)
        endpoint = await made.hello()
        assert endpoint.port
        assert not peers[-1].is_stopped
        assert await sql.fetchval(CONNECTED, name) > 0


@pytest.mark.parametrize(("partner", "keeps_copies"), [("payment", False), ("product", True), ("user", True)])
@pytest.mark.usefixtures("peers")
async def test_only_a_bulkhead_whose_answers_are_copied_has_a_copy_store(
    config: Settings, partner: str, *, keeps_copies: bool
) -> None:
    bulkhead = Bulkhead(f"bulkhead-{partner}", config)
    await bulkhead.hello()
    assert ("copies" in tasks()) == keeps_copies
    assert any(name.startswith("copies_") for name in await bulkhead.statistics()) == keeps_copies
