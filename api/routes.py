"""The one table of what is answered: every method and path, who may use it, what goes in and what comes out.

``app.py`` makes routes of it, ``openapi.py`` the document. A path with a fixed last part comes before its sibling with
a variable one.
"""

from __future__ import annotations

from dataclasses import dataclass

from api import documents as doc
from api import schemas
from api.auth import ADMIN, ORDERS_READ, ORDERS_WRITE, PAYMENTS_WRITE, PROMOTIONS_WRITE, SHIPMENTS_WRITE
from api.health import HealthEndpoints
from api.items import ItemEndpoints
from api.lists import ListEndpoints, OrderQuery, StatisticsQuery
from api.operations import Operation, Success
from api.orders import CancelQuery, OrderEndpoints
from api.payments import PaymentEndpoints
from api.promotions import PromotionEndpoints, PromotionsQuery
from api.staff import DeadLettersQuery, StaffEndpoints
from api.timeline import TimelineEndpoints

ORDERS, ORDER = "/api/orders", "/api/orders/{order_id}"
PAYMENTS = "/api/orders/{order_id}/payments"
PROMOTIONS, PROMOTION = "/api/promotions", "/api/promotions/{code}"
DEAD_LETTERS = "/api/dead-letters"

_THE_ORDER = Success(description="The order", model=doc.OrderDocument, headers=("ETag",))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """The rooms of handlers."""

    orders: OrderEndpoints
    items: ItemEndpoints
    payments: PaymentEndpoints
    lists: ListEndpoints
    timeline: TimelineEndpoints
    promotions: PromotionEndpoints
    staff: StaffEndpoints
    health: HealthEndpoints


def operations(at: Endpoints) -> tuple[Operation, ...]:
    """Give every operation; the most frequent come first, for routes are tried in turn."""
    return (
        _creation(at.orders),
        *_of_lists(at.lists, at.timeline),
        *_of_orders(at.orders),
        *_of_items(at.items),
        *_of_payments(at.payments),
        *_of_promotions(at.promotions),
        *_of_staff(at.staff),
        *_of_health(at.health),
    )


def _creation(at: OrderEndpoints) -> Operation:
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


def _of_orders(at: OrderEndpoints) -> tuple[Operation, ...]:
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
            success={200: _THE_ORDER, 304: Success(description="It is still that version", headers=("ETag",))},
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
            success={200: _THE_ORDER, 202: _UNDER_WAY},
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
            success={200: _THE_ORDER, 202: _UNDER_WAY},
            errors=("order_not_found", "shipment_not_found", "item_not_found", "illegal_transition"),
        ),
    )


def _of_lists(at: ListEndpoints, timeline: TimelineEndpoints) -> tuple[Operation, ...]:
    page = Success(description="A page of orders", model=doc.OrdersDocument)
    return (
        Operation(
            id="ObtenerEstadisticasPedidos",
            method="GET",
            path=f"{ORDERS}/statistics",
            handler=at.statistics,
            summary="Figures over many orders",
            tag="orders",
            scopes=(ORDERS_READ,),
            query=StatisticsQuery,
            success={200: Success(description="The figures", model=doc.StatisticsDocument)},
        ),
        Operation(
            id="ObtenerHistorialDePedidos",
            method="GET",
            path=ORDERS,
            handler=at.list_all,
            summary="List orders",
            tag="orders",
            scopes=(ORDERS_READ,),
            query=OrderQuery,
            success={200: page},
            errors=("invalid_cursor", "customer_not_found"),
        ),
        Operation(
            id="ListarPedidosDeCliente",
            method="GET",
            path="/api/customers/{customer_id}/orders",
            handler=at.list_of_customer,
            summary="List a customer's orders",
            tag="orders",
            scopes=(ORDERS_READ,),
            query=OrderQuery,
            success={200: page},
            errors=("invalid_cursor", "customer_not_found"),
        ),
        Operation(
            id="ObtenerHistorialDePedido",
            method="GET",
            path=f"{ORDER}/timeline",
            handler=timeline.show,
            summary="Show an order's history",
            tag="orders",
            scopes=(ORDERS_READ,),
            success={200: Success(description="Its events and stages", model=doc.TimelineDocument)},
            errors=("order_not_found",),
        ),
    )


def _of_items(at: ItemEndpoints) -> tuple[Operation, ...]:
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
            success={200: _THE_ORDER},
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
            success={200: _THE_ORDER},
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
            success={200: _THE_ORDER},
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
            success={200: _THE_ORDER},
            errors=(*_EDIT_ERRORS, "discount_not_found"),
        ),
    )


def _of_payments(at: PaymentEndpoints) -> tuple[Operation, ...]:
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


def _of_promotions(at: PromotionEndpoints) -> tuple[Operation, ...]:
    the_promotion = Success(description="The promotion", model=doc.PromotionDocument)
    return (
        Operation(
            id="ListarPromociones",
            method="GET",
            path=PROMOTIONS,
            handler=at.list_all,
            summary="List promotions",
            tag="promotions",
            scopes=(PROMOTIONS_WRITE,),
            query=PromotionsQuery,
            success={200: Success(description="A page of promotions", model=doc.PromotionsDocument)},
            errors=("invalid_cursor",),
        ),
        Operation(
            id="CrearPromocion",
            method="POST",
            path=PROMOTIONS,
            handler=at.create,
            summary="Make a promotion",
            tag="promotions",
            scopes=(PROMOTIONS_WRITE,),
            body=schemas.NewPromotion,
            key="optional",
            success={201: Success(description="It is made", model=doc.PromotionDocument, headers=("Location",))},
            errors=("promotion_exists", "invalid_currency", "invalid_amount"),
        ),
        Operation(
            id="ObtenerPromocion",
            method="GET",
            path=PROMOTION,
            handler=at.show,
            summary="Show a promotion",
            tag="promotions",
            scopes=(PROMOTIONS_WRITE,),
            success={200: the_promotion},
            errors=("promotion_not_found",),
        ),
        Operation(
            id="CambiarPromocion",
            method="PATCH",
            path=PROMOTION,
            handler=at.change,
            summary="Change a promotion",
            tag="promotions",
            scopes=(PROMOTIONS_WRITE,),
            body=schemas.PromotionChange,
            key="optional",
            success={200: the_promotion},
            errors=("promotion_not_found", "promotion_changing", "invalid_currency", "invalid_amount"),
        ),
        Operation(
            id="BorrarPromocion",
            method="DELETE",
            path=PROMOTION,
            handler=at.delete,
            summary="End a promotion for good",
            tag="promotions",
            scopes=(PROMOTIONS_WRITE,),
            key="optional",
            success={204: Success(description="It is gone; orders that have it keep it")},
            errors=("promotion_not_found",),
        ),
    )


def _of_staff(at: StaffEndpoints) -> tuple[Operation, ...]:
    return (
        Operation(
            id="AtenderPedido",
            method="POST",
            path=f"{ORDER}/attention",
            handler=at.attend,
            summary="Do something about an order that needs attention",
            tag="staff",
            scopes=(ADMIN,),
            body=schemas.AttentionVerb,
            key="optional",
            if_match=True,
            success={200: _THE_ORDER},
            errors=("order_not_found", "illegal_transition"),
        ),
        Operation(
            id="ListarMensajesMuertos",
            method="GET",
            path=DEAD_LETTERS,
            handler=at.list_dead_letters,
            summary="List messages that could not be handled",
            tag="staff",
            scopes=(ADMIN,),
            query=DeadLettersQuery,
            success={200: Success(description="The oldest", model=doc.DeadLettersDocument)},
        ),
        Operation(
            id="ObtenerMensajeMuerto",
            method="GET",
            path=f"{DEAD_LETTERS}/{{letter_id}}",
            handler=at.show_dead_letter,
            summary="Show a dead letter",
            tag="staff",
            scopes=(ADMIN,),
            success={200: Success(description="The dead letter", model=doc.DeadLetterDocument)},
            errors=("dead_letter_not_found",),
        ),
        Operation(
            id="ReenviarMensajeMuerto",
            method="POST",
            path=f"{DEAD_LETTERS}/{{letter_id}}/resend",
            handler=at.resend_dead_letter,
            summary="Send a dead letter again",
            tag="staff",
            scopes=(ADMIN,),
            key="optional",
            success={204: Success(description="It was sent")},
            errors=("dead_letter_not_found",),
        ),
    )


def _of_health(at: HealthEndpoints) -> tuple[Operation, ...]:
    ready = Success(description="Orders can be taken, degraded or not", model=doc.ReadyDocument)
    return (
        Operation(
            id="EstaVivo",
            method="GET",
            path="/health/live",
            handler=at.live,
            summary="Tell that the process answers",
            tag="health",
            success={200: Success(description="It does", model=doc.LiveDocument)},
        ),
        Operation(
            id="EstaListo",
            method="GET",
            path="/health/ready",
            handler=at.ready,
            summary="Tell how each dependency is",
            tag="health",
            success={
                200: ready,
                503: Success(description="PostgreSQL or every shard is away", model=doc.ReadyDocument),
            },
        ),
        Operation(
            id="Metricas",
            method="GET",
            path="/metrics",
            handler=at.metrics,
            summary="Metrics, as Prometheus text",
            description="Open while the service listens on loopback only; else for admins.",
            tag="health",
            success={200: Success(description="The metrics", media_type="text/plain")},
        ),
    )
