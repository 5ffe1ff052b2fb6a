"""What the tables say of shards, and the change of what they are to do."""

from __future__ import annotations

import pytest

from storage.shards import Shards
from storage.writes.order_store import OrderStore
from tests.integration.storage.owning import add_process, owner_of_all


@pytest.fixture
def shards(store: OrderStore) -> Shards:
    return Shards(store.database)


async def test_shards_are_listed_by_cell_and_number_with_what_they_own(shards: Shards, store: OrderStore) -> None:
    await owner_of_all(store, "order-shard-10")
    await add_process(store, "order-shard-2", state="standby")
    await add_process(store, "order-shard-0", cell="blue")
    await add_process(store, "bulkhead-product")
    await add_process(store, "order-0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00")
    assert await shards.add("main", "order-shard-11", "serving")
    listed = await shards.listed()
    assert [(each.cell, each.name, each.state, each.role, each.partitions) for each in listed] == [
        ("blue", "order-shard-0", "serving", None, 0),
        ("main", "order-shard-2", "standby", None, 0),
        ("main", "order-shard-10", "serving", None, 64),
        ("main", "order-shard-11", None, "serving", 0),
    ]
    assert [each.seen_s is None for each in listed] == [False, False, False, True]


async def test_of_a_shard_that_was_started_again_the_latest_process_is_listed(
    shards: Shards, store: OrderStore
) -> None:
    former = await add_process(store, "order-shard-0", state="draining")
    await store.database.fetch("update processes set started_at = started_at - interval '1 minute'")
    await add_process(store, "order-shard-0")
    assert [each.state for each in await shards.listed()] == ["serving"]
    await store.database.fetch("update processes set started_at = now() where process = $1", former)
    assert [each.state for each in await shards.listed()] == ["draining"]


async def test_a_shard_is_added_once_and_again_after_it_was_drained(shards: Shards, store: OrderStore) -> None:
    assert await shards.add("main", "order-shard-2", "serving")
    assert not await shards.add("main", "order-shard-2", "standby")
    await shards.drain("main", "order-shard-2")
    assert await store.shard_roles("main") == {"order-shard-2": "draining"}
    assert await shards.add("main", "order-shard-2", "standby")
    assert await store.shard_roles("main") == {"order-shard-2": "standby"}
    assert await store.shard_roles("blue") == {}
