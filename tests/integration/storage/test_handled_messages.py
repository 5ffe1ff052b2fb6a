from __future__ import annotations

import asyncpg

from storage.writes.handled_messages import HandledMessages
from storage.writes.order_store import OrderStore
from tests.integration.storage.orders import a_commit, an_order, next_of
from tests.integration.storage.owning import Lease

ORDERS = 60
AGE = "update inbox set at = clock_timestamp() - case message_id when 'young' then interval '6 days' else interval '8 days' end"


async def test_old_messages_are_forgotten_in_steps_but_creations_are_kept(
    store: OrderStore, lease: Lease, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    orders = [an_order() for _ in range(ORDERS)]
    for turn, message_id in enumerate(("creation", "old", "young")):
        commits = [a_commit(order, message_id=message_id, reply=b"x" * 1000) for order in orders]
        await store.flush(*lease, commits)
        orders = [next_of(order) for order in orders]
        assert turn + 2 == orders[0].version
    await sql.execute(AGE)
    pruning = HandledMessages(store.database, keep_days=7, messages_at_once=25)
    forgotten = [await pruning.step()]
    while forgotten[-1][1]:
        forgotten.append(await pruning.step())
    assert len(forgotten) > 2
    assert sum(count for count, _ in forgotten) == ORDERS
    for loaded in (await store.load([order.id for order in orders])).values():
        assert set(loaded.keys) == {"creation", "young"}
    # What has grown old since is forgotten too.
    await sql.execute("update inbox set at = clock_timestamp() - interval '8 days' where message_id = 'young'")
    while (await pruning.step())[1]:
        pass
    assert await sql.fetchval("select count(*) from inbox") == ORDERS
