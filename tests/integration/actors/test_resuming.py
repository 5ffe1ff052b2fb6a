"""A shard that starts with many active orders: it answers at once, and takes up the others at a bounded rate, most overdue first."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from actors.order.replies import Reply
from domain.commands import AddItem
from domain.order import Order
from storage.writes.order_store import Loaded
from tests.integration.actors.hosting import Held, Hosted, an_id, creation, until
from tests.integration.storage.orders import a_commit, an_order
from tests.integration.storage.owning import add_process, owner_of_all

ORDERS = 400
BATCH_ORDERS = 100
PAGE_ORDERS = 20
PAGE_EVERY_S = 0.1
OVERDUE = timedelta(days=1)
NAME = "order-shard-0"
END_PROCESS = "delete from processes where process = $1"
POLICIES = {
    "waits for a partner": dataclasses.replace(
        Hosted.policy, resume_page_orders=PAGE_ORDERS, resume_max_orders_per_s=round(PAGE_ORDERS / PAGE_EVERY_S)
    ),
    "its time is over": dataclasses.replace(Hosted.policy, poll_every_s=PAGE_EVERY_S, poll_max_orders=PAGE_ORDERS),
}


class Reading(Held):
    """A store that knows which orders were read, and when."""

    read: list[tuple[float, str]]

    async def load(self, order_ids: Sequence[str]) -> dict[str, Loaded]:
        now_s = asyncio.get_running_loop().time()
        self.read += [(now_s, order_id) for order_id in order_ids]
        return await super().load(order_ids)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Reading]:
    opened = await Reading.open(database_url, application_name="starting")
    assert isinstance(opened, Reading)
    opened.read = []
    yield opened
    await opened.close()


async def fill(store: Reading, what: str) -> dict[str, datetime]:
    """Active orders, each overdue by another time: their deadlines by their ids, the most overdue first."""
    now = await store.now()
    deadlines = [now - OVERDUE + timedelta(seconds=n) for n in range(ORDERS)]
    random.Random(7).shuffle(deadlines)
    made = {an_id(): deadline for deadline in deadlines}
    before = await owner_of_all(store, NAME)
    commits = [a_commit(order_that(what, order_id, deadline), deadline=deadline) for order_id, deadline in made.items()]
    for first in range(0, ORDERS, BATCH_ORDERS):
        result = await store.flush(*before, commits[first : first + BATCH_ORDERS])
        assert len(result.committed) == BATCH_ORDERS
    await store.database.fetch(END_PROCESS, before.process)
    return dict(sorted(made.items(), key=lambda each: each[1]))


def order_that(what: str, order_id: str, deadline: datetime) -> Order:
    """An order with a step running, or one without that has expired."""
    order = an_order(order_id=order_id, expires_at=deadline, event_seq=1)
    return order if what == "waits for a partner" else replace(order, steps=())


@pytest.mark.parametrize("what", POLICIES)
async def test_commands_are_answered_while_the_rest_is_taken_up_most_overdue_first_at_a_bounded_rate(
    store: Reading, what: str
) -> None:
    overdue = await fill(store, what)
    hosted = Hosted(store, await add_process(store, NAME), NAME, POLICIES[what])
    began_s = asyncio.get_running_loop().time()
    await hosted.shard.start()
    try:
        new, least = an_id(), list(overdue)[-1]
        await hosted.takes(new)
        assert isinstance(await hosted.told(new, creation(new)), Reply)
        assert isinstance(await hosted.told(new, AddItem("sku-9", 1)), Reply)
        assert await hosted.told(least, AddItem("sku-9", 1)) is not None
        taken_up = len({order_id for _, order_id in store.read} & overdue.keys())
        assert taken_up < ORDERS / 2, "it was not answered before most of the others were there"

        async def are_all_there() -> bool:
            return overdue.keys() <= {order_id for _, order_id in store.read}

        await until(are_all_there)
    finally:
        await hosted.shard.stop()
    first_read: dict[str, float] = {}
    for at_s, order_id in store.read:
        first_read.setdefault(order_id, at_s)
    by_themselves = [order_id for order_id in first_read if order_id in overdue and order_id != least]
    assert by_themselves == [order_id for order_id in overdue if order_id != least]
    # The answer to the last one was not awaited by the others: a page more than the time allows at most.
    for count, order_id in enumerate(by_themselves):
        assert count < (2 + (first_read[order_id] - began_s) / PAGE_EVERY_S) * PAGE_ORDERS
    assert len(hosted.outside.calls) <= 4 * ORDERS
