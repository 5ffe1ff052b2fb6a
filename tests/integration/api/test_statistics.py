from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from api.access.fair_slots import SlotLimits
from storage.postgres import PoolLimits
from storage.reads.order_queries import OrderQueries
from storage.redis_cache import RedisCache
from storage.redis_connection import QuietRedis
from storage.writes.order_store import OrderStore
from tests.integration.api.conftest import RealWorld
from tests.integration.storage.orders import NOW, a_commit, an_order
from tests.integration.storage.owning import owner_of_all
from tests.unit.api.harness import Answered, token

ASKED = 60
HOURS = 4_000


PATIENCE_S = 60.0
LOCKED = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


@pytest.fixture
async def patient(database_url: str, redis_url: str, amqp_url: str) -> AsyncIterator[RealWorld]:
    """A world whose statistics wait as long as the test keeps them waiting."""
    queries = await OrderQueries.open(
        database_url, application_name="test-api", limits=PoolLimits(statement_timeout_s=PATIENCE_S)
    )
    store = await OrderStore.open(database_url, application_name="test-api-orders")
    cache = RedisCache(QuietRedis(redis_url))
    lease = await owner_of_all(store, "order-shard-0")
    limits = SlotLimits(wait_max_s=PATIENCE_S)
    yield RealWorld(queries, cache, amqp_url, store, lease, statistics_limits=limits, rate_limit_per_min=0)
    await cache.close()
    await store.close()
    await queries.close()


async def test_statistics_of_one_caller_starve_neither_reads_nor_others(patient: RealWorld, database_url: str) -> None:
    """Each other ``from`` is another question, that no cache knows: they took every connection, and reads waited in vain.

    That statistics take long is made true by a lock which only they meet.
    """
    order = an_order()
    await patient.store.flush(*patient.lease, [a_commit(order)])
    greedy, other = token(customer_id="c-1001"), token(customer_id="c-2")
    holder = await asyncpg.connect(database_url)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("lock table figures_counted in access exclusive mode")

    def question(n: int, bearer: str) -> asyncio.Task[Answered]:
        query = f"from=2026-01-01T00:00:00.{n:06}Z&to=2026-02-01"
        return asyncio.create_task(patient.ask("GET", "/api/orders/statistics", query=query, token=bearer))

    questions = [question(n, greedy) for n in range(ASKED)]
    refused = ASKED - 5  # one is being made, four wait
    while sum(each.done() for each in questions) < refused:
        await asyncio.wait(
            [each for each in questions if not each.done()], return_when=asyncio.FIRST_COMPLETED, timeout=10
        )
    told = [each.result() for each in questions if each.done()]
    assert {(each.status, each.code) for each in told} == {(429, "rate_limited")}
    assert all(int(each.headers["retry-after"]) >= 1 for each in told)
    # Meanwhile every read is answered, and another caller has a turn before the rest of the greedy one's.
    theirs = question(0, other)
    for _ in range(3):
        reads = await asyncio.gather(*(patient.ask("GET", f"/api/orders/{order.id}", token=greedy) for _ in range(20)))
        lists = await asyncio.gather(*(patient.ask("GET", "/api/orders", token=greedy) for _ in range(5)))
        assert {each.status for each in (*reads, *lists)} == {200}
    async with asyncio.timeout(PATIENCE_S):
        while await holder.fetchval(LOCKED) != 2:
            await asyncio.sleep(0.01)
    await transaction.rollback()
    await holder.close()
    assert (await theirs).status == 200
    answers = await asyncio.gather(*questions)
    assert Counter(each.status for each in answers) == {200: 5, 429: refused}
    assert (await patient.ask("GET", "/api/orders/statistics", query="from=2026-01-01", token=greedy)).status == 200


async def test_buckets_of_many_hours_in_several_currencies_add_up_to_the_totals(real: RealWorld) -> None:
    """4,000 hours in three currencies were 12,000 rows, of which 2,000 were cut without a word."""
    template = a_commit(an_order(skus=("sku-1",)), events=0, paid=100)
    await real.store.flush(*real.lease, [template])
    columns = await real.store.database.fetch(
        "select column_name from information_schema.columns where table_name = 'orders' and is_generated = 'NEVER'"
    )
    changed = {
        "id": "gen_random_uuid()",
        "created_at": "$1::timestamptz + make_interval(hours => n)",
        "currency": "currency_of",
        "skus": "array['sku-' || n]",
        "paid": "n",
        "total": "n",
    }
    names = [row["column_name"] for row in columns]
    await real.store.database.fetch(
        f"insert into orders ({', '.join(names)}) select {', '.join(changed.get(name, f'o.{name}') for name in names)}"  # noqa: S608
        f" from orders o, generate_series(0, {HOURS - 1}) n, unnest(array['EUR', 'USD', 'JPY']) currency_of",
        NOW - timedelta(hours=HOURS + 24),
    )
    span = f"from={(NOW - timedelta(hours=HOURS + 48)).isoformat()}&to={NOW.isoformat()}".replace("+", "%2B")
    ask = {"token": token("admin")}
    told = (await real.ask("GET", "/api/orders/statistics", query=f"{span}&bucket=hour", **ask)).json
    assert told["orders"] == 3 * HOURS
    assert len(told["buckets"]) == HOURS
    assert sum(each["orders"] for each in told["buckets"]) == told["orders"]
    for currency, revenue in told["revenue"].items():
        assert sum(each["revenue"].get(currency, 0) for each in told["buckets"]) == revenue
    # The thousand skus that earned most, and one group of all others.
    groups = (await real.ask("GET", "/api/orders/statistics", query=f"{span}&group_by=sku", **ask)).json["groups"]
    assert {each["key"] for each in groups} == {None, *(f"sku-{n}" for n in range(HOURS - 1000, HOURS))}
    assert groups[-1] == {
        "key": None,
        "orders": 3 * (HOURS - 1000),
        "revenue": dict.fromkeys(("EUR", "JPY", "USD"), sum(range(HOURS - 1000))),
    }
    assert sum(each["orders"] for each in groups) == told["orders"]
