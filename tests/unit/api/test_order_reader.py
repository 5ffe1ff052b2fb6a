from __future__ import annotations

import json

from msgspec.structs import replace

from api import order_reader
from api.access.security import Caller
from api.order_reader import OrderReader
from tests.unit.api.harness import ORDER_ID, FakeQueries, an_order

CALLER = Caller(subject="s", scopes=frozenset(), customer_id=None, token_id="t", is_admin=True)


async def test_an_unchanged_order_is_rendered_once_and_a_changed_one_anew() -> None:
    queries = FakeQueries()
    reader = OrderReader(queries)
    queries.keep(an_order())
    first = await reader.shown(ORDER_ID, CALLER)
    assert await reader.shown(ORDER_ID, CALLER) is first
    queries.keep(an_order(version=2, number="ORD-000000001"))
    second = await reader.shown(ORDER_ID, CALLER)
    assert (second.version, json.loads(second.document)["number"]) == (2, "ORD-000000001")


async def test_no_more_documents_are_kept_than_the_bound() -> None:
    queries = FakeQueries()
    reader = OrderReader(queries)
    ids = [f"{ORDER_ID[:-4]}{number:04}" for number in range(order_reader.RENDERED_MAX_ORDERS + 1)]
    for order_id in ids:
        queries.keep(replace(an_order(), id=order_id))
    first = await reader.shown(ids[0], CALLER)
    for order_id in ids[1:]:
        await reader.shown(order_id, CALLER)
    assert await reader.shown(ids[0], CALLER) is not first
