from __future__ import annotations

import asyncio
import shutil
from hashlib import sha256
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


@pytest.fixture
async def before_codes(database_url: str, sql: asyncpg.Connection[asyncpg.Record]) -> None:
    """The database as it was before codes were compared without case."""
    await sql.execute("drop schema public cascade")
    await sql.execute("create schema public")
    for file in sorted(runner.MIGRATIONS.glob("000[1-8]*.sql")):
        await sql.execute(file.read_text())
    await sql.execute(runner.MAKE_TABLE)
    for file in sorted(runner.MIGRATIONS.glob("000[1-8]*.sql")):
        checksum = sha256(file.read_text().encode()).hexdigest()
        await sql.execute("insert into schema_migrations (name, checksum) values ($1, $2)", file.name, checksum)
    await sql.execute("""
        insert into promotions (code, kind, skus, combinable, active)
        select code, 'free_shipping', '{}', true, true from unnest(array['TEN', 'Ten', 'five', 'other', 'Five']) code""")


async def test_codes_that_differ_in_case_alone_are_listed_and_refused(
    database_url: str, before_codes: None, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    with pytest.raises(MigrationFailed, match="Five, five; TEN, Ten"):
        await migrate(database_url)
    await sql.execute(
        "insert into promotion_uses (code, order_id, customer_id) select c, gen_random_uuid(), 'c' from unnest(array['Ten', 'TEN']) c"
    )
    await sql.execute("update promotions set used = 1 where code in ('Ten', 'TEN')")
    await sql.execute("delete from promotions where code in ('Ten', 'five')")
    await migrate(database_url)
    assert await sql.fetchval("select used from promotions where code = 'TEN'") == 2
    with pytest.raises(asyncpg.UniqueViolationError):
        await sql.execute("update promotions set code = 'ten' where code = 'other'")
