"""The smallest possible migration runner: each file of ``migrations/`` once, in the order of names, each in a
transaction.

A file that was applied must never change: its checksum is kept. Old and new code run on one database meanwhile, so
files expand first and contract in a later release. Two runners at once wait for each other.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import asyncpg

from storage.errors import MigrationFailed

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_KEY = 7_305_114_230
LOCK_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 10.0

MAKE_TABLE = """
create table if not exists schema_migrations (
    name text primary key, checksum text not null, applied_at timestamptz not null default clock_timestamp())
"""


async def migrate(database_url: str) -> None:
    """Bring the schema up to date; does nothing where it is. Raises ``MigrationFailed``, and ``OSError`` or
    ``asyncpg.PostgresError`` where the database can't be reached.
    """
    connection = await asyncpg.connect(database_url, timeout=CONNECT_TIMEOUT_S)
    try:
        await connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT_S}s'")
        await connection.execute("select pg_advisory_lock($1)", LOCK_KEY)
        await connection.execute(MAKE_TABLE)
        applied = {
            row["name"]: row["checksum"]
            for row in await connection.fetch("select name, checksum from schema_migrations")
        }
        for file in sorted(MIGRATIONS.glob("*.sql")):
            text = file.read_text(encoding="utf-8")
            checksum = sha256(text.encode()).hexdigest()
            known = applied.get(file.name)
            if known is None:
                await _apply(connection, file.name, text, checksum)
            elif known != checksum:
                raise MigrationFailed(f"{file.name} was applied and has changed since; make a new file instead")
    finally:
        await connection.close()


async def _apply(connection: asyncpg.Connection[asyncpg.Record], name: str, text: str, checksum: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(text)
            await connection.execute("insert into schema_migrations (name, checksum) values ($1, $2)", name, checksum)
    except asyncpg.PostgresError as error:
        raise MigrationFailed(f"{name} can't be applied: {error}") from error
