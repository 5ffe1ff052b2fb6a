"""Payments of an order: starting one, and showing them.

Translates between HTTP and commands. PaymentSvc is never asked from here.
"""

from __future__ import annotations

from api.auth import ORDERS_READ, PAYMENTS_WRITE
from api.conditions import wait_s
from api.door import Door
from api.exchange import Answer, Incoming, json_answer
from api.order_ids import order_id_of
from api.ports import RouterPort
from api.reading import OrderReader, encode
from api.schemas import NewPayment
from api.waiting import preference_applied
from domain.commands import Pay
from domain.derived import IN_FLIGHT
from domain.document import represent_payment, represent_payment_status, represent_payments
from domain.errors import RefusalKind, Refused
from domain.payments import Payment
from storage.errors import StorageUnavailable, UndecodableSnapshot


class PaymentEndpoints:
    """The handlers below ``/api/orders/{order_id}/payments``."""

    def __init__(self, door: Door, router: RouterPort, reader: OrderReader, *, prefer_wait_max_s: float) -> None:
        self._door = door
        self._router = router
        self._reader = reader
        self._prefer_wait_max_s = prefer_wait_max_s

    async def pay(self, asked: Incoming) -> Answer:
        """ProcesarPago. 202 while its outcome is awaited, 201 when it is settled within ``Prefer: wait``."""
        wish, body = await self._door.wish_with(asked, NewPayment, PAYMENTS_WRITE, key_required=True)
        order_id = order_id_of(asked)
        reply = await self._door.send(asked, wish, order_id, Pay(body.method, body.token, body.amount))
        payment_id = reply.resource_id or ""
        location = (b"location", f"/api/orders/{order_id}/payments/{payment_id}".encode())
        seconds = wait_s(asked.header(b"prefer"), self._prefer_wait_max_s)
        if not seconds:
            return json_answer(202, reply.document, location)
        with asked.load.aside():
            settled = await self._router.wait(order_id, f"payment:{payment_id}", seconds)
        if settled is not None:
            return json_answer(201, settled.document, location, preference_applied(seconds))
        try:
            payment = _find((await self._reader.order(order_id, wish.caller)).payments, payment_id)
        except (StorageUnavailable, UndecodableSnapshot, Refused):
            return json_answer(202, reply.document, location)  # It is under way, whatever keeps us from reading it.
        status = 202 if payment.status in IN_FLIGHT else 201
        return json_answer(status, encode(represent_payment(payment)), location, preference_applied(seconds))

    async def show_all(self, asked: Incoming) -> Answer:
        """Every payment with its refunds, and the ledger."""
        caller = await self._door.admit(asked, ORDERS_READ)
        return json_answer(200, (await self._reader.shown(order_id_of(asked), caller, represent_payments)).document)

    async def show_status(self, asked: Incoming) -> Answer:
        """VerificarEstadoPago."""
        caller = await self._door.admit(asked, ORDERS_READ)
        shown = await self._reader.shown(order_id_of(asked), caller, represent_payment_status)
        return json_answer(200, shown.document)

    async def show(self, asked: Incoming) -> Answer:
        """Show one payment."""
        caller = await self._door.admit(asked, ORDERS_READ)
        order = await self._reader.order(order_id_of(asked), caller)
        return json_answer(200, encode(represent_payment(_find(order.payments, asked.id_param("payment_id")))))


def _find(payments: tuple[Payment, ...], payment_id: str) -> Payment:
    for payment in payments:
        if payment.payment_id == payment_id:
            return payment
    raise Refused(RefusalKind.NOT_FOUND, "payment_not_found", "The order has no such payment.")
