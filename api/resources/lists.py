"""Lists of orders and figures over many: pages cut and continued.

Reads only. A token that has a customer sees that customer's orders and no others.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.access.contexts import OrdersReader, ReaderContext
from api.access.security import Caller
from api.openapi.described import UNCHANGED, Success, described
from api.shapes import documents as doc
from api.shapes.audience import shown_to
from api.shapes.fields import is_identifier
from api.shapes.ids import CustomerId
from api.shapes.queries import OrderQuery, StatisticsQuery
from api.shapes.responses import json_response, page_of, tagged_response
from domain.errors import RefusalKind, Refused
from storage.reads.order_filters import OrderFilters, PageKey, Sort

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_A_PAGE = described(
    {200: Success("A page of orders", doc.OrdersDocument, ("ETag",)), 304: UNCHANGED},
    "invalid_cursor",
    "customer_not_found",
    "time_out_of_range",
    query=True,
    if_none_match=True,
)

router = APIRouter(tags=["orders"])


@router.get(
    "/api/orders/statistics",
    operation_id="ObtenerEstadisticasPedidos",
    summary="Figures over many orders",
    **described(
        {200: Success("The figures", doc.StatisticsDocument)}, "time_out_of_range", "too_many_buckets", query=True
    ),
)
async def show_statistics(ctx: OrdersReader, query: Annotated[StatisticsQuery, Query()]) -> Response:
    """Orders, revenue, cancellations, payments and durations of stages; as old as `as_of` says."""
    return json_response(200, await ctx.services.statistics.document(ctx.caller, query))


@router.get("/api/orders", operation_id="ObtenerHistorialDePedidos", summary="List orders", **_A_PAGE)
async def list_orders(ctx: OrdersReader, query: Annotated[OrderQuery, Query()]) -> Response:
    """A page of the orders that all filters fit; `page.next_cursor` leads on."""
    return await _page(ctx, query, _customer(ctx.caller, query.customer_id))


@router.get(
    "/api/customers/{customer_id:path}/orders",
    operation_id="ListarPedidosDeCliente",
    summary="List a customer's orders",
    **_A_PAGE,
)
async def list_customer_orders(
    ctx: OrdersReader, customer_id: CustomerId, query: Annotated[OrderQuery, Query()]
) -> Response:
    """A page of the customer's orders that all filters fit; `page.next_cursor` leads on."""
    if not is_identifier(customer_id):
        raise _customer_not_found()
    customer = _customer(ctx.caller, customer_id)
    if query.customer_id not in (None, customer):
        return _page_response(ctx, [], None)  # no order is two customers' at once
    return await _page(ctx, query, customer)


async def _page(ctx: ReaderContext, query: OrderQuery, customer_id: str | None) -> Response:
    queries, cursors = ctx.services.queries, ctx.services.cursors
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
        after = _key(query.sort, cursors.open(bound_to, query.cursor))
    page = await queries.orders(filters, sort=query.sort, limit=query.limit, after=after)
    cursor = None if page.next is None else cursors.seal(bound_to, _position(page.next))
    return _page_response(ctx, [shown_to(ctx.caller, order) for order in page.orders], cursor)


def _page_response(ctx: ReaderContext, data: list[dict[str, Any]], cursor: str | None) -> Response:
    return tagged_response(ctx.header(b"if-none-match"), page_of(data, cursor))


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
