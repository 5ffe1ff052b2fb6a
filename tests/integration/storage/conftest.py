from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from storage.reads.order_queries import OrderQueries
from storage.writes.order_store import OrderStore
from tests.integration.storage.owning import Lease, owner_of_all


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[OrderStore]:
    """A store on a database of the test's own."""
    opened = await OrderStore.open(database_url, application_name="test-store")
    yield opened
    await opened.close()


@pytest.fixture
async def lease(store: OrderStore) -> Lease:
    """The lease under which the test owns every partition."""
    return await owner_of_all(store, "order-shard-0")


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection beside the store's."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def queries(database_url: str) -> AsyncIterator[OrderQueries]:
    """The reads of the API, on the same database."""
    opened = await OrderQueries.open(database_url, application_name="test-queries")
    yield opened
    await opened.close()
