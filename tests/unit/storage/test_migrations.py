"""The names of migrations say in which order they are applied."""

import pytest

from storage.errors import MigrationFailed
from storage.migrate import MIGRATIONS, OUTSIDE, Migration, difference, migrations


def test_each_migration_has_a_number_of_its_own_and_none_is_left_out() -> None:
    numbers = [int(file.name.split("_")[0]) for file in sorted(MIGRATIONS.glob("*.sql"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_files_outside_of_a_transaction_hold_what_can_be_begun_again_and_no_other_makes_an_index_concurrently() -> None:
    for migration in migrations():
        if migration.is_transaction:
            assert "concurrently" not in migration.text, migration.name
        else:
            assert migration.statements(), migration.name


def test_statements_are_told_apart_and_comments_are_left_out() -> None:
    first = "create unique index concurrently if not exists a_b on a (b)\nwhere c"
    second = "drop index concurrently if exists a_c"
    migration = Migration("1.sql", f"{OUTSIDE}\n-- one; two\n{first};\n  -- three\n{second};\n")
    assert not migration.is_transaction
    assert migration.statements() == [first, second]


@pytest.mark.parametrize(
    "statement",
    ["create index concurrently a_b on a (b)", "create index if not exists a_b on a (b)", "drop index a_b", "vacuum a"],
)
def test_another_statement_outside_of_a_transaction_is_refused(statement: str) -> None:
    with pytest.raises(MigrationFailed, match=r"1\.sql"):
        Migration("1.sql", f"{OUTSIDE}\n{statement};").statements()


def test_the_same_migrations_are_no_difference_in_whichever_order_they_were_read() -> None:
    needed = migrations()
    applied = {each.name: each.checksum for each in needed}
    assert difference(needed, dict(reversed(applied.items()))) == ""
