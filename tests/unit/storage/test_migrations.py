"""The names of migrations say in which order they are applied."""

from storage.migrate import MIGRATIONS


def test_each_migration_has_a_number_of_its_own_and_none_is_left_out() -> None:
    numbers = [int(file.name.split("_")[0]) for file in sorted(MIGRATIONS.glob("*.sql"))]
    assert numbers == list(range(1, len(numbers) + 1))
