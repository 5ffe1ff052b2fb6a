"""The keys that cursors are signed with, which the service makes for itself and keeps in its database."""

from __future__ import annotations

from storage.postgres import Database

KEYS_MAX = 8
NEWEST_FIRST = "select key from cursor_keys order by at desc limit $1"


async def cursor_keys(database: Database) -> tuple[bytes, ...]:
    """The keys, the one that signs first. Raises ``StorageUnavailable``."""
    return tuple([row["key"] for row in await database.fetch(NEWEST_FIRST, KEYS_MAX)])
