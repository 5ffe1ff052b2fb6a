"""Lists of orders and figures over many: filters read and checked, pages cut and continued.

Reads only. A token that has a customer sees that customer's orders and no others.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.audience import shown_to
from api.auth import ORDERS_READ, Caller
from api.cursors import Cursor, Cursors
from api.door import Door
from api.exchange import Answer, Incoming, json_answer
from api.fair_slots import FairSlots, SlotLimits
from api.fields import AS_QUERY_NUMBER, Identifier, QueryTime, is_identifier
from api.parameters import read_query
from api.ports import QueriesPort, RememberPort
from api.problems import Problem
from api.reading import encode
from domain.errors import FieldError, RefusalKind, Refused
from domain.money import AMOUNT_MAX_MINOR
from domain.order import Status
from domain.times import FIRST
from storage.filters import OrderFilters, PageKey, Sort
from storage.queries import Bucket, GroupBy
from supervised import awaited

PAGE_MAX_ROWS = 200
PAGE_DEFAULT_ROWS = 50
BUCKETS_MAX = 5000
DEFAULT_SPAN = timedelta(days=30)  # of statistics
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


Total = Annotated[int, Field(ge=0, le=AMOUNT_MAX_MINOR), AS_QUERY_NUMBER]
PageLimit = Annotated[int, Field(ge=1, le=PAGE_MAX_ROWS), AS_QUERY_NUMBER]
PaymentStatusName = Literal["unpaid", "pending", "in_doubt", "partially_paid", "paid", "refunded", "partially_refunded"]


class OrderQuery(BaseModel):
    """ObtenerHistorialDePedidos. ``created_from`` is included, ``created_to`` is not; totals are, both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer_id: Identifier | None = None
    status: list[Status] = Field(default=[], max_length=len(Status))
    payment_status: PaymentStatusName | None = None
    number: Annotated[str, StringConstraints(pattern=r"^ORD-[0-9]{9,12}$")] | None = None
    sku: Identifier | None = None
    created_from: QueryTime | None = None
    created_to: QueryTime | None = None
    total_min: Total | None = None
    total_max: Total | None = None
    needs_attention: bool | None = None
    sort: Sort = Sort.NEWEST_FIRST
    limit: PageLimit = PAGE_DEFAULT_ROWS
    cursor: Cursor | None = None


class StatisticsQuery(BaseModel):
    """ObtenerEstadísticasPedidos. ``from`` left out: the beginning of the day 30 days before ``to``; ``to`` left out: now."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: QueryTime | None = Field(default=None, alias="from")
    until: QueryTime | None = Field(default=None, alias="to")
    bucket: Bucket | None = None
    group_by: GroupBy | None = None


class ListEndpoints:
    """The handlers of ``/api/orders``, ``/api/customers/{customer_id}/orders`` and ``/api/orders/statistics``."""

    def __init__(
        self,
        door: Door,
        queries: QueriesPort,
        cursors: Cursors,
        memory: RememberPort,
        *,
        statistics_cache_s: float,
        statistics_limits: SlotLimits,
    ) -> None:
        self._door = door
        self._queries = queries
        self._cursors = cursors
        self._memory = memory
        self._statistics_cache_s = statistics_cache_s
        self._statistics_slots = FairSlots(statistics_limits)
        self._statistics_under_way: dict[str, asyncio.Task[bytes]] = {}

    async def list_all(self, asked: Incoming) -> Answer:
        """ObtenerHistorialDePedidos."""
        caller = await self._door.admit(asked, ORDERS_READ)
        query = read_query(OrderQuery, asked)
        return await self._page(caller, query, _customer(caller, query.customer_id))

    async def list_of_customer(self, asked: Incoming) -> Answer:
        """ListarPedidosDeCliente."""
        caller = await self._door.admit(asked, ORDERS_READ)
        query = read_query(OrderQuery, asked)
        named = asked.param("customer_id")
        if not is_identifier(named):
            raise _customer_not_found()
        customer_id = _customer(caller, named)
        if query.customer_id not in (None, customer_id):
            return _page_answer([], None)  # No order is two customers' at once.
        return await self._page(caller, query, customer_id)

    async def _page(self, caller: Caller, query: OrderQuery, customer_id: str | None) -> Answer:
        filters = OrderFilters(
            customer_id=customer_id,
            statuses=tuple(sorted({status.value for status in query.status})),
            payment_status=query.payment_status,
            number=query.number,
            sku=query.sku,
            created_from=query.created_from,
            created_to=query.created_to,
            total_min=query.total_min,
            total_max=query.total_max,
            needs_attention=query.needs_attention,
        )
        bound_to = [asdict(filters), query.sort.value]
        after = None
        if query.cursor is not None:
            after = _key(query.sort, self._cursors.open(bound_to, query.cursor))
        page = await self._queries.orders(filters, sort=query.sort, limit=query.limit, after=after)
        cursor = None if page.next is None else self._cursors.seal(bound_to, _position(page.next))
        return _page_answer([shown_to(caller, order) for order in page.orders], cursor)

    async def statistics(self, asked: Incoming) -> Answer:
        """ObtenerEstadísticasPedidos. What is answered may be as old as it says in ``as_of``."""
        caller = await self._door.admit(asked, ORDERS_READ)
        query = read_query(StatisticsQuery, asked)
        name = "statistics:" + encode([caller.customer_id, query.model_dump(mode="json")]).decode()
        remembered = await self._memory.recall(name)
        if remembered is None:
            under_way = self._statistics_under_way.get(name)
            if under_way is None:
                under_way = awaited("statistics", self._reckon(name, query, caller))
                self._statistics_under_way[name] = under_way
                under_way.add_done_callback(lambda _: self._statistics_under_way.pop(name, None))
            # Whoever asks the same meanwhile gets the same; who goes away takes it from nobody.
            remembered = await asyncio.shield(under_way)
        return json_answer(200, remembered)

    async def _reckon(self, name: str, query: StatisticsQuery, caller: Caller) -> bytes:
        until = query.until or datetime.now(UTC)
        since = query.since or (max(FIRST + DEFAULT_SPAN, until) - DEFAULT_SPAN).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        _check_span(since, until, query.bucket)
        async with self._statistics_slots.slot(caller.customer_id or caller.subject):
            document: dict[str, Any] = await self._queries.statistics(
                since=since, until=until, bucket=query.bucket, group_by=query.group_by, customer_id=caller.customer_id
            )
        encoded = encode(document)
        await self._memory.remember(name, encoded, keep_s=self._statistics_cache_s)
        return encoded


def _page_answer(data: list[dict[str, Any]], cursor: str | None) -> Answer:
    return json_answer(200, encode({"data": data, "page": {"next_cursor": cursor, "has_more": cursor is not None}}))


def _check_span(since: datetime, until: datetime, bucket: Bucket | None) -> None:
    if since > until:
        fault = FieldError("/from", "invalid_parameter", "Later than to")
        raise Problem("invalid_parameter", "from is later than to.", errors=(fault,))
    if bucket is not None and buckets_between(since, until, bucket) > BUCKETS_MAX:
        fault = FieldError("/bucket", "too_many_buckets", f"More than {BUCKETS_MAX} of them between from and to")
        raise Problem("too_many_buckets", f"That would be more than {BUCKETS_MAX} buckets.", errors=(fault,))


def buckets_between(since: datetime, until: datetime, bucket: Bucket) -> int:
    """How many buckets the time from ``since`` until before ``until`` touches."""
    if since == until:
        return 0
    last = until - _MICROSECOND
    if bucket is Bucket.MONTH:
        return 12 * (last.year - since.year) + last.month - since.month + 1
    length = timedelta(hours=1) if bucket is Bucket.HOUR else timedelta(days=1)
    return (last - _EPOCH) // length - (since - _EPOCH) // length + 1


def _customer(caller: Caller, named: str | None) -> str | None:
    """Whose orders are listed; raises ``Refused`` ``customer_not_found`` where they don't exist for the caller."""
    if caller.customer_id is None:
        return named
    if named not in (None, caller.customer_id):
        raise _customer_not_found()
    return caller.customer_id


def _customer_not_found() -> Refused:
    return Refused(RefusalKind.NOT_FOUND, "customer_not_found", "There is no such customer.")


def _position(key: PageKey) -> tuple[int, str]:
    """A page's end as a cursor has it: microseconds since 1970, or minor units."""
    value = key.value
    return (value if isinstance(value, int) else (value - _EPOCH) // _MICROSECOND, key.id)


def _key(sort: Sort, position: tuple[int, str]) -> PageKey:
    value, order_id = position
    return PageKey(_EPOCH + value * _MICROSECOND if sort.column == "created_at" else value, order_id)
