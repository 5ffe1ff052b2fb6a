"""``resident``: what an active order costs in memory (three lines, one payment), and how fast orders leave and come back.

The real shard runs in a process of its own, without Ray around it. Orders come from the database by a message that the
rules refuse, so that each is loaded and changes nothing.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path

import asyncpg
import structlog
from pydantic import SecretStr

from actors.order.messages import encode_message
from benchmarks.database import make_database, private_postgres
from benchmarks.engine_shard import EngineShard
from benchmarks.filled import PREPARED, fill
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.processes import PAGE_BYTES
from benchmarks.report import Report, Table, Target, number
from domain.commands import Actor, ActorType, Deliver, Message
from domain.slices import PARTITIONS
from settings import Settings
from storage.migrate import migrate

SHARDS = 2
BATCH_ORDERS = 250
IDLE_S = 3600.0
LOOK_EVERY_S = 0.05
TIMEOUT_S = 600.0
TARGETS = (
    Target("bytes_per_order", 6 * 1024, at_least=False),
    Target("shards_gib_at_100000", 1, at_least=False),
)


async def measure(options: Options) -> Report:
    """Fill a database with prepared orders, then ask the measuring process what they cost in memory."""
    orders = options.size(100_000, 10_000)
    async with private_postgres() as postgres:
        dsn = await make_database(postgres, "resident")
        await migrate(dsn)
        await fill(dsn, orders, last=PREPARED)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.resident", stdin=pipe, stdout=pipe
        )
        said, _ = await asyncio.wait_for(process.communicate(json.dumps({"dsn": dsn}).encode()), TIMEOUT_S)
    if process.returncode:
        raise RuntimeError("the measuring process failed")
    return report(json.loads(said))


def report(found: dict[str, float]) -> Report:
    """Reckon what 100,000 orders take over all shards: the processes themselves, and the orders."""
    orders = found["orders"]
    per_order = (found["full_bytes"] - found["empty_bytes"]) / orders
    figures = {
        "bytes_per_order": per_order,
        "shards_gib_at_100000": (SHARDS * found["empty_bytes"] + 100_000 * per_order) / 2**30,
        "back_per_s": orders / found["back_s"],
        "passivated_per_s": orders / found["passivate_s"],
        "bytes_left_per_order": (found["left_bytes"] - found["empty_bytes"]) / orders,
        "orders": orders,
    }
    table = Table(
        "active orders in memory", ("figure", ""), tuple((key, number(value)) for key, value in figures.items())
    )
    note = f"a shard without orders has {found['empty_bytes'] / 2**20:.0f} MiB; {SHARDS} shards reckoned"
    return Report(name="resident", machine=describe(), figures=figures, targets=TARGETS, tables=(table,), notes=(note,))


async def _measure_here(dsn: str) -> dict[str, float]:
    """Load every order of the database into one shard, then let them go."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    config = Settings(database_url=SecretStr(dsn), shards=1, actor_idle_s=IDLE_S, log_level="WARNING")
    shard = EngineShard("order-shard-0", config)
    await shard.start()
    while shard.owned() < PARTITIONS:
        await asyncio.sleep(LOOK_EVERY_S)
    connection = await asyncpg.connect(dsn)
    ids = [row["id"] for row in await connection.fetch("select id::text from orders order by id")]
    await connection.close()
    await _come_back(shard, ids[:BATCH_ORDERS])
    gc.collect()
    empty_bytes = _resident_bytes()
    began_at = time.perf_counter()
    await _come_back(shard, ids[BATCH_ORDERS:])
    back_s = time.perf_counter() - began_at
    orders = shard.resident()
    gc.collect()
    full_bytes = _resident_bytes()
    shard.later_s = IDLE_S + 1
    began_at = time.perf_counter()
    while shard.resident():
        shard.passivate()
        await asyncio.sleep(0)
    passivate_s = time.perf_counter() - began_at
    gc.collect()
    return {
        "orders": float(orders - BATCH_ORDERS),
        "empty_bytes": float(empty_bytes),
        "full_bytes": float(full_bytes),
        "left_bytes": float(_resident_bytes()),
        "back_s": back_s,
        "passivate_s": passivate_s,
    }


async def _come_back(shard: EngineShard, ids: list[str]) -> None:
    """Send each order a delivery that it has to refuse: nothing was shipped."""
    actor = Actor(ActorType.STAFF, "bench")
    for first in range(0, len(ids), BATCH_ORDERS):
        answers = []
        for order_id in ids[first : first + BATCH_ORDERS]:
            message = Message(id="no-delivery", body=Deliver("none"), actor=actor)
            answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            shard.shard.deliver(answer.set_result, encode_message(order_id, message))
            answers.append(answer)
        await asyncio.gather(*answers)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure_here(json.loads(sys.stdin.read())["dsn"]))))
