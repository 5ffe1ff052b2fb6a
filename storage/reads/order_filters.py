"""Lists of orders as SQL: from filters, a sort and a place to go on from, to a statement that an index answers.

Pure: it makes texts and arguments. Pages are cut by key, (sort column, id), so that orders which come or go
meanwhile neither repeat nor hide others. Which index answers what, and how fast, is in ``docs/queries.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from storage.unreadable import has_readable_time


class Sort(StrEnum):
    """The orders of a list; the minus turns one round. Ties go by id."""

    OLDEST_FIRST = "created_at"
    NEWEST_FIRST = "-created_at"
    CHEAPEST_FIRST = "total"
    DEAREST_FIRST = "-total"

    @property
    def column(self) -> str:
        """What it sorts by."""
        return self.value.removeprefix("-")

    @property
    def is_descending(self) -> bool:
        """Whether the greatest come first."""
        return self.value.startswith("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilters:
    """What a list is narrowed to; None and empty: not at all.

    ``statuses``: any of them. ``sku``: orders that have a line of it now. ``created_from`` is included,
    ``created_to`` is not. Totals are minor units, both ends included, in any currency.
    """

    customer_id: str | None = None
    statuses: tuple[str, ...] = ()
    payment_status: str | None = None
    number: str | None = None
    sku: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    total_min: int | None = None
    total_max: int | None = None
    needs_attention: bool | None = None


@dataclass(frozen=True, slots=True)
class PageKey:
    """The last order of a page: ``value`` of the sort column (a time, or minor units), and its id."""

    value: datetime | int
    id: str


# Statuses that ``orders.listed_status`` has, and payment statuses that ``orders.listed_payment_status`` has of open orders too.
# Any other status is an open order's.
CLOSED_STATUSES = frozenset({"delivered", "cancelled"})
LISTED_STATUSES = CLOSED_STATUSES | {"cancelling"}
LISTED_PAYMENT_STATUSES = frozenset({"in_doubt", "partially_paid", "refunded", "partially_refunded"})

BIGINT_MAX = 2**63 - 1
CONDITIONS = {
    "customer_id": "o.customer_id = {}",
    "number": "o.number = {}",
    "created_from": "o.created_at >= {}",
    "created_to": "o.created_at < {}",
    "total_min": "o.total >= {}",
    "total_max": "o.total <= {}",
}
# Up to so many orders of a sku are read and sorted by total; if there are more, the walk along all totals meets them soon.
SKU_SORTED_MAX_ORDERS = 5_000
# No index has it: orders that are few already are read and sorted, never looked for along the totals of all.
TOTAL_SORTED = "(o.total + 0)"


class _Arguments(list[Any]):
    """Values of a statement; each has a place in its text."""

    def place(self, value: Any) -> str:
        self.append(value)
        return f"${len(self)}"


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to find orders: the tables, what their key is there, and what must be true."""

    source: str
    key: str
    identity: str
    conditions: tuple[str, ...] = ()


def list_statement(filters: OrderFilters, sort: Sort, limit: int, after: PageKey | None) -> tuple[str, list[Any]]:
    """The statement and its arguments. Rows: id, snapshot, schema_number, set_aside, and the sort column as ``key``.

    Where open and closed orders are found by different indexes, each kind is looked for in its own, and the two are
    merged.
    """
    arguments = _Arguments()
    common = [
        text.format(arguments.place(_within_bigint(value) if isinstance(value, int) else value))
        for name, text in CONDITIONS.items()
        if (value := getattr(filters, name)) is not None
    ]
    if filters.needs_attention is not None:
        common.append("o.needs_attention" if filters.needs_attention else "not o.needs_attention")
    if sort.column == "created_at":  # a time that is none has no place among the others, and can't be gone on from
        common.append(has_readable_time("o.created_at"))
    before, ways = _ways(filters, sort, arguments)
    states = _states(filters, arguments)
    place_after = None
    if after is not None:
        kind = "timestamptz" if sort.column == "created_at" else "bigint"
        sign = "<" if sort.is_descending else ">"
        place_after = f"{sign} ({arguments.place(after.value)}::{kind}, {arguments.place(after.id)}::uuid)"
    direction = "desc" if sort.is_descending else "asc"
    cut = arguments.place(limit)
    # Only names of this file go into the texts; values are arguments.
    branches = []
    for way in ways:
        for state in states:
            where = [*common, *way.conditions, *state]
            if place_after is not None:
                where.append(f"({way.key}, {way.identity}) {place_after}")
            branches.append(
                f"select o.id, o.snapshot, o.schema_number, o.set_aside, o.{sort.column} as key from {way.source}"  # noqa: S608
                f"{' where ' if where else ''}{' and '.join(where)}"
                f" order by {way.key} {direction}, {way.identity} {direction} limit {cut}"
            )
    if len(branches) == 1:
        return before + branches[0], arguments
    merged = " union all ".join(f"({branch})" for branch in branches)
    return f"{before}select * from ({merged}) o order by key {direction}, id {direction} limit {cut}", arguments  # noqa: S608


def _ways(filters: OrderFilters, sort: Sort, arguments: _Arguments) -> tuple[str, list[_Way]]:
    """The ways by which the orders are found, of which one finds any, and what the statement begins with."""
    key = f"o.{sort.column}"
    if sort.column == "total" and filters.customer_id is not None:
        key = TOTAL_SORTED
    everywhere = _Way("orders o", key, "o.id")
    if filters.sku is None:
        return "", [everywhere]
    sku = arguments.place(filters.sku)
    has_it = f"{sku} = any(o.skus)"
    sold = "order_skus s join orders o on o.id = s.order_id"
    if sort.column == "created_at":
        return "", [_Way(sold, "s.created_at", "s.order_id", (f"s.sku = {sku}", has_it))]
    few = f"with few as materialized (select from order_skus where sku = {sku} limit {SKU_SORTED_MAX_ORDERS + 1}) "
    count = "(select count(*) from few)"
    return few, [
        _Way(sold, TOTAL_SORTED, "o.id", (f"s.sku = {sku}", has_it, f"{count} <= {SKU_SORTED_MAX_ORDERS}")),
        _Way(everywhere.source, key, "o.id", (has_it, f"{count} > {SKU_SORTED_MAX_ORDERS}")),
    ]


def _states(filters: OrderFilters, arguments: _Arguments) -> list[tuple[str, ...]]:
    """Conditions on the two statuses; an order that is wanted fulfils exactly one of them."""
    payment = None if filters.payment_status is None else arguments.place(filters.payment_status)
    when_closed = () if payment is None else (f"o.listed_payment_status = {payment}",)
    when_open = when_closed
    if payment is not None and filters.payment_status not in LISTED_PAYMENT_STATUSES:
        when_open = (f"o.payment_status = {payment}",)
    if not filters.statuses:
        return [when_closed] if when_open == when_closed else [when_closed, ("o.is_open", *when_open)]
    states = [
        (f"o.listed_status = {arguments.place(status)}", *(when_closed if status in CLOSED_STATUSES else when_open))
        for status in filters.statuses
        if status in LISTED_STATUSES
    ]
    passing = [status for status in filters.statuses if status not in LISTED_STATUSES]
    if passing:
        states.append(("o.is_open", f"o.status = any({arguments.place(passing)}::text[])", *when_open))
    return states


def _within_bigint(amount: int) -> int:
    return max(-BIGINT_MAX, min(BIGINT_MAX, amount))
