"""One commit in twenty is done and its answer lost, under whole lives of orders: nothing is done twice, and nothing is told wrong."""

from __future__ import annotations

import asyncio
import time

import pytest

from domain.promotions import Promotion, PromotionKind
from storage.errors import CommitUnknown
from storage.postgres import PoolLimits
from storage.writes.order_store import OrderStore
from storage.writes.promotions import Promotions
from tests.faults.lossy import lossy_way
from tests.faults.run import service
from tests.faults.under_load import SETTINGS, under_load
from tests.integration.storage.orders import a_commit, an_order
from tests.integration.storage.owning import add_shard

SEED = 5
CLIENTS = 16
CHANCE = 0.05
LOST_MIN = 80
LOAD_LIMIT_S = 120.0
FINISHED_MIN = 30


@pytest.mark.parametrize("code", [None, "TEN"])
async def test_the_lossy_way_loses_answers_of_commits_that_are_done(database_url: str, code: str | None) -> None:
    """A commit is one statement, or a transaction where a promotion is used."""
    order = an_order()
    commit = a_commit(order, promotion_uses=((code, order.customer_id),) if code else ())
    with lossy_way(database_url, SEED) as (url, lossy):
        store = await OrderStore.open(url, application_name="lossy", limits=PoolLimits(max_connections=1))
        await Promotions(store._database).create(Promotion(code="TEN", kind=PromotionKind.FREE_SHIPPING))
        shard = await add_shard(store, "order-shard-0")
        lossy.chance = 1.0
        with pytest.raises(CommitUnknown):
            await store.flush(*shard, [commit])
        lossy.chance = 0.0
        assert (await store.load([order.id]))[order.id].order == order
        assert lossy.lost == 1
        await store.close()


def test_lives_go_on_although_answers_of_commits_are_lost(database_url: str) -> None:
    with lossy_way(database_url, SEED) as (url, lossy):

        async def lose() -> None:
            lossy.chance = CHANCE
            deadline_s = time.monotonic() + LOAD_LIMIT_S
            while lossy.lost < LOST_MIN:
                assert time.monotonic() < deadline_s, f"{lossy.lost} of {lossy.commits} answers were lost"
                await asyncio.sleep(0.1)
            lossy.chance = 0.0

        with service(settings={**SETTINGS, "DATABASE_URL": url}) as started:
            came = asyncio.run(under_load(started, SEED, CLIENTS, lose, database_url=database_url))
    print(came, lossy)
    assert not came.violations, "\n".join(map(str, came.violations))
    assert came.finished >= FINISHED_MIN, came
