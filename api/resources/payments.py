"""Payments of an order: starting one, and showing them.

Translates between HTTP and commands. PaymentSvc is never asked from here.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from api.access.conditional import wait_s
from api.access.contexts import OrdersReader, PaymentsWriter
from api.openapi.described import Success, described
from api.resources.validation_wait import preference_applied
from api.shapes import order_documents as doc
from api.shapes.ids import OrderId, PaymentId
from api.shapes.responses import encode, json_response
from api.shapes.schemas import NewPayment
from domain.commands import Pay
from domain.errors import RefusalKind, Refused
from domain.payments import Payment
from domain.representation import represent_payment, represent_payment_status, represent_payments
from domain.totals_and_statuses import IN_FLIGHT
from storage.errors import StorageUnavailable, UndecodableSnapshot

router = APIRouter(prefix="/api/orders/{order_id}/payments", tags=["payments"])

_HEADERS = ("Location", "Preference-Applied")


@router.post(
    "",
    operation_id="ProcesarPago",
    summary="Pay, in whole or in part",
    status_code=202,
    **described(
        {
            201: Success("Settled within `Prefer: wait`", doc.PaymentDocument, _HEADERS),
            202: Success("Its outcome is awaited", doc.PaymentDocument, _HEADERS),
        },
        "order_not_found",
        "illegal_transition",
        "payment_in_progress",
        "payment_mismatched",
        "too_many_payment_attempts",
        "invalid_amount",
        "amount_out_of_range",
        body=NewPayment,
        key="required",
        if_match=True,
        wait=True,
    ),
)
async def pay(ctx: PaymentsWriter, order_id: OrderId) -> Response:
    """202 while its outcome is awaited; with `Prefer: wait=5` 201 when it is settled by then, rejected or not."""
    ctx.require_key()
    wanted = await ctx.body(NewPayment)
    reply = await ctx.ask(order_id, Pay(wanted.method, wanted.token, wanted.amount))
    payment_id = reply.resource_id or ""
    location = (b"location", f"/api/orders/{order_id}/payments/{payment_id}".encode())
    seconds = wait_s(ctx.header(b"prefer"), ctx.services.limits.prefer_wait_max_s)
    if not seconds:
        return json_response(202, reply.document, location)
    with ctx.state.load.uncounted():
        settled = await ctx.services.router.wait(order_id, f"payment:{payment_id}", seconds)
    if settled is not None:
        return json_response(201, settled.document, location, preference_applied(seconds))
    try:
        payment = _find((await ctx.services.reader.order(order_id, ctx.caller)).payments, payment_id)
    except (StorageUnavailable, UndecodableSnapshot, Refused):
        return json_response(202, reply.document, location)  # It is under way, though it can't be read now.
    status = 202 if payment.status in IN_FLIGHT else 201
    return json_response(status, encode(represent_payment(payment)), location, preference_applied(seconds))


@router.get(
    "",
    operation_id="ListarPagos",
    summary="List payments and the ledger",
    **described({200: Success("Payments and ledger", doc.PaymentsDocument)}, "order_not_found"),
)
async def list_payments(ctx: OrdersReader, order_id: OrderId) -> Response:
    """Every payment with its refunds, and the append-only ledger of what was charged and refunded."""
    return json_response(200, (await ctx.services.reader.shown(order_id, ctx.caller, represent_payments)).document)


@router.get(
    "/status",
    operation_id="VerificarEstadoPago",
    summary="Tell how an order's payment stands",
    **described({200: Success("Sums and attempts", doc.PaymentStatusDocument)}, "order_not_found"),
)
async def show_payment_status(ctx: OrdersReader, order_id: OrderId) -> Response:
    """What is due, paid and refunded, and every attempt in short."""
    shown = await ctx.services.reader.shown(order_id, ctx.caller, represent_payment_status)
    return json_response(200, shown.document)


@router.get(
    "/{payment_id}",
    operation_id="ObtenerPago",
    summary="Show a payment",
    **described({200: Success("The payment", doc.PaymentDocument)}, "order_not_found", "payment_not_found"),
)
async def show_payment(ctx: OrdersReader, order_id: OrderId, payment_id: PaymentId) -> Response:
    """One attempt to collect money, and its refunds."""
    order = await ctx.services.reader.order(order_id, ctx.caller)
    return json_response(200, encode(represent_payment(_find(order.payments, payment_id))))


def _find(payments: tuple[Payment, ...], payment_id: str) -> Payment:
    for payment in payments:
        if payment.payment_id == payment_id:
            return payment
    raise Refused(RefusalKind.NOT_FOUND, "payment_not_found", "The order has no such payment.")
