"""Lists of orders as SQL: from filters, a sort and a place to go on from, to a statement that an index answers.

Pure: it makes texts and arguments. Pages are cut by key, (sort column, id), so that orders which come or go
meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


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
    ``created_to`` is not. Totals are minor units, both ends included, whatever the currency.
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


# An order in one of these is always open; the index of open orders finds even a handful of them among millions.
OPEN_STATUSES = frozenset({"created", "validated", "paid", "confirmed", "prepared", "shipped", "cancelling"})

BIGINT_MAX = 2**63 - 1
CONDITIONS = {
    "customer_id": "o.customer_id = {}",
    "payment_status": "o.payment_status = {}",
    "number": "o.number = {}",
    "created_from": "o.created_at >= {}",
    "created_to": "o.created_at < {}",
    "total_min": "o.total >= {}",
    "total_max": "o.total <= {}",
}


def list_statement(filters: OrderFilters, sort: Sort, limit: int, after: PageKey | None) -> tuple[str, list[Any]]:
    """The statement and its arguments. Rows: id, snapshot, schema_number, and the sort column as ``key``."""
    arguments: list[Any] = []

    def place(value: Any) -> str:
        arguments.append(value)
        return f"${len(arguments)}"

    where: list[str] = []
    key, identity, source = f"o.{sort.column}", "o.id", "orders o"
    for name, text in CONDITIONS.items():
        value = getattr(filters, name)
        if value is not None:
            where.append(text.format(place(_within_bigint(value) if isinstance(value, int) else value)))
    if filters.statuses:
        where.append(f"o.status = any({place(list(filters.statuses))}::text[])")
        if OPEN_STATUSES.issuperset(filters.statuses):
            where.append("o.is_open")
    if filters.needs_attention is not None:
        where.append("o.needs_attention" if filters.needs_attention else "not o.needs_attention")
    if filters.sku is not None:
        source = "order_skus s join orders o on o.id = s.order_id"
        sku = place(filters.sku)
        where.append(f"s.sku = {sku} and {sku} = any(o.skus)")
        if sort.column == "created_at":
            key, identity = "s.created_at", "s.order_id"
    if after is not None:
        kind = "timestamptz" if sort.column == "created_at" else "bigint"
        sign = "<" if sort.is_descending else ">"
        where.append(f"({key}, {identity}) {sign} ({place(after.value)}::{kind}, {place(after.id)}::uuid)")
    direction = "desc" if sort.is_descending else "asc"
    # Only names of this file go into the text; values are arguments.
    statement = (
        f"select o.id::text as id, o.snapshot, o.schema_number, o.{sort.column} as key from {source}"  # noqa: S608
        f"{' where ' if where else ''}{' and '.join(where)}"
        f" order by {key} {direction}, {identity} {direction} limit {place(limit)}"
    )
    return statement, arguments


def _within_bigint(amount: int) -> int:
    return max(-BIGINT_MAX, min(BIGINT_MAX, amount))
