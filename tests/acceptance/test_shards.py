"""The number of shards changes while clients are at work, by the command for operators: no request fails, and every law holds."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import asyncpg
import pytest

from tests.acceptance.started import ROOT, Started
from tests.faults.under_load import SETTINGS, under_load

SEED = 11
CLIENTS = 8
LOOK_EVERY_S = 0.2
SHARED_OUT_LIMIT_S = 90.0
COMMAND_LIMIT_S = 60.0
PARTITIONS = 64
FINISHED_EACH = 8
OWNERS = """
select r.name, count(*) from partitions p left join processes r using (process) where p.partition not like 'order-%' group by r.name
"""
FINISHED = "select count(*) from orders where not is_open"

Owned = dict[str | None, int]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A service of two shards that serve."""
    settings = {**SETTINGS, "SHARDS": "2", "SHARDS_SERVING": "2", "LOG_LEVEL": "WARNING", "RATE_LIMIT_PER_MIN": "0"}
    with Started(tmp_path_factory.mktemp("shards") / "state", settings) as started:
        yield started


def dev_shards(service: Started, *arguments: str) -> str:
    """What ``./dev shards`` prints."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ORDERSVC_")}
    done = subprocess.run(
        [sys.executable, str(ROOT / "dev"), "shards", *arguments],
        env={**own, "ORDERSVC_STATE_DIR": str(service.folder)},
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Changes:
    """Changes the number of shards, and waits until they have shared the partitions out and orders were finished by them."""

    def __init__(self, service: Started) -> None:
        self._service = service
        self._database = service.endpoints()["database"]
        self.owned: list[Owned] = []

    async def run(self) -> None:
        """From two to four, and from four to one."""
        await self._until_shared(lambda owned: len(owned) == 2)
        for _ in range(2):
            await self._do("add")
        await self._until_shared(lambda owned: len(owned) == 4)
        # Among them the two that the settings ask for: any may go.
        for number in (0, 3, 1):
            await self._do("drain", f"order-shard-{number}")
        await self._until_shared(lambda owned: owned == {"order-shard-2": PARTITIONS})

    async def _do(self, *arguments: str) -> None:
        await asyncio.to_thread(dev_shards, self._service, *arguments)

    async def _until_shared(self, is_so: Callable[[Owned], bool]) -> None:
        stop_s = time.monotonic() + SHARED_OUT_LIMIT_S
        connection = await asyncpg.connect(self._database)
        try:
            owned: Owned = {}
            while not is_so(owned) or None in owned:
                assert time.monotonic() < stop_s, f"the partitions are not shared out: {owned}"
                await asyncio.sleep(LOOK_EVERY_S)
                owned = {row["name"]: row["count"] for row in await connection.fetch(OWNERS)}
            self.owned.append(owned)
            finished = await connection.fetchval(FINISHED)
            while await connection.fetchval(FINISHED) < finished + FINISHED_EACH:
                assert time.monotonic() < stop_s, "orders are not finished"
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            await connection.close()


def test_the_number_of_shards_changes_under_load_and_no_request_fails(service: Started) -> None:
    changes = Changes(service)
    came = asyncio.run(under_load(service, SEED, CLIENTS, changes.run))
    print(came, changes.owned)
    assert [sum(owned.values()) for owned in changes.owned] == [PARTITIONS] * 3
    assert not came.failed, "\n".join(map(str, came.failed))
    assert not came.violations, "\n".join(map(str, came.violations))
    assert came.finished >= 3 * FINISHED_EACH, came
    listed = dev_shards(service, "list")
    assert [line.split()[2:5] for line in listed.splitlines()[1:] if "order-shard-2" in line] == [
        ["order-shard-2", "serving", str(PARTITIONS)]
    ]
