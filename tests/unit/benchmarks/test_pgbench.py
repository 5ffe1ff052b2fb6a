from benchmarks.pgbench import script
from benchmarks.row_locks import STATUSES


def test_pgbench_runs_the_very_statements_of_the_row_locks() -> None:
    text = script()
    assert text.count("for update") == len(STATUSES) - 1
    assert text.count("begin;") == text.count("commit;") == len(STATUSES) - 1
    assert text.count("insert into outbox") == len(STATUSES)


def test_no_parameter_is_left_without_a_value() -> None:
    assert "$" not in script()


def test_every_status_is_reached() -> None:
    assert all(f"'{status}'" in script() for status in STATUSES)
