"""Stored rows that can't be read: each is set aside where it is met, logged and counted, and the rows beside it are read on.

PostgreSQL has times that Python has not: infinity, and the years before 1 and after 9999. The driver fails at some of them, with
every row of the answer, and makes naive times of others, which fail later, wherever they are compared.
"""

from __future__ import annotations

import structlog

log = structlog.get_logger()

_met = dict.fromkeys(("orders", "promotions"), 0)
_FIRST, _LAST = "'0001-01-01 00:00:00+00'", "'9999-12-31 23:59:59.999999+00'"


def has_readable_time(column: str) -> str:
    """The condition, as SQL, that there is a time in a column and Python has it."""
    return f"{column} between {_FIRST} and {_LAST}"


def is_readable_time(column: str) -> str:
    """As ``has_readable_time``, but an absent time can be read."""
    return f"coalesce({has_readable_time(column)}, true)"


def clamped_time(column: str) -> str:
    """The time in a column, as SQL, where Python has none the nearest that it has; for what is only sorted or waited by."""
    return f"greatest(least({column}, {_LAST}), {_FIRST})"


def tell_unreadable(table: str, key: str, why: str) -> None:
    """Log and count a row that can't be read; ``why`` says which of its values."""
    _met[table] += 1
    log.error("row_unreadable", table=table, key=key, why=why)


def unreadable_rows() -> dict[str, float]:
    """How often rows of each table were met in this process that can't be read, for the metrics."""
    return {f"unreadable_{table}_total": float(count) for table, count in _met.items()}
