from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from storage import migrate as runner
from storage.errors import MigrationFailed, StorageUnavailable, WrongSchema
from storage.migrate import check_schema, migrate

APPLIED = "select name from schema_migrations order by name"
WITHIN_S = 20.0


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not is_so():
            await asyncio.sleep(0.01)


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


async def test_a_file_that_must_wait_for_a_lock_lets_go_of_those_who_wait_behind_it(
    database_url: str, files: Path, sql: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An `alter table` that waited for a long transaction had every later statement of that table wait behind it, for a minute."""
    (files / "9000_column.sql").write_text("alter table promotions add column fresh int;")
    monkeypatch.setattr(runner, "LOCK_RETRY_EVERY_S", 0.01)
    reader = await asyncpg.connect(database_url)
    long_read = reader.transaction()
    await long_read.start()
    await reader.fetchval("select count(*) from promotions")
    with capture_logs() as logs:
        migrating = asyncio.create_task(migrate(database_url))
        await until(lambda: bool([each for each in logs if each["event"] == "migration_awaits_locks"]))
    # Would wait for the reader's end if the migration went on waiting.
    await sql.execute("select * from promotions")
    assert not migrating.done()
    await long_read.rollback()
    assert await migrating == ["9000_column.sql"]
    assert await sql.fetchval("select count(fresh) from promotions") == 0
    await reader.close()


async def test_a_file_that_never_gets_its_locks_fails_and_says_what_to_do(
    database_url: str, files: Path, sql: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "9000_column.sql").write_text("alter table promotions add column fresh int;")
    monkeypatch.setattr(runner, "LOCK_RETRY_EVERY_S", 0.01)
    monkeypatch.setattr(runner, "LOCK_TIMEOUT_MS", 10)
    async with sql.transaction():
        await sql.execute("lock table promotions in access share mode")
        with pytest.raises(MigrationFailed, match=r"9000_column.*60 attempts.*pg_locks"):
            await migrate(database_url)
    assert await runner_is_gone(sql)


INDEX = f"""{runner.OUTSIDE}
-- What it is for; a comment may have a semicolon.
create index concurrently if not exists fresh_index on orders (customer_id);
"""
VALID = "select indisvalid from pg_index where indexrelid = to_regclass('fresh_index')"
RUNNERS = "from pg_stat_activity where application_name = 'ordersvc-migrate' and datname = current_database()"


async def runner_is_gone(sql: asyncpg.Connection[asyncpg.Record]) -> bool:
    return bool(await sql.fetchval(f"select count(*) = 0 {RUNNERS}"))


async def test_an_index_is_made_while_others_write(
    database_url: str, files: Path, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    (files / "9000_index.sql").write_text(INDEX)
    assert await migrate(database_url) == ["9000_index.sql"]
    assert await sql.fetchval(VALID)
    assert await migrate(database_url) == []


async def test_an_index_that_a_crash_left_half_made_is_made_again(
    database_url: str, files: Path, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    (files / "9000_index.sql").write_text(INDEX)
    writer = await asyncpg.connect(database_url)
    long_write = writer.transaction()
    await long_write.start()
    await writer.execute("update orders set status = status")
    migrating = asyncio.create_task(migrate(database_url))
    async with asyncio.timeout(WITHIN_S):
        while await sql.fetchval(VALID) is None:
            await asyncio.sleep(0.01)
    await sql.fetch(f"select pg_terminate_backend(pid) {RUNNERS}")
    with pytest.raises(MigrationFailed, match="9000_index"):
        await migrating
    await long_write.rollback()
    await writer.close()
    assert await sql.fetchval(VALID) is False
    assert "9000_index.sql" not in [row["name"] for row in await sql.fetch(APPLIED)]
    assert await migrate(database_url) == ["9000_index.sql"]
    assert await sql.fetchval(VALID) is True


async def test_two_runners_at_once_make_an_index_once(
    database_url: str, files: Path, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A runner that waited for the other in a statement was waited for by the other's index: a deadlock."""
    (files / "9000_index.sql").write_text(INDEX)
    applied = await asyncio.gather(*(migrate(database_url) for _ in range(3)))
    assert sorted(applied) == [[], [], ["9000_index.sql"]]
    assert await sql.fetchval(VALID)


async def test_a_statement_that_could_not_be_begun_again_is_refused_outside_of_a_transaction(
    database_url: str, files: Path, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    (files / "9000_both.sql").write_text(f"{INDEX}\nanalyze orders;")
    with pytest.raises(MigrationFailed, match=r"9000_both.sql: .* not: analyze orders"):
        await migrate(database_url)
    assert await sql.fetchval(VALID) is None


async def test_a_runner_that_is_kept_waiting_too_long_says_so(
    database_url: str, sql: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "RUNNER_WAIT_MAX_S", 0.0)
    await sql.execute("select pg_advisory_lock($1)", runner.LOCK_KEY)
    with pytest.raises(MigrationFailed, match="another runner"):
        await migrate(database_url)


async def test_a_database_of_this_release_is_taken(database_url: str) -> None:
    await check_schema(database_url)


async def test_a_database_of_another_release_is_refused_with_what_to_do(
    database_url: str, files: Path, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    (files / "9000_new.sql").write_text("select 1;")
    with pytest.raises(WrongSchema, match=r"lacks 9000_new.sql .*\./dev migrate"):
        await check_schema(database_url)
    await migrate(database_url)
    await check_schema(database_url)
    (files / "9000_new.sql").write_text("select 2;")
    with pytest.raises(WrongSchema, match=r"another build: 9000_new.sql"):
        await check_schema(database_url)
    (files / "9000_new.sql").unlink()
    with pytest.raises(WrongSchema, match=r"newer release: it has 9000_new.sql"):
        await check_schema(database_url)
    await sql.execute("drop table schema_migrations")
    with pytest.raises(WrongSchema, match=r"lacks 0001_orders.sql"):
        await check_schema(database_url)


async def test_a_database_that_is_away_is_told_from_one_that_is_wrong() -> None:
    with pytest.raises(StorageUnavailable):
        await check_schema("postgresql://nobody@127.0.0.1:1/none")


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
