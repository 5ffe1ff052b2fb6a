from __future__ import annotations

from datetime import UTC, datetime

import pytest

from storage.filters import OrderFilters, PageKey, Sort, list_statement

AT = datetime(2026, 1, 5, tzinfo=UTC)


def test_a_list_without_filters_is_only_sorted_and_cut() -> None:
    statement, arguments = list_statement(OrderFilters(), Sort.NEWEST_FIRST, 51, None)
    assert "where" not in statement
    assert statement.endswith("order by o.created_at desc, o.id desc limit $1")
    assert arguments == [51]


def test_every_argument_has_its_place_and_no_value_is_in_the_text() -> None:
    filters = OrderFilters(
        customer_id="c'--",
        statuses=("created",),
        payment_status="unpaid",
        number="ORD-1",
        sku="sku;",
        created_from=AT,
        created_to=AT,
        total_min=0,
        total_max=9,
        needs_attention=False,
    )
    statement, arguments = list_statement(filters, Sort.CHEAPEST_FIRST, 7, PageKey(5, "id"))
    assert [argument for argument in arguments if isinstance(argument, str)] == [
        "c'--",
        "unpaid",
        "ORD-1",
        "sku;",
        "id",
    ]
    for place in range(1, len(arguments) + 1):
        assert f"${place}" in statement
    assert f"${len(arguments) + 1}" not in statement
    assert "c'--" not in statement
    assert "sku;" not in statement


@pytest.mark.parametrize(
    ("statuses", "open_only"),
    [(("validated",), True), (("validated", "cancelling"), True), (("validated", "cancelled"), False), ((), False)],
)
def test_orders_that_are_always_open_are_looked_for_among_the_open(statuses: tuple[str, ...], open_only: bool) -> None:
    statement, _ = list_statement(OrderFilters(statuses=statuses), Sort.NEWEST_FIRST, 51, None)
    assert ("o.is_open" in statement) is open_only


@pytest.mark.parametrize(
    ("sort", "condition"),
    [
        (Sort.OLDEST_FIRST, "(o.created_at, o.id) > ($1::timestamptz, $2::uuid)"),
        (Sort.NEWEST_FIRST, "(o.created_at, o.id) < ($1::timestamptz, $2::uuid)"),
        (Sort.CHEAPEST_FIRST, "(o.total, o.id) > ($1::bigint, $2::uuid)"),
        (Sort.DEAREST_FIRST, "(o.total, o.id) < ($1::bigint, $2::uuid)"),
    ],
)
def test_a_page_goes_on_after_its_key_in_the_direction_of_the_sort(sort: Sort, condition: str) -> None:
    key = PageKey(AT if sort.column == "created_at" else 5, "id")
    assert condition in list_statement(OrderFilters(), sort, 51, key)[0]
