"""Reads for the API: committed rows of PostgreSQL, so that what was answered is seen by every later read (L10).

It changes nothing and decides nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import structlog
from msgspec.structs import replace

from domain.order import Attention, Order
from domain.payments import Transaction, TransactionType
from storage.batched_reads import BatchedReader
from storage.errors import UndecodableSnapshot, Unstorable
from storage.postgres import Database, PoolLimits, Record, open_database
from storage.reads.order_filters import OrderFilters, PageKey, Sort, list_statement
from storage.reads.statistics import Bucket, GroupBy, read_statistics
from storage.unreadable import clamped_time, tell_unreadable
from storage.writes.commits import StoredEvent
from storage.writes.order_codec import decode_order
from storage.writes.shard_reads import stored_event

__all__ = ["Bucket", "GroupBy", "OrderFilters", "OrderPage", "OrderQueries", "PageKey", "Sort"]

log = structlog.get_logger()

DECODED_MAX_ORDERS = 512
TIMELINE_MAX_EVENTS = 10_000
STATISTICS_MAX_CONNECTIONS = 2
LEDGER_MAX_ENTRIES = 10_000
SET_ASIDE = "set_aside"

BY_IDS = "select id::text as id, snapshot, schema_number, set_aside from orders where id = any($1::uuid[])"
TIMELINE = f"""
select seq, type, version, {clamped_time("at")} as at, actor_type, actor_id, body, notice from order_events
where order_id = $1 order by seq limit $2
"""  # noqa: S608
LEDGER = f"""
select transaction_id::text, type, payment_id::text, refund_id::text, amount, currency, {clamped_time("t.at")} as at
from transactions t where order_id = $1 order by t.at, transaction_id limit $2
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Orders in the order of the list; ``next`` is the key to go on from, None at the end."""

    orders: tuple[Order, ...]
    next: PageKey | None


class OrderQueries:
    """Reads of orders. Every method raises ``StorageUnavailable``. An id that is no UUID names nothing."""

    def __init__(self, database: Database, for_statistics: Database | None = None) -> None:
        self._database = database
        self._for_statistics = for_statistics or database
        self._orders: BatchedReader[Order | UndecodableSnapshot] = BatchedReader(self._read_orders)

    @classmethod
    async def open(cls, database_url: str, *, application_name: str, limits: PoolLimits | None = None) -> OrderQueries:
        """Queries with a pool of their own, and a few connections for statistics, which so keep none from other reads. Raises
        ``StorageUnavailable``.
        """
        database = await open_database(database_url, application_name=application_name, limits=limits)
        few = dataclasses.replace(limits or PoolLimits(), min_connections=0, max_connections=STATISTICS_MAX_CONNECTIONS)
        name = f"{application_name}-statistics"
        return cls(database, await open_database(database_url, application_name=name, limits=few))

    async def close(self) -> None:
        """Close the pools, after what is under way."""
        await self._for_statistics.close()
        await self._database.close()

    @property
    def database(self) -> Database:
        """The pool, for the other rooms of storage that the API reads."""
        return self._database

    async def order(self, order_id: str) -> Order | None:
        """An order, or None. Several that are asked for at once are one statement. Raises ``UndecodableSnapshot``."""
        canonical = canonical_id(order_id)
        found = None if canonical is None else await self._orders.get(canonical)
        if isinstance(found, UndecodableSnapshot):
            raise found
        return found

    async def orders(
        self, filters: OrderFilters, *, sort: Sort = Sort.NEWEST_FIRST, limit: int, after: PageKey | None = None
    ) -> OrderPage:
        """A page of orders, at most ``limit``. One whose snapshot can't be read is left out, and logged."""
        statement, arguments = list_statement(filters, sort, limit + 1, after)
        try:
            rows = await self._database.fetch(statement, *arguments)
        except Unstorable:
            return OrderPage((), None)  # no order can have it
        page = rows[:limit]
        more = len(rows) > limit and page
        return OrderPage(
            orders=tuple(order for row in page if isinstance(order := _order(row), Order)),
            next=PageKey(page[-1]["key"], page[-1]["id"]) if more else None,
        )

    async def timeline(self, order_id: str) -> tuple[StoredEvent, ...]:
        """Every event of an order, oldest first; none for an order that does not exist."""
        if (canonical := canonical_id(order_id)) is None:
            return ()
        rows = await self._database.fetch(TIMELINE, canonical, TIMELINE_MAX_EVENTS)
        return tuple(stored_event(row) for row in rows)

    async def ledger(self, order_id: str) -> tuple[Transaction, ...]:
        """The ledger of an order, oldest first."""
        if (canonical := canonical_id(order_id)) is None:
            return ()
        return tuple(
            Transaction(
                transaction_id=row["transaction_id"],
                type=TransactionType(row["type"]),
                payment_id=row["payment_id"],
                refund_id=row["refund_id"],
                amount=row["amount"],
                currency=row["currency"],
                at=row["at"],
            )
            for row in await self._database.fetch(LEDGER, canonical, LEDGER_MAX_ENTRIES)
        )

    async def statistics(
        self,
        *,
        since: datetime,
        until: datetime,
        bucket: Bucket | None = None,
        group_by: GroupBy | None = None,
        customer_id: str | None = None,
    ) -> dict[str, Any]:
        """The document of ``GET /api/orders/statistics``; see ``statistics.py``."""
        return await read_statistics(
            self._for_statistics, since=since, until=until, bucket=bucket, group_by=group_by, customer_id=customer_id
        )

    async def is_well(self) -> bool:
        """Tell whether PostgreSQL answers. Raises ``StorageUnavailable`` when it does not."""
        return bool(await self._database.fetchval("select true"))

    async def _read_orders(self, order_ids: Sequence[str]) -> dict[str, Order | UndecodableSnapshot]:
        return {row["id"]: _order(row, _decoded) for row in await self._database.fetch(BY_IDS, order_ids)}


def canonical_id(order_id: str) -> str | None:
    """An order id as it is stored, or None where it can't be one."""
    try:
        return str(UUID(order_id))
    except ValueError:
        return None


@lru_cache(DECODED_MAX_ORDERS)
def _decoded(snapshot: bytes, schema_number: int) -> Order:
    """Decode what is read again and again: who waits for an order asks for it several times a version."""
    return decode_order(snapshot, schema_number)


def _order(row: Record, decode: Callable[[bytes, int], Order] = decode_order) -> Order | UndecodableSnapshot:
    try:
        order = decode(row["snapshot"], row["schema_number"])
        if (why := row["set_aside"]) is None:
            return order
        # Its own snapshot can't say so: nothing can be done with the order now.
        return replace(order, attention=(*order.attention, Attention(SET_ASIDE, SET_ASIDE, why)))
    except UndecodableSnapshot as error:
        tell_unreadable("orders", str(row["id"]), str(error))
        return error
