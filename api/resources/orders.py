"""Orders: creating one, showing it, cancelling it, and staff recording that it was shipped or delivered.

Translates between HTTP and commands. The rules are in the order.
"""

from __future__ import annotations

from typing import Annotated, assert_never

from fastapi import APIRouter, Query
from starlette.responses import Response

from actors.order.replies import Reply
from api.access.bodies import refuse_repeated
from api.access.conditional import is_unmodified, require_version
from api.access.contexts import CommandContext, OrdersReader, OrdersWriter, StatusWriter
from api.access.idempotency import canonical_key, order_id_for
from api.access.security import ORDERS_WRITE, SHIPMENTS_WRITE
from api.openapi.described import Success, described
from api.problems import Problem
from api.resources.validation_wait import order_when_validated
from api.shapes import order_documents as doc
from api.shapes.ids import OrderId
from api.shapes.queries import CancelQuery
from api.shapes.responses import etag, json_response, not_modified
from api.shapes.schemas import Cancelled, Delivered, NewOrder, NewStatus, Shipped
from domain.commands import Cancel, CreateOrder, Deliver, NewLine, Ship
from domain.errors import FieldError
from domain.order import CancelReason
from domain.shipments import ShipmentLine

DISCOUNT_ERRORS = (
    "discount_not_found",
    "discount_not_active",
    "discount_not_applicable",
    "discount_exhausted",
    "discount_not_combinable",
)
THE_ORDER = Success("The order", doc.OrderDocument, ("ETag",))
_UNDER_WAY = Success("Compensation runs; the order", doc.OrderDocument, ("ETag",))

router = APIRouter(prefix="/api/orders", tags=["orders"])


@router.post(
    "",
    operation_id="CrearPedido",
    summary="Create an order",
    status_code=201,
    **described(
        {201: Success("The order, `created`", doc.OrderDocument, ("Location", "ETag", "Preference-Applied"))},
        "customer_mismatch",
        "customer_required",
        "too_many_lines",
        "invalid_quantity",
        "quantity_out_of_range",
        "metadata_too_large",
        "invalid_currency",
        "currency_not_supported",
        "shipping_method_not_supported",
        *DISCOUNT_ERRORS,
        body=NewOrder,
        key="required",
        if_match=True,
        wait=True,
    ),
)
async def create_order(ctx: OrdersWriter) -> Response:
    """With `Prefer: wait=5` the answer shows the order once it is validated or cancelled."""
    key = ctx.require_key()
    order = await ctx.body(NewOrder)
    # The id follows from the caller and the key, so that a repeat meets the same order.
    order_id = await _id_of_new(ctx, key)
    command = _creation(ctx, order, order_id)
    if_match = ctx.header(b"if-match")
    # Before it is made an order has no version that ``If-Match`` could name; after that, a repeat is a replay.
    if if_match is not None and not await ctx.services.reader.exists(order_id):
        require_version(if_match, 0)
    reply = await ctx.ask(order_id, command)
    location = (b"location", b"/api/orders/" + order_id.encode())
    return await order_when_validated(ctx, order_id, 201, reply, location)


async def _id_of_new(ctx: CommandContext, key: str) -> str:
    """The id of the order that is to be made.

    The first release took no notice of the token's customer, and a key that is a UUID was taken as it was written: an order
    that was made so with the key is the one that is meant, so that no repeat makes a second one.
    """
    subject, customer_id = ctx.caller.subject, ctx.caller.customer_id
    plain = canonical_key(key)
    former = [order_id_for(subject, key), order_id_for(subject, key, customer_id)] if plain != key else []
    former += [order_id_for(subject, plain)] if customer_id is not None else []
    for order_id in former:
        if await ctx.services.reader.is_of(order_id, customer_id):
            return order_id
    return order_id_for(subject, plain, customer_id)


def _creation(ctx: CommandContext, order: NewOrder, order_id: str) -> CreateOrder:
    customer_id = order.customer_id or ctx.caller.customer_id
    if customer_id is None:
        fault = FieldError("/customer_id", "required", "Field required")
        raise Problem("customer_required", "The token has no customer: say whose order it is.", errors=(fault,))
    if ctx.caller.customer_id is not None and customer_id != ctx.caller.customer_id:
        raise Problem("customer_mismatch", "The token belongs to another customer than the order.")
    method = order.shipping_method or "standard"
    prices = ctx.services.limits.shipping_prices.get(method)
    if prices is None:
        fault = FieldError("/shipping_method", "shipping_method_not_supported", "No such shipping method")
        raise Problem("shipping_method_not_supported", f"Nothing is shipped as {method!r}.", errors=(fault,))
    if order.currency not in prices:
        fault = FieldError("/currency", "currency_not_supported", "No shipping price in this currency")
        raise Problem("currency_not_supported", f"There is no shipping price in {order.currency}.", errors=(fault,))
    return CreateOrder(
        order_id=order_id,
        customer_id=customer_id,
        currency=order.currency,
        lines=tuple([NewLine(item.sku, item.quantity) for item in order.items]),
        discount_codes=tuple(order.discount_codes),
        address_id=order.address_id,
        shipping_method=method,
        metadata=order.metadata,
    )


@router.get(
    "/{order_id}",
    operation_id="ObtenerPedidoPorId",
    summary="Show an order",
    **described(
        {200: THE_ORDER, 304: Success("It is still that version", headers=("ETag",))},
        "order_not_found",
        if_match=True,
        if_none_match=True,
    ),
)
async def show_order(ctx: OrdersReader, order_id: OrderId) -> Response:
    """The order as it is committed, with its version as entity tag."""
    shown = await ctx.services.reader.shown(order_id, ctx.caller)
    require_version(ctx.header(b"if-match"), shown.version)
    if is_unmodified(ctx.header(b"if-none-match"), shown.version):
        return not_modified(etag(shown.version))
    return json_response(200, shown.document, etag(shown.version))


@router.delete(
    "/{order_id}",
    operation_id="CancelarPedido",
    summary="Cancel an order",
    **described(
        {200: THE_ORDER, 202: _UNDER_WAY},
        "order_not_found",
        "illegal_transition",
        query=True,
        key="optional",
        if_match=True,
    ),
)
async def cancel_order(ctx: OrdersWriter, order_id: OrderId, query: Annotated[CancelQuery, Query()]) -> Response:
    """The order stays and can be read; it becomes `cancelling`, and `cancelled` when all is undone."""
    refuse_repeated(ctx.query)
    return await _cancel(ctx, order_id, query.reason)


@router.put(
    "/{order_id}/status",
    operation_id="CambiarEstadoPedido",
    summary="Tell that an order was shipped or delivered, or cancel it",
    **described(
        {200: THE_ORDER, 202: _UNDER_WAY},
        "order_not_found",
        "shipment_not_found",
        "item_not_found",
        "illegal_transition",
        "too_many_lines",
        "invalid_quantity",
        "quantity_out_of_range",
        body=NewStatus,
        key="optional",
        if_match=True,
    ),
)
async def set_status(ctx: StatusWriter, order_id: OrderId) -> Response:
    """`shipped` and `delivered` want `shipments:write`, `cancelled` wants `orders:write`."""
    status = (await ctx.body(NewStatus)).root
    command: Ship | Deliver
    match status:
        case Cancelled(reason=note):
            ctx.require(ORDERS_WRITE)
            return await _cancel(ctx, order_id, note)
        case Shipped() as shipped:
            command = Ship(
                carrier=shipped.carrier,
                tracking_number=shipped.tracking_number,
                tracking_url=shipped.tracking_url,
                lines=tuple([ShipmentLine(line.item_id, line.quantity) for line in shipped.lines or ()]),
            )
        case Delivered(shipment_id=shipment_id):
            command = Deliver(shipment_id)
        case _:
            assert_never(status)
    ctx.require(SHIPMENTS_WRITE)
    return order_response(200, await ctx.ask(order_id, command, by_staff=True))


async def _cancel(ctx: CommandContext, order_id: str, note: str | None) -> Response:
    reason = CancelReason.STAFF if ctx.caller.is_admin else CancelReason.CUSTOMER
    reply = await ctx.ask(order_id, Cancel(reason, note))
    return order_response(200 if reply.settled else 202, reply)


def order_response(status: int, reply: Reply) -> Response:
    """Answer with the order that a command left behind."""
    return json_response(status, reply.document, etag(reply.version))
