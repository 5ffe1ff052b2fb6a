"""The one table of what is answered: every method and path, who may use it, what goes in and what comes out.

``app.py`` makes routes of it, ``openapi.py`` the document. A path with a fixed last part comes before its sibling
with a variable one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from api import documents as doc
from api import promotion_schemas, schemas
from api.auth import ADMIN, METRICS_READ, ORDERS_READ, PROMOTIONS_WRITE
from api.health import HealthEndpoints
from api.items import ItemEndpoints
from api.lists import ListEndpoints, OrderQuery, StatisticsQuery
from api.operations import Operation, Success
from api.order_routes import ORDER, ORDERS, command, creation, of_items, of_orders, of_payments
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
        *_of_lists(at.lists),
        *of_orders(at.orders, at.timeline),
        *of_items(at.items),
        *of_payments(at.payments),
        *_of_promotions(at.promotions),
        *_of_staff(at.staff),
        *_of_health(at.health),
    )


def _of_lists(at: ListEndpoints) -> tuple[Operation, ...]:
    show = partial(Operation, method="GET", tag="orders", scopes=(ORDERS_READ,))
    page = partial(
        show,
        query=OrderQuery,
        success={200: Success("A page of orders", doc.OrdersDocument)},
        errors=("invalid_cursor", "customer_not_found", "time_out_of_range"),
    )
    return (
        show(
            id="ObtenerEstadisticasPedidos",
            path=f"{ORDERS}/statistics",
            handler=at.statistics,
            summary="Figures over many orders",
            query=StatisticsQuery,
            success={200: Success("The figures", doc.StatisticsDocument)},
            errors=("time_out_of_range", "too_many_buckets"),
        ),
        page(id="ObtenerHistorialDePedidos", path=ORDERS, handler=at.list_all, summary="List orders"),
        page(
            id="ListarPedidosDeCliente",
            path="/api/customers/{customer_id}/orders",
            handler=at.list_of_customer,
            summary="List a customer's orders",
        ),
    )


def _of_promotions(at: PromotionEndpoints) -> tuple[Operation, ...]:
    promotions = partial(Operation, tag="promotions", scopes=(PROMOTIONS_WRITE,))
    the_promotion = Success("The promotion", doc.PromotionDocument)
    of_terms = ("invalid_currency", "invalid_amount", "invalid_quantity", "invalid_promotion", "time_out_of_range")
    return (
        promotions(
            id="ListarPromociones",
            method="GET",
            path=PROMOTIONS,
            handler=at.list_all,
            summary="List promotions",
            query=PromotionsQuery,
            success={200: Success("A page of promotions", doc.PromotionsDocument)},
            errors=("invalid_cursor",),
        ),
        promotions(
            id="CrearPromocion",
            method="POST",
            path=PROMOTIONS,
            handler=at.create,
            summary="Make a promotion",
            body=promotion_schemas.NewPromotion,
            key="optional",
            success={201: Success("It is made", doc.PromotionDocument, ("Location",))},
            errors=("promotion_exists", *of_terms),
        ),
        promotions(
            id="ObtenerPromocion",
            method="GET",
            path=PROMOTION,
            handler=at.show,
            summary="Show a promotion",
            success={200: the_promotion},
            errors=("promotion_not_found",),
        ),
        promotions(
            id="CambiarPromocion",
            method="PATCH",
            path=PROMOTION,
            handler=at.change,
            summary="Change a promotion",
            body=promotion_schemas.PromotionChange,
            key="optional",
            success={200: the_promotion},
            errors=("promotion_not_found", "promotion_changing", *of_terms),
        ),
        promotions(
            id="BorrarPromocion",
            method="DELETE",
            path=PROMOTION,
            handler=at.delete,
            summary="End a promotion for good",
            key="optional",
            success={204: Success("It is gone; orders that have it keep it")},
            errors=("promotion_not_found",),
        ),
    )


def _of_staff(at: StaffEndpoints) -> tuple[Operation, ...]:
    staff = partial(Operation, tag="staff", scopes=(ADMIN,))
    return (
        command(
            id="AtenderPedido",
            method="POST",
            path=f"{ORDER}/attention",
            handler=at.attend,
            summary="Do something about an order that needs attention",
            tag="staff",
            scopes=(ADMIN,),
            body=schemas.AttentionVerb,
            errors=(
                "order_not_found",
                "subject_not_found",
                "illegal_transition",
                "nothing_to_settle",
                "already_decided",
                "refund_in_progress",
                "amount_out_of_range",
                "too_many_refund_attempts",
                "outcome_not_applicable",
                "invalid_amount",
                "invalid_currency",
            ),
        ),
        staff(
            id="ListarMensajesMuertos",
            method="GET",
            path=DEAD_LETTERS,
            handler=at.list_dead_letters,
            summary="List messages that could not be handled",
            query=DeadLettersQuery,
            success={200: Success("The oldest", doc.DeadLettersDocument)},
        ),
        staff(
            id="ObtenerMensajeMuerto",
            method="GET",
            path=f"{DEAD_LETTERS}/{{letter_id}}",
            handler=at.show_dead_letter,
            summary="Show a dead letter",
            success={200: Success("The dead letter", doc.DeadLetterDocument)},
            errors=("dead_letter_not_found",),
        ),
        staff(
            id="ReenviarMensajeMuerto",
            method="POST",
            path=f"{DEAD_LETTERS}/{{letter_id}}/resend",
            handler=at.resend_dead_letter,
            summary="Send a dead letter again",
            key="optional",
            success={204: Success("It was sent")},
            errors=("dead_letter_not_found",),
        ),
    )


def _of_health(at: HealthEndpoints) -> tuple[Operation, ...]:
    health = partial(Operation, method="GET", tag="health")
    return (
        health(
            id="EstaVivo",
            path="/health/live",
            handler=at.live,
            summary="Tell that the process answers",
            success={200: Success("It does", doc.LiveDocument)},
        ),
        health(
            id="EstaListo",
            path="/health/ready",
            handler=at.ready,
            summary="Tell how each dependency is",
            success={
                200: Success("Orders can be taken, degraded or not", doc.ReadyDocument),
                503: Success("PostgreSQL or every shard is away", doc.ReadyDocument, ("Retry-After",)),
            },
        ),
        health(
            id="Metricas",
            path="/metrics",
            handler=at.metrics,
            summary="Metrics, as Prometheus text",
            description="`METRICS_PORT` shows the same without a token.",
            scopes=(METRICS_READ,),
            success={200: Success("The metrics", media_type="text/plain")},
        ),
    )
