"""What is answered about orders: creating, showing, changing, paying them.

A part of the table in ``routes.py``.
"""

from __future__ import annotations

from functools import partial

from api import order_documents as doc
from api import schemas
from api.auth import ORDERS_READ, ORDERS_WRITE, PAYMENTS_WRITE, SHIPMENTS_WRITE
from api.items import ItemEndpoints
from api.operations import Operation, Success
from api.orders import CancelQuery, OrderEndpoints
from api.payments import PaymentEndpoints
from api.timeline import TimelineEndpoints

ORDERS, ORDER = "/api/orders", "/api/orders/{order_id}"
ITEM = f"{ORDER}/items/{{item_id}}"
PAYMENTS = f"{ORDER}/payments"

THE_ORDER = Success("The order", doc.OrderDocument, ("ETag",))
_UNDER_WAY = Success("Compensation runs; the order", doc.OrderDocument, ("ETag",))
_EDIT_ERRORS = ("order_not_found", "illegal_transition", "payment_in_progress", "below_paid")
_DISCOUNT_ERRORS = (
    "discount_not_found",
    "discount_not_active",
    "discount_not_applicable",
    "discount_exhausted",
    "discount_not_combinable",
)

command = partial(Operation, key="optional", if_match=True, success={200: THE_ORDER})
_order = partial(command, tag="orders", scopes=(ORDERS_WRITE,))
_EDITED = ("ETag", "Preference-Applied")
_edit = partial(
    command,
    tag="items",
    scopes=(ORDERS_WRITE,),
    wait=True,
    description="With `Prefer: wait=5` the answer shows the order once it is validated again, or can't be.",
    success={200: Success("The order", doc.OrderDocument, _EDITED)},
)
_show = partial(Operation, method="GET", scopes=(ORDERS_READ,), errors=("order_not_found",))


def creation(at: OrderEndpoints) -> Operation:
    """Creating an order: the most frequent of all."""
    return _order(
        id="CrearPedido",
        method="POST",
        path=ORDERS,
        handler=at.create,
        summary="Create an order",
        description="With `Prefer: wait=5` the answer shows the order once it is validated or cancelled.",
        body=schemas.NewOrder,
        key="required",
        wait=True,
        success={201: Success("The order, `created`", doc.OrderDocument, ("Location", "ETag", "Preference-Applied"))},
        errors=(
            "customer_mismatch",
            "customer_required",
            "too_many_lines",
            "invalid_quantity",
            "quantity_out_of_range",
            "metadata_too_large",
            "invalid_currency",
            "currency_not_supported",
            "shipping_method_not_supported",
            *_DISCOUNT_ERRORS,
        ),
    )


def of_orders(at: OrderEndpoints, timeline: TimelineEndpoints) -> tuple[Operation, ...]:
    """Showing and changing an order as a whole."""
    return (
        _show(
            id="ObtenerPedidoPorId",
            path=ORDER,
            handler=at.show,
            summary="Show an order",
            tag="orders",
            if_match=True,
            if_none_match=True,
            success={200: THE_ORDER, 304: Success("It is still that version", headers=("ETag",))},
        ),
        _show(
            id="ObtenerHistorialDePedido",
            path=f"{ORDER}/timeline",
            handler=timeline.show,
            summary="Show an order's history",
            tag="orders",
            success={200: Success("Its events and stages", doc.TimelineDocument)},
        ),
        _order(
            id="CancelarPedido",
            method="DELETE",
            path=ORDER,
            handler=at.cancel,
            summary="Cancel an order",
            description="The order stays and can be read; it becomes `cancelling`, and `cancelled` when all is undone.",
            query=CancelQuery,
            success={200: THE_ORDER, 202: _UNDER_WAY},
            errors=("order_not_found", "illegal_transition"),
        ),
        _order(
            id="CambiarEstadoPedido",
            method="PUT",
            path=f"{ORDER}/status",
            handler=at.set_status,
            summary="Tell that an order was shipped or delivered, or cancel it",
            description="`shipped` and `delivered` want `shipments:write`, `cancelled` wants `orders:write`.",
            scopes=(SHIPMENTS_WRITE, ORDERS_WRITE),
            body=schemas.NewStatus,
            success={200: THE_ORDER, 202: _UNDER_WAY},
            errors=(
                "order_not_found",
                "shipment_not_found",
                "item_not_found",
                "illegal_transition",
                "too_many_lines",
                "invalid_quantity",
                "quantity_out_of_range",
            ),
        ),
    )


def of_items(at: ItemEndpoints) -> tuple[Operation, ...]:
    """Lines and discounts."""
    return (
        _edit(
            id="AgregarProductoAPedido",
            method="POST",
            path=f"{ORDER}/items",
            handler=at.add,
            summary="Add a line",
            body=schemas.NewItem,
            success={201: Success("The order, with its new line", doc.OrderDocument, _EDITED)},
            errors=(*_EDIT_ERRORS, "invalid_quantity", "quantity_out_of_range", "too_many_lines"),
        ),
        _edit(
            id="QuitarProductoDePedido",
            method="DELETE",
            path=ITEM,
            handler=at.remove,
            summary="Take a line away",
            errors=(*_EDIT_ERRORS, "item_not_found", "last_item"),
        ),
        _edit(
            id="CambiarCantidadDeProducto",
            method="PUT",
            path=f"{ITEM}/quantity",
            handler=at.change_quantity,
            summary="Change a line's quantity",
            body=schemas.NewQuantity,
            errors=(*_EDIT_ERRORS, "item_not_found", "invalid_quantity"),
        ),
        _edit(
            id="AplicarDescuento",
            method="POST",
            path=f"{ORDER}/discounts",
            handler=at.apply_discount,
            summary="Apply a discount code",
            body=schemas.NewDiscount,
            errors=(*_EDIT_ERRORS, *_DISCOUNT_ERRORS),
        ),
        _edit(
            id="QuitarDescuento",
            method="DELETE",
            path=f"{ORDER}/discounts/{{code}}",
            handler=at.remove_discount,
            summary="Take a discount away",
            errors=(*_EDIT_ERRORS, "discount_not_found"),
            statuses={"discount_not_found": 404},
        ),
    )


def of_payments(at: PaymentEndpoints) -> tuple[Operation, ...]:
    """Payments."""
    told = ("Location", "Preference-Applied")
    show = partial(_show, tag="payments")
    return (
        command(
            id="ProcesarPago",
            method="POST",
            path=PAYMENTS,
            handler=at.pay,
            summary="Pay, in whole or in part",
            tag="payments",
            scopes=(PAYMENTS_WRITE,),
            body=schemas.NewPayment,
            key="required",
            wait=True,
            success={
                201: Success("Settled within `Prefer: wait`", doc.PaymentDocument, told),
                202: Success("Its outcome is awaited", doc.PaymentDocument, told),
            },
            errors=(
                "order_not_found",
                "illegal_transition",
                "payment_in_progress",
                "payment_mismatched",
                "too_many_payment_attempts",
                "invalid_amount",
                "amount_out_of_range",
            ),
        ),
        show(
            id="ListarPagos",
            path=PAYMENTS,
            handler=at.show_all,
            summary="List payments and the ledger",
            success={200: Success("Payments and ledger", doc.PaymentsDocument)},
        ),
        show(
            id="VerificarEstadoPago",
            path=f"{PAYMENTS}/status",
            handler=at.show_status,
            summary="Tell how an order's payment stands",
            success={200: Success("Sums and attempts", doc.PaymentStatusDocument)},
        ),
        show(
            id="ObtenerPago",
            path=f"{PAYMENTS}/{{payment_id}}",
            handler=at.show,
            summary="Show a payment",
            success={200: Success("The payment", doc.PaymentDocument)},
            errors=("order_not_found", "payment_not_found"),
        ),
    )
