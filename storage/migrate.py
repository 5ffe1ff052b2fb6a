"""The migration runner: each file of ``migrations/`` once, in the order of names; and the check that a database has them all.

A file that was applied must never change: its checksum is kept. Old and new code run on one database meanwhile, so files expand first
and contract in a later release. One runner works at a time; others wait for it.

A file is one transaction. It waits for a lock for ``LOCK_TIMEOUT_MS`` only, since every statement that comes later waits behind it
meanwhile; then it lets go of everything and is tried again. A file whose first line is ``OUTSIDE`` holds statements that can't be in a
transaction: it may make and drop indexes concurrently, and nothing else, as it is begun again when it was broken off.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import asyncpg
import structlog

from storage.errors import MigrationFailed, StorageUnavailable, WrongSchema

MIGRATIONS = Path(__file__).parent / "migrations"
OUTSIDE = "-- outside of a transaction"
LOCK_KEY = 7_305_114_230
LOCK_TIMEOUT_MS = 300
LOCK_ATTEMPTS_MAX = 60
LOCK_RETRY_EVERY_S = 0.7
# Making an index concurrently waits for the transactions that were there before it, and blocks neither reads nor writes.
CONCURRENT_LOCK_TIMEOUT_MS = 600_000
RUNNER_WAIT_MAX_S = 600.0
RUNNER_RETRY_EVERY_S = 0.2
CONNECT_TIMEOUT_S = 10.0

MAKE_TABLE = """
create table if not exists schema_migrations (
    name text primary key, checksum text not null, applied_at timestamptz not null default clock_timestamp())
"""
APPLIED = "select name, checksum from schema_migrations order by name"
NOTE_APPLIED = "insert into schema_migrations (name, checksum) values ($1, $2)"
IS_INVALID = "select count(*) > 0 from pg_index where indexrelid = to_regclass($1) and not indisvalid"
CONCURRENT = re.compile(
    r"create (?:unique )?index concurrently if not exists (?P<made>\w+)\s.*|drop index concurrently if exists \w+",
    re.DOTALL,
)

# A backend whose runner is gone ends by itself, so that it does not keep the next one waiting.
SERVER_SETTINGS = {
    "application_name": "ordersvc-migrate",
    "statement_timeout": "0",
    "client_connection_check_interval": "1s",
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name, and its text."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """What shows whether the file has changed."""
        return sha256(self.text.encode()).hexdigest()

    @property
    def is_transaction(self) -> bool:
        """Whether all of it is one transaction."""
        return self.text.partition("\n")[0] != OUTSIDE

    def statements(self) -> list[str]:
        """The statements of a file that is no transaction. Raises ``MigrationFailed`` for one that can't be begun again."""
        without_comments = "\n".join(line for line in self.text.splitlines() if not line.lstrip().startswith("--"))
        statements = [each.strip() for each in without_comments.split(";") if each.strip()]
        for statement in statements:
            if not CONCURRENT.fullmatch(statement):
                raise MigrationFailed(
                    f"{self.name}: outside of a transaction is only `create index concurrently if not exists` and "
                    f"`drop index concurrently if exists`, not: {statement.splitlines()[0]}"
                )
        return statements


def migrations() -> list[Migration]:
    """The migrations of this release, in their order."""
    return [Migration(file.name, file.read_text(encoding="utf-8")) for file in sorted(MIGRATIONS.glob("*.sql"))]


async def migrate(database_url: str) -> list[str]:
    """Bring the schema up to date; gives the names of what was applied, none where it was already.

    Raises ``MigrationFailed``, and ``OSError`` or ``asyncpg.PostgresError`` where the database can't be reached.
    """
    connection = await asyncpg.connect(database_url, timeout=CONNECT_TIMEOUT_S, server_settings=SERVER_SETTINGS)
    try:
        await _be_the_only_runner(connection)
        await connection.execute(MAKE_TABLE)
        applied = await _applied(connection)
        fresh = []
        for migration in migrations():
            known = applied.get(migration.name)
            if known is None:
                await _apply(connection, migration)
                fresh.append(migration.name)
            elif known != migration.checksum:
                raise MigrationFailed(f"{migration.name} was applied and has changed since; make a new file instead")
        return fresh
    finally:
        await connection.close()


async def check_schema(database_url: str) -> None:
    """Return if the database has the schema of this release. Raises ``WrongSchema``, and ``StorageUnavailable`` when it is away."""
    try:
        connection = await asyncpg.connect(database_url, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S)
        try:
            applied = await _applied(connection)
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise StorageUnavailable(f"the schema can't be looked at: {type(error).__name__}: {error}") from error
    if reason := difference(migrations(), applied):
        raise WrongSchema(reason)


def difference(needed: Sequence[Migration], applied: Mapping[str, str]) -> str:
    """In which way the applied migrations (name -> checksum) are not the needed ones, and what to do; empty: they are the same."""
    if unknown := sorted(applied.keys() - {each.name for each in needed}):
        return (
            f"the database is of a newer release: it has {', '.join(unknown)}, which this one does not know; "
            "start the release that it was migrated by"
        )
    if changed := [each.name for each in needed if applied.get(each.name, each.checksum) != each.checksum]:
        return f"the database is of another build: {', '.join(changed)} was applied there with another content"
    if missing := [each.name for each in needed if each.name not in applied]:
        return f"the database lacks {', '.join(missing)} of this release; run ./dev migrate"
    return ""


async def _applied(connection: asyncpg.Connection[asyncpg.Record]) -> dict[str, str]:
    """The checksums of what was applied, by name."""
    try:
        return {row["name"]: row["checksum"] for row in await connection.fetch(APPLIED)}
    except asyncpg.UndefinedTableError:
        return {}


async def _be_the_only_runner(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Return once no other runner is at work; this one is the only one for as long as its connection lasts.

    It asks again and again: a statement that waited would be one of those which an index that is made concurrently waits for.
    """
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + RUNNER_WAIT_MAX_S
    while not await connection.fetchval("select pg_try_advisory_lock($1)", LOCK_KEY):
        if loop.time() > give_up_s:
            raise MigrationFailed(
                f"another runner has been at work for {RUNNER_WAIT_MAX_S:.0f} s; look what it waits for"
            )
        await asyncio.sleep(RUNNER_RETRY_EVERY_S)


async def _apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    """Apply a file and note it, in as many attempts as it takes to get its locks. Raises ``MigrationFailed``."""
    step = _in_a_transaction if migration.is_transaction else _outside_of_transactions
    for attempt in range(1, LOCK_ATTEMPTS_MAX + 1):
        try:
            await step(connection, migration)
            return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            log.warning("migration_awaits_locks", migration=migration.name, attempt=attempt, error=str(error))
        except asyncpg.PostgresError as error:
            raise MigrationFailed(f"{migration.name} can't be applied: {error}") from error
        await asyncio.sleep(LOCK_RETRY_EVERY_S)
    raise MigrationFailed(
        f"{migration.name} can't be applied: others kept what it changes locked in {LOCK_ATTEMPTS_MAX} attempts; "
        "see pg_locks for who they are, and run it again"
    )


async def _in_a_transaction(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    await connection.execute(f"set lock_timeout = {LOCK_TIMEOUT_MS}")
    async with connection.transaction():
        await connection.execute(migration.text)
        await connection.execute(NOTE_APPLIED, migration.name, migration.checksum)


async def _outside_of_transactions(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    """Run each statement by itself. What was done before a crash is not done again, except an index that it left half made."""
    await connection.execute(f"set lock_timeout = {CONCURRENT_LOCK_TIMEOUT_MS}")
    for statement in migration.statements():
        matched = CONCURRENT.fullmatch(statement)
        made = matched["made"] if matched else None
        if made and await connection.fetchval(IS_INVALID, made):
            await connection.execute(f"drop index concurrently if exists {made}")
        await connection.execute(statement)
    await connection.execute(NOTE_APPLIED, migration.name, migration.checksum)
