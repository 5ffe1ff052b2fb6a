"""A process whose start fails leaves nothing open: it is begun again and again until it is up."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from actors.processes import composition, process
from actors.processes.bulkhead import Bulkhead
from actors.processes.order_shard import OrderShard
from actors.processes.process import Process
from actors.processes.supervisor import Supervisor
from actors.rpc.connection import RpcConnection
from domain.slices import PARTITIONS
from settings import Settings, release
from storage.errors import StorageUnavailable, WrongSchema
from tests.acceptance.started import ROOT, free_port
from tests.conftest import run_now

WITHIN_S = 20.0
CONNECTED = "select count(*) from pg_stat_activity where application_name = $1"
ROWS = "select process::text, name, kind, cell, node, release, host, port, pid, state from processes"
STARTS = 3
NOBODY = "http://127.0.0.1:9"
PROGRAM_LIMIT_S = 240
A_NEWER_RELEASE = "insert into schema_migrations (name, checksum) values ('9999_later.sql', '')"


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

    def forget(self, name: str) -> None:
        """Nobody was there."""

    def stop(self) -> None:
        self.is_stopped = True


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[NoPeers]:
    """The peers of each start. What is a whole process's own is left as it is: this one is the tests'."""
    made: list[NoPeers] = []
    monkeypatch.setattr(NoPeers, "made", made, raising=False)
    monkeypatch.setattr(composition, "make_clients", lambda *_: NoPeers())
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
        link_secret=SecretStr("l" * 32),
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
        (OrderShard, "order-shard-0", "alter table leases rename to away", "alter table away rename to leases"),
        (
            OrderShard,
            "order-shard-0",
            "alter table order_numbers rename to away",
            "alter table away rename to order_numbers",
        ),
        (Supervisor, "supervisor", "alter table partitions rename to away", ""),
    ],
)
async def test_a_start_that_fails_closes_what_it_opened(
    clients: list[NoPeers],
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
            await made.start()

    async def is_all_closed() -> bool:
        return await sql.fetchval(CONNECTED, name) == 0 and tasks() <= before

    try:
        await until(is_all_closed)
    except TimeoutError:
        left = [
            task for task in asyncio.all_tasks() if task.get_name() not in before and task is not asyncio.current_task()
        ]
        pytest.fail(f"{await sql.fetchval(CONNECTED, name)} connections and these tasks are left: {left}")
    assert [each.is_stopped for each in clients] == [True] * STARTS
    if mends:
        assert await sql.fetch(ROWS) == []
        await sql.execute(mends)
        endpoint = await made.start()
        assert endpoint.port
        assert not clients[-1].is_stopped
        assert await sql.fetchval(CONNECTED, name) > 0
        await made.stop()


async def test_a_process_says_where_it_listens_and_leaves_when_it_ends(
    clients: list[NoPeers], config: Settings, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    made = OrderShard("order-shard-0", config)
    endpoint = await made.start()
    (row,) = await sql.fetch(ROWS)
    assert dict(row) == {
        "process": made.id,
        "name": "order-shard-0",
        "kind": "shard",
        "cell": "main",
        "node": "127.0.0.1",
        "release": release(),
        "host": endpoint.host,
        "port": endpoint.port,
        "pid": os.getpid(),
        "state": "serving",
    }
    link = RpcConnection("order-shard-0", endpoint, ping_every_s=30, pings_missed_max=3)
    await link.open()

    async def owns_all() -> bool:
        return bool((await link.call("statistics"))["partitions"] == PARTITIONS)

    await until(owns_all)
    await made.stop()
    assert await sql.fetch(ROWS) == []
    assert await sql.fetchval(CONNECTED, "order-shard-0") == 0


async def test_a_process_does_not_start_on_the_database_of_another_release(
    clients: list[NoPeers], config: Settings, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """It would read and write rows in a form that the others do not expect."""
    await sql.execute(A_NEWER_RELEASE)
    made = OrderShard("order-shard-0", config)
    with pytest.raises(WrongSchema, match=r"9999_later\.sql"):
        await made.start()
    assert clients == []
    assert await sql.fetchval(CONNECTED, "order-shard-0") == 0
    await sql.execute("delete from schema_migrations where name = '9999_later.sql'")
    assert (await made.start()).port
    await made.stop()


async def _execute(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(statement)
    await connection.close()


@pytest.mark.parametrize(("partner", "keeps_copies"), [("payment", False), ("product", True), ("user", True)])
@pytest.mark.usefixtures("clients")
async def test_only_a_bulkhead_whose_answers_are_copied_has_a_copy_store(
    config: Settings, partner: str, *, keeps_copies: bool
) -> None:
    bulkhead = Bulkhead(f"bulkhead-{partner}", config)
    await bulkhead.start()
    assert any(name.startswith("reference_lookups_total:") for name in await bulkhead.statistics()) == keeps_copies


@pytest.mark.parametrize("module", ["actors.runtime", "api"])
def test_a_program_does_not_start_on_the_database_of_another_release_and_says_what_to_do(
    database_url: str, tmp_path: Path, module: str
) -> None:
    run_now(_execute(database_url, A_NEWER_RELEASE))
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={
            **os.environ,
            "ORDERSVC_DATABASE_URL": database_url,
            "ORDERSVC_STATE_DIR": str(tmp_path),
            "ORDERSVC_JWT_KEY": "k" * 32,
            "ORDERSVC_HTTP_PORT": str(free_port()),
        },
        capture_output=True,
        text=True,
        timeout=PROGRAM_LIMIT_S,
        check=False,
    )
    assert done.returncode not in {0, -signal.SIGKILL}
    assert "newer release: it has 9999_later.sql" in done.stderr + done.stdout
