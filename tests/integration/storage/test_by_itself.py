"""What runs by itself, whatever anybody asks for: polls, sweeps, rounds and chores. None of it may read a table that grows.

Each statement is run on grown tables, with the plan that the service would have: by a writer's settings, whose plans are made once
for any argument. What counts is how many rows it looked at, not how long that took.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

import storage
from domain.reference_data import ReferenceKind, ReferenceVersion
from domain.slices import PARTITIONS, slices_of
from storage import (
    answers,
    cursor_keys,
    figures,
    flush,
    housekeeping,
    loading,
    migrate,
    ownership,
    processes,
    reference_data,
    snapshots,
)
from storage.figures import COUNTED_AFTER_S
from storage.postgres import WRITER_SETTINGS
from tests.conftest import run_now
from tests.integration.storage.grown import OPEN_ORDERS, PROCESS, TOKEN, grow
from tests.integration.storage.orders import a_commit, an_order, next_of

ORDERS = 60_000
# The partitions that one of four shards owns, and one of a single order.
OF_FOUR = frozenset(map(str, range(1, PARTITIONS, 4)))
OWN = f"'{{{','.join(OF_FOUR)}}}', '{{order-1}}'"
OWN_SLICES = f"'{{{','.join(map(str, slices_of(OF_FOUR)))}}}'"
SOME = "array['00000000-0000-8000-8000-000000000001', '00000000-0000-8000-8000-00000001d4bf']::uuid[]"
ONE = "'00000000-0000-8000-8000-000000000001'"
LEASE = f"'{PROCESS}', '{TOKEN}'"
OTHER_PROCESS = f"{PROCESS[:-1]}1"
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Running:
    """A statement that runs by itself, and how much it may look at: rows of tables and entries of indexes."""

    of: str
    statement: str
    arguments: str
    rows_max: int


# The second is how much is to be done at once; a statement may look at a few times that, whatever is stored beside it.
BY_ITSELF = {
    "loading.CORRECT": Running("poll of a shard", loading.CORRECT, f"{OWN}, 5, 2000", 4 * OPEN_ORDERS),
    "loading.DUE": Running("poll of a shard", loading.DUE, f"{OWN}, 5, 500", 2 * OPEN_ORDERS),
    "loading.RUNNING": Running(
        "partitions that were gained",
        loading.RUNNING,
        f"{OWN}, '1970-01-01', '00000000-0000-0000-0000-000000000000', 500",
        2 * OPEN_ORDERS,
    ),
    "loading.UNPUBLISHED_ORDERS": Running(
        "sweep of a shard",
        loading.UNPUBLISHED_ORDERS,
        f"{OWN_SLICES}, 5, 1000, {loading.SWEPT_AT_ONCE_MAX_EVENTS * 4 // 1024}",
        loading.SWEPT_AT_ONCE_MAX_EVENTS,
    ),
    "loading.UNPUBLISHED": Running("sweep of a shard", loading.UNPUBLISHED, SOME, 10),
    "loading.PUBLISHED": Running("publisher", loading.PUBLISHED, f"{SOME}, array[1, 1]", 20),
    "loading.LOAD": Running("loader of a shard", loading.LOAD, SOME, 20),
    "ownership.RENEW": Running("commit whose outcome is unknown", ownership.RENEW, LEASE, 10),
    "ownership.OWNED": Running("lease that was renewed", ownership.OWNED, f"'{PROCESS}'", PARTITIONS),
    "ownership.OWNERS": Running("look of a shard", ownership.OWNERS, "", PARTITIONS),
    "ownership.OWNER_NAMES": Running("router", ownership.OWNER_NAMES, "", 2 * PARTITIONS),
    "ownership.ROLES": Running("round of the supervisor", ownership.ROLES, "'main'", 10),
    "ownership.LISTED": Running("look of a shard", ownership.LISTED, "", 20),
    "ownership.FENCE": Running("shard that takes", ownership.FENCE, f"'{PROCESS}'", 10),
    "ownership.TAKE": Running(
        "shard that takes", ownership.TAKE, f"'{PROCESS}', '{OTHER_PROCESS}', '{{1,5}}'", 2 * PARTITIONS
    ),
    "ownership.GIVE": Running("shard that gives", ownership.GIVE, f"{LEASE}, '4', '{OTHER_PROCESS}'", 10),
    "ownership.SPLIT": Running("large order", ownership.SPLIT, f"{LEASE}, 'order-1', {ONE}", 10),
    "ownership.MERGE": Running("large order that is closed", ownership.MERGE, f"{LEASE}, 'order-1', {ONE}", 20),
    "ownership.CLOSED": Running("look of a shard", ownership.CLOSED, "'{order-1}'", 10),
    "snapshots.HOLDS": Running("look at an idle shard", snapshots.HOLDS, LEASE, 10),
    "snapshots.TAKE_NUMBERS": Running("block of order numbers", snapshots.TAKE_NUMBERS, "100", 10),
    "snapshots.SET_ASIDE": Running("commit that can't be", snapshots.SET_ASIDE, f"{ONE}, 'poison'", 10),
    "housekeeping.FORGET": Running("hourly chore", housekeeping.FORGET, "7, 500", 2_500),
    "answers.FORGET": Running("keyed request of staff", answers.FORGET, "7, 100", 500),
    "figures.COUNTED_UNTIL": Running("statistics", figures.COUNTED_UNTIL, "", 10),
    "figures.LOCKED_UNTIL": Running("chore", figures.LOCKED_UNTIL, "", 10),
    "figures.NEXT_UNTIL": Running("chore", figures.NEXT_UNTIL, f"'-infinity', {COUNTED_AFTER_S}, 4999", 10_000),
    "figures.MOVE_ON": Running("chore", figures.MOVE_ON, "now()", 10),
    "figures.STALE": Running("chore", figures.STALE, "", 10),
    "figures.UNDER_WAY": Running("chore", figures.UNDER_WAY, f"'{DAY.isoformat()}'", 10),
    "figures.BEGIN": Running("chore", figures.BEGIN, f"'{DAY.isoformat()}', now()", 10),
    "figures.NEXT_OF_DAY": Running(
        "chore", figures.NEXT_OF_DAY, f"'{DAY.isoformat()}', '{DAY.isoformat()}', 4999", 5_000
    ),
    "figures.GO_ON": Running("chore", figures.GO_ON, f"'{DAY.isoformat()}', now()", 10),
    "processes.WRITE": Running(
        "process", processes.WRITE, f"{ONE}, 'order-shard-0', 'shard', 'main', 'n', '1', 'h', 1, 7, 'serving'", 10
    ),
    "processes.REMOVE": Running("end of a process", processes.REMOVE, ONE, 10),
    "processes.FIND": Running("process that misses others", processes.FIND, "'main', array['order-shard-0']", 10),
    "processes.PRUNE": Running("chore", processes.PRUNE, "600, 100", 100),
    "migrate.APPLIED": Running("start of a process", migrate.APPLIED, "", 100),
    "migrate.IS_INVALID": Running("migration", migrate.IS_INVALID, "'orders_pkey'", 10),
    "cursor_keys.NEWEST_FIRST": Running("start of an API process", cursor_keys.NEWEST_FIRST, "2", 10),
    "reference_data.RAISE_VERSION": Running("event", reference_data.RAISE_VERSION, "'product', 'sku-1', 2", 10),
}
# These have tests of their own, as their arguments hang together.
ELSEWHERE = {"figures.COUNT", "figures.COUNT_DAY", "figures.FORGET", "figures.DONE", "flush.FLUSH"}
# These are run because somebody asked for something; what lists may read is held down in test_lists.py.
FOR_A_CALLER = {
    "answers.FIND", "answers.KEEP_ALONE", "claims.LEASE", "claims.LOCK", "claims.HELD", "claims.CLAIM", "claims.RELEASE",
    "loading.REPLY", "promotions.FIND", "promotions.PAGE", "promotions.DELETE", "promotions.USED", "promotions.CREATE",
    "queries.BY_IDS", "queries.TIMELINE", "queries.LEDGER", "shards.ADD", "shards.ASSIGN", "shards.LISTED",
    "snapshots.TAKE_UP_AGAIN", "snapshots.HAS_ORDER",
    "statistics.ALL_BEFORE", "statistics.STATISTICS", "statistics.NO_GROUPS",
}  # fmt: skip
# Parts of statements, and what is run once on empty tables.
NOT_RUN = {
    "figures.HOURS", "figures.TIMES", "figures.SKUS", "figures._ROUNDED_TIMES", "migrate.MAKE_TABLE", "migrate.NOTE_APPLIED",
    "ownership.UNDER_LEASE",
    "postgres.TOUCH_TYPES", "statistics._COUNTED_HOURS", "statistics._CHOSEN",
}  # fmt: skip
VERBS = ("select ", "insert ", "update ", "delete ", "with ", "with\n", "create table ")
GROWING = {"orders", "order_events", "unpublished_events", "inbox", "order_skus", "transactions", "promotion_uses",
           "reference_versions", "answers"}  # fmt: skip


@pytest.fixture(scope="module")
def grown_url(postgres_url: str, migrated_database: str) -> Iterator[str]:
    """The URL of a database whose tables have grown; what tests change in it they undo."""
    name = f"test_{secrets.token_hex(8)}"
    url = urlsplit(postgres_url)._replace(path=f"/{name}").geturl()

    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(statement)
        await connection.close()

    async def fill() -> None:
        connection = await asyncpg.connect(url)
        await grow(connection, ORDERS)
        await connection.close()

    run_now(execute(f"create database {name} template {migrated_database}"))
    run_now(fill())
    yield url
    run_now(execute(f"drop database {name} with (force)"))


@pytest.fixture
async def grown(grown_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection with a writer's settings to those tables."""
    connection = await asyncpg.connect(grown_url, server_settings={"jit": "off", **WRITER_SETTINGS})
    yield connection
    await connection.close()


@asynccontextmanager
async def undone(connection: asyncpg.Connection[Any]) -> AsyncIterator[None]:
    """Whatever is changed within is undone."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def looked_at(
    connection: asyncpg.Connection[Any], statement: str, arguments: str
) -> tuple[int, float, list[Any]]:
    """Run a statement by the plan that is kept for it: how many rows it looked at, its milliseconds, and its scans."""
    await connection.execute(f"prepare by_itself as {statement}")
    try:
        execute = f"execute by_itself({arguments})" if arguments else "execute by_itself"
        told = await connection.fetchval(f"explain (analyze, buffers, format json) {execute}")
    finally:
        await connection.execute("deallocate by_itself")
    told = json.loads(told)[0]
    scans = [node for node in nodes(told["Plan"]) if "Relation Name" in node or "Index Name" in node]
    rows = sum((scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"] for scan in scans)
    return rows, told["Execution Time"], scans


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def whole_tables(scans: list[Any]) -> list[str]:
    """The growing tables that were read from end to end."""
    return [
        scan["Relation Name"] for scan in scans if scan["Node Type"] == "Seq Scan" and scan["Relation Name"] in GROWING
    ]


async def test_nothing_that_runs_by_itself_reads_a_table_that_grows(grown: asyncpg.Connection[Any]) -> None:
    too_much: dict[str, object] = {}
    for name, running in BY_ITSELF.items():
        async with undone(grown):
            rows, _, scans = await looked_at(grown, running.statement, running.arguments)
        if whole_tables(scans) or rows > running.rows_max:
            too_much[name] = (running.of, rows, running.rows_max, whole_tables(scans))
    assert not too_much


async def test_a_commit_reads_what_it_changes(grown: asyncpg.Connection[Any]) -> None:
    order = an_order()
    judged_by = tuple(ReferenceVersion(ReferenceKind.PRODUCT, f"sku-{number}", 1) for number in (1, 2, 3))
    async with undone(grown):
        for commit in (
            a_commit(order, message_id="first"),
            a_commit(next_of(order), message_id="next", reference_versions=judged_by),
        ):
            assert (await flush.flush_once(grown, PROCESS, TOKEN, [commit]))[1] == {order.id}
        rows = await grown.fetch("select relname, seq_tup_read, idx_tup_fetch from pg_stat_xact_user_tables")
        assert {
            row["relname"]: row["seq_tup_read"] for row in rows if row["relname"] in GROWING and row["seq_tup_read"]
        } == {}
        assert sum(row["idx_tup_fetch"] or 0 for row in rows) <= 100


async def test_counting_closed_orders_reads_the_piece_that_is_counted(grown: asyncpg.Connection[Any]) -> None:
    until = await grown.fetchval(figures.NEXT_UNTIL, datetime(2000, 1, 1, tzinfo=UTC), COUNTED_AFTER_S, 4999)
    async with undone(grown):
        rows, _, scans = await looked_at(grown, figures.COUNT, f"'2000-01-01', '{until.isoformat()}'")
        assert not whole_tables(scans)
        # The orders, and for each of them the rows of figures that it is added to.
        assert 5000 <= rows <= 60_000
    async with undone(grown):
        for forget in (*figures.FORGET, *figures.DONE):
            rows, _, scans = await looked_at(grown, forget, f"'{DAY.isoformat()}'")
            assert not whole_tables(scans)
    async with undone(grown):
        since = datetime.now(UTC) - timedelta(hours=4)  # so long ago the tables begin
        piece_end = await grown.fetchval(figures.NEXT_OF_DAY, since, since, 4999)
        arguments = f"'{since.isoformat()}', '{piece_end.isoformat()}', now()"
        rows, _, scans = await looked_at(grown, figures.COUNT_DAY, arguments)
        assert not whole_tables(scans)
        assert 5000 <= rows <= 60_000


async def test_the_sweep_of_a_shard_is_not_held_up_by_the_backlogs_of_others(grown: asyncpg.Connection[Any]) -> None:
    """A broker that was away for a night left ten million events; every sweep of every shard read them all."""
    async with undone(grown):
        await grown.execute("delete from unpublished_events where slice % 4 = 1")
        rows, _, _ = await looked_at(
            grown,
            loading.UNPUBLISHED_ORDERS,
            f"{OWN_SLICES}, 5, 1000, {loading.SWEPT_AT_ONCE_MAX_EVENTS * 4 // 1024}",
        )
        assert rows <= 1024


async def test_orders_that_are_set_aside_are_not_read_by_polls(grown: asyncpg.Connection[Any]) -> None:
    async with undone(grown):
        for order_id in await grown.fetch("select id from orders where is_open"):
            await grown.execute(snapshots.SET_ASIDE, order_id["id"], "unreadable")
        for name in ("loading.CORRECT", "loading.DUE"):
            rows, _, _ = await looked_at(grown, BY_ITSELF[name].statement, BY_ITSELF[name].arguments)
            assert rows == 0, name
        await grown.execute(snapshots.TAKE_UP_AGAIN, "00000000-0000-8000-8000-000000000004")
        assert await grown.fetchval(
            "select check_at = deadline from orders where id = '00000000-0000-8000-8000-000000000004'"
        )


def test_every_statement_of_storage_is_known_to_run_by_itself_or_for_a_caller() -> None:
    """Whoever adds one says here which of the two it does; the first are looked at above."""
    stated = set()
    for found in pkgutil.iter_modules(storage.__path__):
        module = importlib.import_module(f"storage.{found.name}")
        for name, value in vars(module).items():
            text = value[0] if isinstance(value, tuple) and value and isinstance(value[0], str) else value
            if name == name.upper() and isinstance(text, str) and text.strip().lower().startswith(VERBS):
                is_imported = found.name != "figures" and getattr(figures, name, None) is value
                stated.add(f"{'figures' if is_imported else found.name}.{name}")
    stated -= {"flush.OPEN_TO_EDITS"}  # a status begins like a verb
    assert stated == BY_ITSELF.keys() | ELSEWHERE | FOR_A_CALLER | NOT_RUN
