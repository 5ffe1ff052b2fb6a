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
from storage import closed_order_counts, cursor_keys, migrate, processes
from storage.closed_order_counts import COUNTED_AFTER_S
from storage.postgres import WRITER_SETTINGS
from storage.reads import reference_data
from storage.writes import flush_statement, handled_messages, kept_answers, order_store, owners, shard_reads
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
    "shard_reads.CORRECT": Running("poll of a shard", shard_reads.CORRECT, f"{OWN}, 5, 2000", 4 * OPEN_ORDERS),
    "shard_reads.DUE": Running("poll of a shard", shard_reads.DUE, f"{OWN}, 5, 500", 2 * OPEN_ORDERS),
    "shard_reads.RUNNING": Running(
        "partitions that were gained",
        shard_reads.RUNNING,
        f"{OWN}, '1970-01-01', '00000000-0000-0000-0000-000000000000', 500",
        2 * OPEN_ORDERS,
    ),
    "shard_reads.UNPUBLISHED_ORDERS": Running(
        "sweep of a shard",
        shard_reads.UNPUBLISHED_ORDERS,
        f"{OWN_SLICES}, 5, 1000, {shard_reads.SWEPT_AT_ONCE_MAX_EVENTS * 4 // 1024}",
        shard_reads.SWEPT_AT_ONCE_MAX_EVENTS,
    ),
    "shard_reads.UNPUBLISHED": Running("sweep of a shard", shard_reads.UNPUBLISHED, SOME, 10),
    "shard_reads.PUBLISHED": Running("publisher", shard_reads.PUBLISHED, f"{SOME}, array[1, 1]", 20),
    "shard_reads.LOAD": Running("loader of a shard", shard_reads.LOAD, SOME, 20),
    "owners.RENEW": Running("commit whose outcome is unknown", owners.RENEW, LEASE, 10),
    "owners.OWNED": Running("lease that was renewed", owners.OWNED, f"'{PROCESS}'", PARTITIONS),
    "owners.OWNERS": Running("look of a shard", owners.OWNERS, "", PARTITIONS),
    "owners.OWNER_NAMES": Running("router", owners.OWNER_NAMES, "", 2 * PARTITIONS),
    "owners.ROLES": Running("round of the supervisor", owners.ROLES, "'main'", 10),
    "owners.LISTED": Running("look of a shard", owners.LISTED, "", 20),
    "owners.FENCE": Running("shard that takes", owners.FENCE, f"'{PROCESS}'", 10),
    "owners.TAKE": Running(
        "shard that takes", owners.TAKE, f"'{PROCESS}', '{OTHER_PROCESS}', '{{1,5}}'", 2 * PARTITIONS
    ),
    "owners.GIVE": Running("shard that gives", owners.GIVE, f"{LEASE}, '4', '{OTHER_PROCESS}'", 10),
    "owners.SPLIT": Running("large order", owners.SPLIT, f"{LEASE}, 'order-1', {ONE}", 10),
    "owners.MERGE": Running("large order that is closed", owners.MERGE, f"{LEASE}, 'order-1', {ONE}", 20),
    "owners.CLOSED": Running("look of a shard", owners.CLOSED, "'{order-1}'", 10),
    "order_store.HOLDS": Running("look at an idle shard", order_store.HOLDS, LEASE, 10),
    "order_store.TAKE_NUMBERS": Running("block of order numbers", order_store.TAKE_NUMBERS, "100", 10),
    "order_store.SET_ASIDE": Running("commit that can't be", order_store.SET_ASIDE, f"{ONE}, 'poison'", 10),
    "handled_messages.FORGET": Running("hourly chore", handled_messages.FORGET, "7, 500", 2_500),
    "kept_answers.FORGET": Running("keyed request of staff", kept_answers.FORGET, "7, 100", 500),
    "closed_order_counts.COUNTED_UNTIL": Running("statistics", closed_order_counts.COUNTED_UNTIL, "", 10),
    "closed_order_counts.LOCKED_UNTIL": Running("chore", closed_order_counts.LOCKED_UNTIL, "", 10),
    "closed_order_counts.NEXT_UNTIL": Running(
        "chore", closed_order_counts.NEXT_UNTIL, f"'-infinity', {COUNTED_AFTER_S}, 4999", 10_000
    ),
    "closed_order_counts.MOVE_ON": Running("chore", closed_order_counts.MOVE_ON, "now()", 10),
    "closed_order_counts.STALE": Running("chore", closed_order_counts.STALE, "", 10),
    "closed_order_counts.UNDER_WAY": Running("chore", closed_order_counts.UNDER_WAY, f"'{DAY.isoformat()}'", 10),
    "closed_order_counts.BEGIN": Running("chore", closed_order_counts.BEGIN, f"'{DAY.isoformat()}', now()", 10),
    "closed_order_counts.NEXT_OF_DAY": Running(
        "chore", closed_order_counts.NEXT_OF_DAY, f"'{DAY.isoformat()}', '{DAY.isoformat()}', 4999", 5_000
    ),
    "closed_order_counts.GO_ON": Running("chore", closed_order_counts.GO_ON, f"'{DAY.isoformat()}', now()", 10),
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
ELSEWHERE = {
    "closed_order_counts.COUNT",
    "closed_order_counts.COUNT_DAY",
    "closed_order_counts.FORGET",
    "closed_order_counts.DONE",
    "flush_statement.FLUSH",
}
# These are run because somebody asked for something; what lists may read is held down in test_order_filters.py.
FOR_A_CALLER = {
    "kept_answers.FIND",
    "kept_answers.KEEP_ALONE",
    "promotion_uses.LEASE",
    "promotion_uses.LOCK",
    "promotion_uses.HELD",
    "promotion_uses.CLAIM",
    "promotion_uses.RELEASE",
    "shard_reads.REPLY",
    "promotions.FIND",
    "promotions.PAGE",
    "promotions.DELETE",
    "promotions.USED",
    "promotions.CREATE",
    "order_queries.BY_IDS",
    "order_queries.TIMELINE",
    "order_queries.LEDGER",
    "shards.ADD",
    "shards.ASSIGN",
    "shards.LISTED",
    "order_store.TAKE_UP_AGAIN",
    "statistics.ALL_BEFORE",
    "statistics.STATISTICS",
    "statistics.NO_GROUPS",
}
# Parts of statements, and what is run once on empty tables.
NOT_RUN = {
    "closed_order_counts.HOURS",
    "closed_order_counts.TIMES",
    "closed_order_counts.SKUS",
    "closed_order_counts._ROUNDED_TIMES",
    "migrate.MAKE_TABLE",
    "migrate.NOTE_APPLIED",
    "owners.UNDER_LEASE",
    "postgres.TOUCH_TYPES",
    "statistics._COUNTED_HOURS",
    "statistics._CHOSEN",
}
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
            assert (await flush_statement.flush_once(grown, PROCESS, TOKEN, [commit]))[1] == {order.id}
        rows = await grown.fetch("select relname, seq_tup_read, idx_tup_fetch from pg_stat_xact_user_tables")
        assert {
            row["relname"]: row["seq_tup_read"] for row in rows if row["relname"] in GROWING and row["seq_tup_read"]
        } == {}
        assert sum(row["idx_tup_fetch"] or 0 for row in rows) <= 100


async def test_counting_closed_orders_reads_the_piece_that_is_counted(grown: asyncpg.Connection[Any]) -> None:
    until = await grown.fetchval(
        closed_order_counts.NEXT_UNTIL, datetime(2000, 1, 1, tzinfo=UTC), COUNTED_AFTER_S, 4999
    )
    async with undone(grown):
        rows, _, scans = await looked_at(grown, closed_order_counts.COUNT, f"'2000-01-01', '{until.isoformat()}'")
        assert not whole_tables(scans)
        # The orders, and for each of them the rows of figures that it is added to.
        assert 5000 <= rows <= 60_000
    async with undone(grown):
        for forget in (*closed_order_counts.FORGET, *closed_order_counts.DONE):
            rows, _, scans = await looked_at(grown, forget, f"'{DAY.isoformat()}'")
            assert not whole_tables(scans)
    async with undone(grown):
        since = datetime.now(UTC) - timedelta(hours=4)  # so long ago the tables begin
        piece_end = await grown.fetchval(closed_order_counts.NEXT_OF_DAY, since, since, 4999)
        arguments = f"'{since.isoformat()}', '{piece_end.isoformat()}', now()"
        rows, _, scans = await looked_at(grown, closed_order_counts.COUNT_DAY, arguments)
        assert not whole_tables(scans)
        assert 5000 <= rows <= 60_000


async def test_the_sweep_of_a_shard_is_not_held_up_by_the_backlogs_of_others(grown: asyncpg.Connection[Any]) -> None:
    """A broker that was away for a night left ten million events; every sweep of every shard read them all."""
    async with undone(grown):
        await grown.execute("delete from unpublished_events where slice % 4 = 1")
        rows, _, _ = await looked_at(
            grown,
            shard_reads.UNPUBLISHED_ORDERS,
            f"{OWN_SLICES}, 5, 1000, {shard_reads.SWEPT_AT_ONCE_MAX_EVENTS * 4 // 1024}",
        )
        assert rows <= 1024


async def test_orders_that_are_set_aside_are_not_read_by_polls(grown: asyncpg.Connection[Any]) -> None:
    async with undone(grown):
        for order_id in await grown.fetch("select id from orders where is_open"):
            await grown.execute(order_store.SET_ASIDE, order_id["id"], "unreadable")
        for name in ("shard_reads.CORRECT", "shard_reads.DUE"):
            rows, _, _ = await looked_at(grown, BY_ITSELF[name].statement, BY_ITSELF[name].arguments)
            assert rows == 0, name
        await grown.execute(order_store.TAKE_UP_AGAIN, "00000000-0000-8000-8000-000000000004")
        assert await grown.fetchval(
            "select check_at = deadline from orders where id = '00000000-0000-8000-8000-000000000004'"
        )


def test_every_statement_of_storage_is_known_to_run_by_itself_or_for_a_caller() -> None:
    """Whoever adds one says here which of the two it does; the first are looked at above."""
    stated = set()
    for found in pkgutil.walk_packages(storage.__path__, "storage."):
        module = importlib.import_module(found.name)
        own = found.name.rpartition(".")[2]
        for name, value in vars(module).items():
            text = value[0] if isinstance(value, tuple) and value and isinstance(value[0], str) else value
            if name == name.upper() and isinstance(text, str) and text.strip().lower().startswith(VERBS):
                is_imported = own != "closed_order_counts" and getattr(closed_order_counts, name, None) is value
                stated.add(f"{'closed_order_counts' if is_imported else own}.{name}")
    stated -= {"flush_statement.OPEN_TO_EDITS"}  # a status begins like a verb
    assert stated == BY_ITSELF.keys() | ELSEWHERE | FOR_A_CALLER | NOT_RUN
