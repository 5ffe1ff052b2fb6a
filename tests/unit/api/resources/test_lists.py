from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from storage.reads.order_filters import OrderFilters, PageKey, Sort
from storage.reads.order_queries import Bucket, OrderPage
from tests.unit.api.harness import NOW, ORDER_ID, World, an_order, token


async def test_a_page_has_orders_and_says_whether_there_are_more(world: World) -> None:
    world.queries.page = OrderPage((an_order(),), None)
    document = (await world.ask("GET", "/api/orders")).json
    assert [order["id"] for order in document["data"]] == [ORDER_ID]
    assert document["page"] == {"next_cursor": None, "has_more": False}
    assert world.queries.listed == [(OrderFilters(), Sort.NEWEST_FIRST, 50, None)]


async def test_every_filter_is_handed_on(world: World) -> None:
    query = (
        "customer_id=c-1&status=paid&status=created&payment_status=unpaid&number=ORD-000000042&sku=SKU-1"
        "&created_from=2026-11-01&created_to=2026-11-24T10:00:00%2B01:00&total_min=0&total_max=99"
        "&needs_attention=true&sort=-total&limit=200"
    )
    assert (await world.ask("GET", "/api/orders", query=query)).status == 200
    assert world.queries.listed == [
        (
            OrderFilters(
                customer_id="c-1",
                statuses=("created", "paid"),
                payment_status="unpaid",
                number="ORD-000000042",
                sku="SKU-1",
                created_from=datetime(2026, 11, 1, tzinfo=UTC),
                created_to=datetime(2026, 11, 24, 9, tzinfo=UTC),
                total_min=0,
                total_max=99,
                needs_attention=True,
            ),
            Sort.DEAREST_FIRST,
            200,
            None,
        )
    ]


async def test_a_plus_that_was_not_escaped_is_understood(world: World) -> None:
    await world.ask("GET", "/api/orders", query="created_from=2026-11-24T10:00:00+01:00")
    assert world.queries.listed[0][0].created_from == datetime(2026, 11, 24, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=ten", "/limit"),
        ("status=lost", "/status/0"),
        ("payment_status=maybe", "/payment_status"),
        ("created_from=1700000000", "/created_from"),
        ("created_from=yesterday", "/created_from"),
        ("total_min=-1", "/total_min"),
        ("total_max=1.5", "/total_max"),
        ("needs_attention=perhaps", "/needs_attention"),
        ("sort=name", "/sort"),
        ("number=42", "/number"),
        ("sku=%00", "/sku"),
        ("surprise=1", "/surprise"),
        ("limit=1&limit=2", "/limit"),
    ],
)
async def test_a_parameter_that_can_not_be_used_is_named(world: World, query: str, pointer: str) -> None:
    answered = await world.ask("GET", "/api/orders", query=query)
    assert (answered.status, answered.code) == (422, "invalid_parameter")
    assert answered.json["errors"][0]["pointer"] == pointer


async def test_a_query_has_a_bound(world: World) -> None:
    answered = await world.ask("GET", "/api/orders", query="&".join(["status=paid"] * 101))
    assert (answered.status, answered.code) == (422, "invalid_parameter")


@pytest.mark.parametrize(
    ("sort", "value"), [("created_at", NOW + timedelta(microseconds=7)), ("-created_at", NOW), ("total", 7125)]
)
async def test_a_cursor_goes_on_where_the_page_ended(world: World, sort: str, value: datetime | int) -> None:
    world.queries.page = OrderPage((an_order(),), PageKey(value, ORDER_ID))
    first = (await world.ask("GET", "/api/orders", query=f"sort={sort}&status=paid&status=created&limit=1")).json
    assert first["page"]["has_more"] is True
    cursor = first["page"]["next_cursor"]
    query = f"sort={sort}&status=created&status=paid&limit=2&cursor={cursor}"
    assert (await world.ask("GET", "/api/orders", query=query)).status == 200
    assert world.queries.listed[1][3] == PageKey(value, ORDER_ID)


async def test_a_cursor_is_bound_to_its_filters_and_can_not_be_forged(world: World) -> None:
    world.queries.page = OrderPage((an_order(),), PageKey(NOW, ORDER_ID))
    cursor = (await world.ask("GET", "/api/orders", query="status=paid")).json["page"]["next_cursor"]
    forged = ("B" if cursor[0] == "A" else "A") + cursor[1:]
    for query in (
        f"cursor={cursor}",
        f"status=created&cursor={cursor}",
        f"status=paid&sort=total&cursor={cursor}",
        f"status=paid&cursor={forged}",
        f"status=paid&cursor={cursor[:-3]}",
        "status=paid&cursor=nonsense",
        "status=paid&cursor=%C3%A9",
        "status=paid&cursor=",
    ):
        answered = await world.ask("GET", "/api/orders", query=query)
        assert (answered.status, answered.code) == (400, "invalid_cursor"), query
    other = await world.ask("GET", "/api/orders", query=f"status=paid&cursor={cursor}", token=token(customer_id="c-1"))
    assert other.code == "invalid_cursor"


async def test_a_cursor_of_the_customers_own_path_is_one_of_the_list_by_customer(world: World) -> None:
    world.queries.page = OrderPage((an_order(),), PageKey(NOW, ORDER_ID))
    cursor = (await world.ask("GET", "/api/customers/c-1/orders")).json["page"]["next_cursor"]
    assert (await world.ask("GET", "/api/orders", query=f"customer_id=c-1&cursor={cursor}")).status == 200
    assert (await world.ask("GET", "/api/customers/c-2/orders", query=f"cursor={cursor}")).code == "invalid_cursor"


async def test_a_customers_token_lists_its_own_orders_only(world: World) -> None:
    own = token(customer_id="c-1")
    assert (await world.ask("GET", "/api/orders", token=own)).status == 200
    assert (await world.ask("GET", "/api/orders", query="customer_id=c-1", token=own)).status == 200
    assert (await world.ask("GET", "/api/customers/c-1/orders", token=own)).status == 200
    assert {listed[0].customer_id for listed in world.queries.listed} == {"c-1"}
    for path, query in (("/api/orders", "customer_id=c-2"), ("/api/customers/c-2/orders", "")):
        answered = await world.ask("GET", path, query=query, token=own)
        assert (answered.status, answered.code) == (404, "customer_not_found")


async def test_a_customers_id_in_a_path_may_hold_a_slash(world: World) -> None:
    assert (await world.ask("GET", "/api/customers/shop%2Fc-1%2Forders/orders")).status == 200
    assert world.queries.listed[0][0].customer_id == "shop/c-1/orders"
    assert (await world.ask("GET", "/api/customers/shop/c-1/orders")).code == "not_found"
    assert (await world.ask("GET", "/api/promotions/a%2Fb")).code == "promotion_not_found"
    assert (await world.ask("GET", "/api%2Forders")).code == "not_found"


async def test_no_order_is_that_of_the_paths_customer_and_of_another_one(world: World) -> None:
    assert (await world.ask("GET", "/api/customers/c-1/orders", query="customer_id=c-1")).status == 200
    assert len(world.queries.listed) == 1
    answered = await world.ask("GET", "/api/customers/c-1/orders", query="customer_id=c-2")
    assert answered.json == {"data": [], "page": {"next_cursor": None, "has_more": False}}
    assert len(world.queries.listed) == 1


async def test_statistics_are_remembered_for_each_caller_and_question(world: World) -> None:
    for _ in range(2):
        assert (await world.ask("GET", "/api/orders/statistics", query="bucket=day")).json == {"orders": 1}
    assert len(world.queries.reckoned) == 1
    await world.ask("GET", "/api/orders/statistics", query="bucket=hour")
    await world.ask("GET", "/api/orders/statistics", query="bucket=day", token=token(customer_id="c-1"))
    assert [each["customer_id"] for each in world.queries.reckoned] == [None, None, "c-1"]


async def test_statistics_that_many_ask_for_at_once_are_reckoned_once(world: World) -> None:
    answers = await asyncio.gather(*(world.ask("GET", "/api/orders/statistics", query="bucket=day") for _ in range(20)))
    assert {(each.status, each.body) for each in answers} == {(200, b'{"orders":1}')}
    assert len(world.queries.reckoned) == 1


async def test_statistics_reach_thirty_days_back_unless_told_otherwise(world: World) -> None:
    await world.ask("GET", "/api/orders/statistics", query="to=2026-11-24T00:00:00Z&bucket=month")
    asked = world.queries.reckoned[0]
    assert asked["since"] == (asked["until"] - timedelta(days=30)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert asked["bucket"] is Bucket.MONTH


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-11-24&to=2026-11-23",
        "bucket=week",
        "group_by=customer",
        "since=2026-01-01",
    ],
)
async def test_statistics_that_can_not_be_made_are_refused(world: World, query: str) -> None:
    answered = await world.ask("GET", "/api/orders/statistics", query=query)
    assert (answered.status, answered.code) == (422, "invalid_parameter")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("from=2026-01-01T00:00:00Z&to=2026-07-28T08:00:00Z&bucket=hour", 200),
        ("from=2026-01-01T00:00:00Z&to=2026-07-28T08:00:00.000001Z&bucket=hour", 422),
        # As long, but it touches one hour more.
        ("from=2026-01-01T00:30:00Z&to=2026-07-28T08:30:00Z&bucket=hour", 422),
        ("from=2000-01-01&to=2013-09-09&bucket=day", 200),
        ("from=2000-01-01&to=2013-09-10&bucket=day", 422),
        ("from=1600-01-01&to=2016-09-01&bucket=month", 200),
        ("from=1600-01-01&to=2016-09-02&bucket=month", 422),
        ("from=0001-01-01&to=9999-12-31T23:59:59.999999Z&bucket=month", 422),
        ("from=0001-01-01&to=9999-12-31T23:59:59.999999Z", 200),
        ("from=2026-01-01&to=2026-01-01&bucket=hour", 200),
    ],
)
async def test_there_are_five_thousand_buckets_at_most(world: World, query: str, status: int) -> None:
    answered = await world.ask("GET", "/api/orders/statistics", query=query)
    assert answered.status == status
    if status != 200:
        assert answered.code == "too_many_buckets"
        assert answered.json["errors"][0]["pointer"] == "/bucket"


OUT_OF_RANGE = (
    "0001-01-01T00:00:00%2B01:00",
    "0001-01-01T00:00:00+14:00",
    "0000-01-01",
    "9999-12-31T23:59:59-00:01",
    "9999-12-31T23:59:59.999999-12:00",
)


@pytest.mark.parametrize("text", OUT_OF_RANGE)
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/orders", "created_from"),
        ("/api/orders", "created_to"),
        ("/api/customers/c-1/orders", "created_from"),
        ("/api/customers/c-1/orders", "created_to"),
        ("/api/orders/statistics", "from"),
        ("/api/orders/statistics", "to"),
    ],
)
async def test_a_time_that_is_no_instant_of_ours_is_named(world: World, path: str, name: str, text: str) -> None:
    """Bringing it to UTC overflowed, which was told as 500."""
    answered = await world.ask("GET", path, query=f"{name}={text}")
    assert (answered.status, answered.code) == (422, "time_out_of_range")
    assert answered.json["errors"][0]["pointer"] == f"/{name}"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "0000-12-31T23:00:00-01:00", "0001-01-15"])
async def test_statistics_up_to_the_first_times_begin_with_the_first(world: World, text: str) -> None:
    """``from`` left out is thirty days before ``to``, of which there need not be so many."""
    assert (await world.ask("GET", "/api/orders/statistics", query=f"to={text}")).status == 200
    assert world.queries.reckoned[0]["since"] == datetime(1, 1, 1, tzinfo=UTC)


async def test_the_first_and_the_last_instant_are_filters_like_others(world: World) -> None:
    query = "created_from=0001-01-01T05:00:00%2B05:00&created_to=9999-12-31T18:59:59.999999-05:00"
    assert (await world.ask("GET", "/api/orders", query=query)).status == 200
    filters = world.queries.listed[0][0]
    assert filters.created_from == datetime(1, 1, 1, tzinfo=UTC)
    assert filters.created_to == datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


NUMBERS = [
    ("3", 3), ("3.0", 3), ("3e0", 3), ("30e-1", 3), ("0.3e1", 3), ("3E%2B0", 3), ("03", 3),
    ("1_0", None), ("%D9%A3", None), ("%EF%BC%93", None), ("%2B3", None), ("%203", None), ("3%0A", None), ("0x3", None), ("3.5", None),
    ("NaN", None), ("Infinity", None), ("1e400", None), ("1e-400", None), ("-3", None), ("9" * 400, None), ("3.", None), ("", None),
    ("1e99999999999999999999", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/orders", "total_min"),
        ("/api/orders", "total_max"),
        ("/api/orders", "limit"),
        ("/api/customers/c-1001/orders", "limit"),
        ("/api/promotions", "limit"),
        ("/api/dead-letters", "limit"),
    ],
)
@pytest.mark.parametrize(("text", "value"), NUMBERS)
async def test_numbers_in_queries_are_json_numbers_and_equal_by_value(
    world: World, path: str, name: str, text: str, value: int | None
) -> None:
    """``1_0`` was 10; ``3.0`` was 3, and ``3e0`` no number."""
    answered = await world.ask("GET", path, query=f"{name}={text}", token=token("admin"))
    if value is None:
        assert (answered.status, answered.json["errors"][0]["pointer"]) == (422, f"/{name}")
    else:
        assert answered.status == 200
    if value is not None and world.queries.listed:
        filters, _, limit, _ = world.queries.listed[0]
        assert value in (filters.total_min, filters.total_max, limit)
