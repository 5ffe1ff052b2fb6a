"""Orders: creating one, showing it, cancelling it, and staff telling that it was shipped or delivered.

Translates between HTTP and commands. The rules are in the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from pydantic import BaseModel, ConfigDict

from actors.replies import Reply
from api.auth import ORDERS_READ, ORDERS_WRITE, SHIPMENTS_WRITE, Caller
from api.conditions import is_unmodified, require_version
from api.door import Door, Wish, require
from api.exchange import Answer, Incoming, etag, json_answer
from api.fields import Note
from api.idempotency import canonical_key, order_id_for
from api.order_ids import order_id_of
from api.parameters import read_query
from api.problems import Problem
from api.reading import OrderReader
from api.schemas import Cancelled, Delivered, NewOrder, NewStatus, Shipped
from api.waiting import ValidationWait
from domain.commands import Cancel, CreateOrder, Deliver, NewLine, Ship
from domain.errors import FieldError
from domain.order import CancelReason
from domain.shipments import ShipmentLine


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLimits:
    """``shipping_prices``: method -> currency -> minor units."""

    shipping_prices: Mapping[str, Mapping[str, int]]


class CancelQuery(BaseModel):
    """``reason`` is a note for people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Note | None = None


class OrderEndpoints:
    """The handlers of ``/api/orders`` and ``/api/orders/{order_id}``."""

    def __init__(self, door: Door, reader: OrderReader, wait: ValidationWait, limits: OrderLimits) -> None:
        self._door = door
        self._wait = wait
        self._reader = reader
        self._limits = limits

    async def create(self, asked: Incoming) -> Answer:
        """CrearPedido. The order's id follows from the caller and the key, so that a repeat meets the same order."""
        wish, body = await self._door.wish_with(asked, NewOrder, ORDERS_WRITE, key_required=True)
        order_id = await self._id_of_new(wish)
        creation = self._creation(wish.caller, body, order_id)
        if asked.header(b"if-match") is not None:
            await self._check_version(asked, order_id)
        reply = await self._door.send(asked, wish, order_id, creation)
        location = (b"location", b"/api/orders/" + order_id.encode())
        return await self._wait.answer(asked, wish.caller, order_id, 201, reply, location)

    async def _id_of_new(self, wish: Wish) -> str:
        """The id of the order that is to be made.

        The first release took no notice of the token's customer, and a key that is a UUID was taken as it was written: an order
        that was made so with the key is the one that is meant, so that no repeat makes a second one.
        """
        subject, customer_id, key = wish.caller.subject, wish.caller.customer_id, wish.key or ""
        plain = canonical_key(key)
        former = [order_id_for(subject, key), order_id_for(subject, key, customer_id)] if plain != key else []
        former += [order_id_for(subject, plain)] if customer_id is not None else []
        for order_id in former:
            if await self._reader.is_of(order_id, customer_id):
                return order_id
        return order_id_for(subject, plain, customer_id)

    async def _check_version(self, asked: Incoming, order_id: str) -> None:
        """Before it is made an order has no version that ``If-Match`` could name; after that, a repeat is a replay."""
        if not await self._reader.exists(order_id):
            require_version(asked.header(b"if-match"), 0)

    def _creation(self, caller: Caller, body: NewOrder, order_id: str) -> CreateOrder:
        customer_id = body.customer_id or caller.customer_id
        if customer_id is None:
            fault = FieldError("/customer_id", "required", "Field required")
            raise Problem("customer_required", "The token has no customer: say whose order it is.", errors=(fault,))
        if caller.customer_id is not None and customer_id != caller.customer_id:
            raise Problem("customer_mismatch", "The token belongs to another customer than the order.")
        method = body.shipping_method or "standard"
        prices = self._limits.shipping_prices.get(method)
        if prices is None:
            fault = FieldError("/shipping_method", "shipping_method_not_supported", "No such shipping method")
            raise Problem("shipping_method_not_supported", f"Nothing is shipped as {method!r}.", errors=(fault,))
        if body.currency not in prices:
            fault = FieldError("/currency", "currency_not_supported", "No shipping price in this currency")
            raise Problem("currency_not_supported", f"There is no shipping price in {body.currency}.", errors=(fault,))
        return CreateOrder(
            order_id=order_id,
            customer_id=customer_id,
            currency=body.currency,
            lines=tuple([NewLine(item.sku, item.quantity) for item in body.items]),
            discount_codes=tuple(body.discount_codes),
            address_id=body.address_id,
            shipping_method=method,
            metadata=body.metadata,
        )

    async def show(self, asked: Incoming) -> Answer:
        """ObtenerPedidoPorId."""
        caller = await self._door.admit(asked, ORDERS_READ)
        shown = await self._reader.shown(order_id_of(asked), caller)
        require_version(asked.header(b"if-match"), shown.version)
        if is_unmodified(asked.header(b"if-none-match"), shown.version):
            return Answer(304, b"", [etag(shown.version)])
        return json_answer(200, shown.document, etag(shown.version))

    async def cancel(self, asked: Incoming) -> Answer:
        """CancelarPedido."""
        wish = await self._door.wish(asked, ORDERS_WRITE)
        return await self._cancel(asked, wish, read_query(CancelQuery, asked).reason)

    async def _cancel(self, asked: Incoming, wish: Wish, note: str | None) -> Answer:
        reason = CancelReason.STAFF if wish.caller.is_admin else CancelReason.CUSTOMER
        reply = await self._door.command(asked, wish, Cancel(reason, note))
        return order_answer(200 if reply.settled else 202, reply)

    async def set_status(self, asked: Incoming) -> Answer:
        """MarcarPedidoComoEnviado, MarcarPedidoComoEntregado, or CancelarPedido, as the body says."""
        wish, body = await self._door.wish_with(asked, NewStatus, ORDERS_WRITE, SHIPMENTS_WRITE)
        match body.root:
            case Cancelled(reason=note):
                require(wish.caller, ORDERS_WRITE)
                return await self._cancel(asked, wish, note)
            case Shipped() as shipped:
                require(wish.caller, SHIPMENTS_WRITE)
                command: Ship | Deliver = Ship(
                    carrier=shipped.carrier,
                    tracking_number=shipped.tracking_number,
                    tracking_url=shipped.tracking_url,
                    lines=tuple([ShipmentLine(line.item_id, line.quantity) for line in shipped.lines or ()]),
                )
            case Delivered(shipment_id=shipment_id):
                require(wish.caller, SHIPMENTS_WRITE)
                command = Deliver(shipment_id)
            case _:
                assert_never(body.root)
        return order_answer(200, await self._door.command(asked, wish, command, by_staff=True))


def order_answer(status: int, reply: Reply) -> Answer:
    """Answer with the order that a command left behind."""
    return json_answer(status, reply.document, etag(reply.version))
