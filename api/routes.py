"""The one table of what is answered: every method and path, who may use it, what goes in and what comes out.

``app.py`` makes routes of it, ``openapi.py`` the document. A path with a fixed last part comes before its sibling
with a variable one.
"""

from __future__ import annotations

from dataclasses import dataclass

from api import documents as doc
from api import schemas
from api.auth import ADMIN, ORDERS_READ, PROMOTIONS_WRITE
from api.health import HealthEndpoints
from api.items import ItemEndpoints
from api.lists import ListEndpoints, OrderQuery, StatisticsQuery
from api.operations import Operation, Success
from api.order_documents import TimelineDocument
from api.order_routes import ORDER, ORDERS, THE_ORDER, creation, of_items, of_orders, of_payments
from api.orders import OrderEndpoints
from api.payments import PaymentEndpoints
from api.promotions import PromotionEndpoints, PromotionsQuery
from api.staff import DeadLettersQuery, StaffEndpoints
from api.timeline import TimelineEndpoints

PROMOTIONS, PROMOTION = "/api/promotions", "/api/promotions/{code}"
DEAD_LETTERS = "/api/dead-letters"


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
        creation(at.orders),
        *_of_lists(at.lists, at.timeline),
        *of_orders(at.orders),
        *of_items(at.items),
        *of_payments(at.payments),
        *_of_promotions(at.promotions),
        *_of_staff(at.staff),
        *_of_health(at.health),
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
            success={200: Success(description="Its events and stages", model=TimelineDocument)},
            errors=("order_not_found",),
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
            success={200: THE_ORDER},
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
