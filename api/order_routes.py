"""What is answered about orders: creating, showing, changing, paying them.

A part of the table in ``routes.py``.
"""

from __future__ import annotations

from api import order_documents as doc
from api import schemas
from api.auth import ORDERS_READ, ORDERS_WRITE, PAYMENTS_WRITE, SHIPMENTS_WRITE
from api.items import ItemEndpoints
from api.operations import Operation, Success
from api.orders import CancelQuery, OrderEndpoints
from api.payments import PaymentEndpoints

ORDERS, ORDER = "/api/orders", "/api/orders/{order_id}"
PAYMENTS = "/api/orders/{order_id}/payments"

THE_ORDER = Success(description="The order", model=doc.OrderDocument, headers=("ETag",))
_ORDER_MADE = Success(description="The order, with its new line", model=doc.OrderDocument, headers=("ETag",))
_UNDER_WAY = Success(description="Compensation runs; the order", model=doc.OrderDocument, headers=("ETag",))
_EDIT_ERRORS = ("order_not_found", "illegal_transition", "payment_in_progress", "below_paid", "total_too_large")
_DISCOUNT_ERRORS = (
    "discount_not_found",
    "discount_not_active",
    "discount_not_applicable",
    "discount_exhausted",
    "discount_not_combinable",
)


def creation(at: OrderEndpoints) -> Operation:
    """Creating an order: the most frequent of all."""
    return Operation(
        id="CrearPedido",
        method="POST",
        path=ORDERS,
        handler=at.create,
        summary="Create an order",
        description="With `Prefer: wait=5` the answer shows the order once it is validated or cancelled.",
        tag="orders",
        scopes=(ORDERS_WRITE,),
        body=schemas.NewOrder,
        key="required",
        if_match=True,
        wait=True,
        success={
            201: Success(
                description="The order, `created`",
                model=doc.OrderDocument,
                headers=("Location", "ETag", "Preference-Applied"),
            )
        },
        errors=(
            "customer_mismatch",
            "too_many_lines",
            "invalid_quantity",
            "metadata_too_large",
            "invalid_currency",
            "currency_not_supported",
            "shipping_method_not_supported",
            *_DISCOUNT_ERRORS,
        ),
    )


def of_orders(at: OrderEndpoints) -> tuple[Operation, ...]:
    """Showing and changing an order as a whole."""
    return (
        Operation(
            id="ObtenerPedidoPorId",
            method="GET",
            path=ORDER,
            handler=at.show,
            summary="Show an order",
            tag="orders",
            scopes=(ORDERS_READ,),
            if_none_match=True,
            success={200: THE_ORDER, 304: Success(description="It is still that version", headers=("ETag",))},
            errors=("order_not_found",),
        ),
        Operation(
            id="CancelarPedido",
            method="DELETE",
            path=ORDER,
            handler=at.cancel,
            summary="Cancel an order",
            tag="orders",
            scopes=(ORDERS_WRITE,),
            query=CancelQuery,
            key="optional",
            if_match=True,
            success={200: THE_ORDER, 202: _UNDER_WAY},
            errors=("order_not_found", "illegal_transition"),
        ),
        Operation(
            id="CambiarEstadoPedido",
            method="PUT",
            path=f"{ORDER}/status",
            handler=at.set_status,
            summary="Tell that an order was shipped or delivered, or cancel it",
            description="`shipped` and `delivered` want `shipments:write`, `cancelled` wants `orders:write`.",
            tag="orders",
            scopes=(SHIPMENTS_WRITE, ORDERS_WRITE),
            body=schemas.NewStatus,
            key="optional",
            if_match=True,
            success={200: THE_ORDER, 202: _UNDER_WAY},
            errors=("order_not_found", "shipment_not_found", "item_not_found", "illegal_transition"),
        ),
    )


def of_items(at: ItemEndpoints) -> tuple[Operation, ...]:
    """Lines and discounts."""
    return (
        Operation(
            id="AgregarProductoAPedido",
            method="POST",
            path=f"{ORDER}/items",
            handler=at.add,
            summary="Add a line",
            tag="items",
            scopes=(ORDERS_WRITE,),
            body=schemas.NewItem,
            key="optional",
            if_match=True,
            success={201: _ORDER_MADE},
            errors=(*_EDIT_ERRORS, "invalid_quantity", "too_many_lines"),
        ),
        Operation(
            id="QuitarProductoDePedido",
            method="DELETE",
            path=f"{ORDER}/items/{{item_id}}",
            handler=at.remove,
            summary="Take a line away",
            tag="items",
            scopes=(ORDERS_WRITE,),
            key="optional",
            if_match=True,
            success={200: THE_ORDER},
            errors=(*_EDIT_ERRORS, "item_not_found", "last_item"),
        ),
        Operation(
            id="CambiarCantidadDeProducto",
            method="PUT",
            path=f"{ORDER}/items/{{item_id}}/quantity",
            handler=at.change_quantity,
            summary="Change a line's quantity",
            tag="items",
            scopes=(ORDERS_WRITE,),
            body=schemas.NewQuantity,
            key="optional",
            if_match=True,
            success={200: THE_ORDER},
            errors=(*_EDIT_ERRORS, "item_not_found", "invalid_quantity"),
        ),
        Operation(
            id="AplicarDescuento",
            method="POST",
            path=f"{ORDER}/discounts",
            handler=at.apply_discount,
            summary="Apply a discount code",
            tag="items",
            scopes=(ORDERS_WRITE,),
            body=schemas.NewDiscount,
            key="optional",
            if_match=True,
            success={200: THE_ORDER},
            errors=(*_EDIT_ERRORS, *_DISCOUNT_ERRORS),
        ),
        Operation(
            id="QuitarDescuento",
            method="DELETE",
            path=f"{ORDER}/discounts/{{code}}",
            handler=at.remove_discount,
            summary="Take a discount away",
            tag="items",
            scopes=(ORDERS_WRITE,),
            key="optional",
            if_match=True,
            success={200: THE_ORDER},
            errors=(*_EDIT_ERRORS, "discount_not_found"),
        ),
    )


def of_payments(at: PaymentEndpoints) -> tuple[Operation, ...]:
    """Payments."""
    told = ("Location", "Preference-Applied")
    return (
        Operation(
            id="ProcesarPago",
            method="POST",
            path=PAYMENTS,
            handler=at.pay,
            summary="Pay, in whole or in part",
            tag="payments",
            scopes=(PAYMENTS_WRITE,),
            body=schemas.NewPayment,
            key="required",
            if_match=True,
            wait=True,
            success={
                201: Success(description="Settled within `Prefer: wait`", model=doc.PaymentDocument, headers=told),
                202: Success(description="Its outcome is awaited", model=doc.PaymentDocument, headers=told),
            },
            errors=(
                "order_not_found",
                "illegal_transition",
                "payment_in_progress",
                "payment_mismatched",
                "invalid_amount",
            ),
        ),
        Operation(
            id="ListarPagos",
            method="GET",
            path=PAYMENTS,
            handler=at.show_all,
            summary="List payments and the ledger",
            tag="payments",
            scopes=(ORDERS_READ,),
            success={200: Success(description="Payments and ledger", model=doc.PaymentsDocument)},
            errors=("order_not_found",),
        ),
        Operation(
            id="VerificarEstadoPago",
            method="GET",
            path=f"{PAYMENTS}/status",
            handler=at.show_status,
            summary="Tell how an order's payment stands",
            tag="payments",
            scopes=(ORDERS_READ,),
            success={200: Success(description="Sums and attempts", model=doc.PaymentStatusDocument)},
            errors=("order_not_found",),
        ),
        Operation(
            id="ObtenerPago",
            method="GET",
            path=f"{PAYMENTS}/{{payment_id}}",
            handler=at.show,
            summary="Show a payment",
            tag="payments",
            scopes=(ORDERS_READ,),
            success={200: Success(description="The payment", model=doc.PaymentDocument)},
            errors=("order_not_found", "payment_not_found"),
        ),
    )
