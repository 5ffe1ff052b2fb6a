"""The lines and the discounts of an order: adding, changing, taking away.

Translates between HTTP and commands. The rules are in the order, and a validation follows each of these.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from api.access.contexts import CommandContext, OrdersWriter
from api.openapi.described import Success, described
from api.resources.orders import DISCOUNT_ERRORS
from api.resources.validation_wait import order_when_validated
from api.shapes import order_documents as doc
from api.shapes.ids import ItemId, OrderId, PromotionCode
from api.shapes.schemas import NewDiscount, NewItem, NewQuantity
from domain.commands import AddItem, ApplyDiscount, ChangeQuantity, RemoveDiscount, RemoveItem

Edit = AddItem | ChangeQuantity | RemoveItem | ApplyDiscount | RemoveDiscount

router = APIRouter(prefix="/api/orders/{order_id}", tags=["items"])


def _described(
    *errors: str,
    body: type[BaseModel] | None = None,
    status: int = 200,
    about: str = "The order",
    statuses: dict[str, int] | None = None,
) -> dict[str, Any]:
    return described(
        {status: Success(about, doc.OrderDocument, ("ETag", "Preference-Applied"))},
        "order_not_found",
        "illegal_transition",
        "payment_in_progress",
        "below_paid",
        *errors,
        body=body,
        key="optional",
        if_match=True,
        wait=True,
        statuses=statuses,
    )


@router.post(
    "/items",
    operation_id="AgregarProductoAPedido",
    summary="Add a line",
    status_code=201,
    **_described(
        "invalid_quantity",
        "quantity_out_of_range",
        "too_many_lines",
        body=NewItem,
        status=201,
        about="The order, with its new line",
    ),
)
async def add_item(ctx: OrdersWriter, order_id: OrderId) -> Response:
    """With `Prefer: wait=5` the answer shows the order once it is validated again, or can't be."""
    item = await ctx.body(NewItem)
    return await _edit(ctx, order_id, AddItem(item.sku, item.quantity), 201)


@router.delete(
    "/items/{item_id}",
    operation_id="QuitarProductoDePedido",
    summary="Take a line away",
    **_described("item_not_found", "last_item"),
)
async def remove_item(ctx: OrdersWriter, order_id: OrderId, item_id: ItemId) -> Response:
    """With `Prefer: wait=5` the answer shows the order once it is validated again, or can't be."""
    return await _edit(ctx, order_id, RemoveItem(item_id))


@router.put(
    "/items/{item_id}/quantity",
    operation_id="CambiarCantidadDeProducto",
    summary="Change a line's quantity",
    **_described("item_not_found", "invalid_quantity", body=NewQuantity),
)
async def change_quantity(ctx: OrdersWriter, order_id: OrderId, item_id: ItemId) -> Response:
    """With `Prefer: wait=5` the answer shows the order once it is validated again, or can't be."""
    wanted = await ctx.body(NewQuantity)
    return await _edit(ctx, order_id, ChangeQuantity(item_id, wanted.quantity))


@router.post(
    "/discounts",
    operation_id="AplicarDescuento",
    summary="Apply a discount code",
    **_described(*DISCOUNT_ERRORS, body=NewDiscount),
)
async def apply_discount(ctx: OrdersWriter, order_id: OrderId) -> Response:
    """With `Prefer: wait=5` the answer shows the order once it is validated again, or can't be."""
    discount = await ctx.body(NewDiscount)
    return await _edit(ctx, order_id, ApplyDiscount(discount.code))


@router.delete(
    "/discounts/{code:path}",
    operation_id="QuitarDescuento",
    summary="Take a discount away",
    **_described("discount_not_found", statuses={"discount_not_found": 404}),
)
async def remove_discount(ctx: OrdersWriter, order_id: OrderId, code: PromotionCode) -> Response:
    """With `Prefer: wait=5` the answer shows the order once it is validated again, or can't be."""
    return await _edit(ctx, order_id, RemoveDiscount(code))


async def _edit(ctx: CommandContext, order_id: str, edit: Edit, status: int = 200) -> Response:
    return await order_when_validated(ctx, order_id, status, await ctx.ask(order_id, edit))
