from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest

from storage import migrate as runner
from storage.errors import MigrationFailed
from storage.migrate import migrate

APPLIED = "select name from schema_migrations order by name"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations, to add to."""
    folder = tmp_path / "migrations"
    shutil.copytree(runner.MIGRATIONS, folder)
    monkeypatch.setattr(runner, "MIGRATIONS", folder)
    return folder


async def test_what_was_applied_is_not_applied_again(
    database_url: str, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    before = await sql.fetch("select * from schema_migrations order by name")
    await migrate(database_url)
    assert await sql.fetch("select * from schema_migrations order by name") == before


async def test_two_runners_at_once_apply_a_file_once(
    database_url: str, files: Path, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    (files / "9000_new.sql").write_text("create table fresh (id int); insert into fresh values (1);")
    await asyncio.gather(*(migrate(database_url) for _ in range(3)))
    assert await sql.fetchval("select count(*) from fresh") == 1


async def test_a_file_that_fails_leaves_nothing_behind(
    database_url: str, files: Path, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    (files / "9000_bad.sql").write_text("create table half (id int); select 1 / 0;")
    with pytest.raises(MigrationFailed, match="9000_bad"):
        await migrate(database_url)
    assert await sql.fetchval("select to_regclass('half')") is None
    assert "9000_bad.sql" not in [row["name"] for row in await sql.fetch(APPLIED)]


async def test_a_file_that_changed_after_it_was_applied_is_refused(database_url: str, files: Path) -> None:
    first = min(files.glob("*.sql"))
    first.write_text(first.read_text() + "\n-- changed")
    with pytest.raises(MigrationFailed, match=first.name):
        await migrate(database_url)


async def test_every_constraint_says_which_law_it_guards(sql: asyncpg.Connection[asyncpg.Record]) -> None:
    silent = await sql.fetch("""
        select conname from pg_constraint
        where connamespace = 'public'::regnamespace and contype in ('c', 'u')
            and conrelid <> 'order_numbers'::regclass and obj_description(oid, 'pg_constraint') is null
    """)
    assert [row["conname"] for row in silent] == []
