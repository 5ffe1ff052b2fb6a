from __future__ import annotations

from datetime import UTC, datetime

import pytest

from storage.reads.order_filters import SKU_SORTED_MAX_ORDERS, OrderFilters, PageKey, Sort, list_statement

AT = datetime(2026, 1, 5, tzinfo=UTC)
READABLE = "o.created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'"
HOW_MANY = "(select count(*) from few)"


def test_a_list_without_filters_is_only_sorted_and_cut() -> None:
    statement, arguments = list_statement(OrderFilters(), Sort.NEWEST_FIRST, 51, None)
    assert statement.endswith(f"where {READABLE} order by o.created_at desc, o.id desc limit $1")
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
    for sort in Sort:
        statement, arguments = list_statement(filters, sort, 7, PageKey(5, "id"))
        assert {"c'--", "unpaid", "ORD-1", "sku;", "id"} <= {each for each in arguments if isinstance(each, str)}
        for place in range(1, len(arguments) + 1):
            assert f"${place}" in statement
        assert f"${len(arguments) + 1}" not in statement
        assert "c'--" not in statement
        assert "sku;" not in statement


@pytest.mark.parametrize(
    ("statuses", "payment", "conditions"),
    [
        # What every order passes through is looked for among the open ones, what few or the closed have in its index.
        (("validated", "shipped"), None, ["o.is_open and o.status = any($1::text[])"]),
        (("cancelled",), None, ["o.listed_status = $1"]),
        (("cancelling",), None, ["o.listed_status = $1"]),
        (("cancelled", "validated"), None, ["o.listed_status = $1", "o.is_open and o.status = any($2::text[])"]),
        ((), "in_doubt", ["o.listed_payment_status = $1"]),
        ((), "unpaid", ["o.listed_payment_status = $1", "o.is_open and o.payment_status = $1"]),
        (("cancelled",), "unpaid", ["o.listed_status = $2 and o.listed_payment_status = $1"]),
        (("cancelling",), "paid", ["o.listed_status = $2 and o.payment_status = $1"]),
        (("created",), "unpaid", ["o.is_open and o.status = any($2::text[]) and o.payment_status = $1"]),
    ],
)
def test_each_state_is_looked_for_where_an_index_has_it(
    statuses: tuple[str, ...], payment: str | None, conditions: list[str]
) -> None:
    filters = OrderFilters(statuses=statuses, payment_status=payment)
    statement, _ = list_statement(filters, Sort.NEWEST_FIRST, 51, None)
    found = [part.split(" order by ")[0] for part in statement.split(" where ")[1:]]
    assert found == [f"{READABLE} and {condition}" for condition in conditions]


def test_a_customers_orders_are_not_looked_for_along_all_totals() -> None:
    statement, _ = list_statement(OrderFilters(customer_id="c"), Sort.DEAREST_FIRST, 51, PageKey(5, "id"))
    assert "((o.total + 0), o.id) < ($2::bigint, $3::uuid)" in statement
    assert "order by (o.total + 0) desc" in statement


def test_only_orders_of_a_sku_that_few_have_are_sorted_by_total() -> None:
    statement, _ = list_statement(OrderFilters(sku="s"), Sort.DEAREST_FIRST, 51, None)
    most = str(SKU_SORTED_MAX_ORDERS)
    sold, everywhere = (branch.split(" order by ")[0] for branch in statement.split(" union all "))
    assert sold.endswith(f"s.sku = $1 and $1 = any(o.skus) and {HOW_MANY} <= {most}")
    assert everywhere.endswith(f"where $1 = any(o.skus) and {HOW_MANY} > {most}")


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
