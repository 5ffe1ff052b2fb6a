"""A private PostgreSQL for measurements that need nothing else; as durable as the service's own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from local.postgres import PostgreSQL
from local.state import State


@contextlib.asynccontextmanager
async def private_postgres() -> AsyncIterator[PostgreSQL]:
    """Start one in a temporary folder, stop and forget it afterwards."""
    with tempfile.TemporaryDirectory(prefix="ordersvc-bench-pg-") as folder:
        postgres = PostgreSQL(State(Path(folder)))
        await postgres.start()
        try:
            yield postgres
        finally:
            await postgres.stop()


async def make_database(postgres: PostgreSQL, name: str) -> str:
    """Make an empty database; give its URL."""
    await postgres.run("createdb", name)
    return postgres.url_of(name)
