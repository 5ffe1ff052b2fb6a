"""What a PostgreSQL has done so far: WAL bytes, fsyncs, pages touched. Of PostgreSQL 18 and later."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

# A backend that falls idle tells of its fsyncs and pages at the latest so much later; WAL bytes are known at once.
TOLD_LATE_MAX_S = 10.5
WORK = """
select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint as wal_bytes,
    coalesce(sum(fsyncs), 0)::bigint as fsyncs,
    coalesce(sum(coalesce(hits, 0) + coalesce(reads, 0)) filter (where object = 'relation'), 0)::bigint as pages
from pg_stat_io"""


@dataclass(frozen=True, slots=True)
class Work:
    """``pages``: how often a page of a table or an index was looked for, in memory or on the disk."""

    wal_bytes: int
    fsyncs: int
    pages: int

    def __sub__(self, other: Work) -> Work:
        return Work(self.wal_bytes - other.wal_bytes, self.fsyncs - other.fsyncs, self.pages - other.pages)


async def work(dsn: str) -> Work:
    """Everything since the server was made."""
    connection = await asyncpg.connect(dsn)
    try:
        row = await connection.fetchrow(WORK)
        assert row is not None
        return Work(row["wal_bytes"], row["fsyncs"], row["pages"])
    finally:
        await connection.close()
