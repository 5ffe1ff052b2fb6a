"""``./dev shards`` as a program, on a real database; what a running service makes of it is in the acceptance tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from storage.writes.order_store import OrderStore
from tests.integration.storage.owning import add_process

PROGRAM_LIMIT_S = 60


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[OrderStore]:
    opened = await OrderStore.open(database_url, application_name="test-shards")
    yield opened
    await opened.close()


def shards(database_url: str, *arguments: str) -> tuple[int, str]:
    """The exit code, and what is printed."""
    done = subprocess.run(
        [sys.executable, "-m", "local.shards", *arguments],
        env={**os.environ, "ORDERSVC_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=PROGRAM_LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout or done.stderr


async def test_shards_are_added_and_drained(database_url: str, store: OrderStore) -> None:
    await add_process(store, "order-shard-0")
    assert shards(database_url, "add") == (0, "order-shard-1 of main is to be serving\n")
    assert shards(database_url, "add", "--standby") == (0, "order-shard-2 of main is to be standby\n")
    assert await store.shard_roles("main") == {"order-shard-1": "serving", "order-shard-2": "standby"}
    code, listed = shards(database_url, "list")
    assert (code, [line.split()[-1] for line in listed.splitlines()]) == (0, ["seen", "ago", "never", "never"])
    code, why = shards(database_url, "drain", "order-shard-0")
    assert (code, "the last one" in why) == (1, True)
    await add_process(store, "order-shard-1")
    assert shards(database_url, "drain", "order-shard-0")[0] == 0
    assert (await store.shard_roles("main"))["order-shard-0"] == "draining"


async def test_what_is_not_there_is_neither_drained_nor_added_to(database_url: str, store: OrderStore) -> None:
    code, why = shards(database_url, "add")
    assert (code, "no shard of a cell main runs" in why) == (1, True)
    await add_process(store, "order-shard-0", cell="blue")
    for arguments in (
        ("drain", "order-shard-0"),
        ("--cell", "blue", "drain", "bulkhead-user"),
    ):
        code, why = shards(database_url, *arguments)
        assert (code, "there is no shard" in why) == (1, True)
    assert shards(database_url, "--cell", "blue", "add") == (0, "order-shard-1 of blue is to be serving\n")
    assert await store.shard_roles("blue") == {"order-shard-1": "serving"}


def test_a_database_that_is_not_there_is_said_to_be_away() -> None:
    code, why = shards("postgresql://nobody@127.0.0.1:1/nothing", "list")
    assert (code, bool(why.strip())) == (2, True)
    assert "Traceback" not in why
