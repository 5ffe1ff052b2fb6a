"""The bodies that clients and staff send about orders: their shape and their limits. Those about promotions are elsewhere.

Only what a request shows by itself is checked here; what depends on an order, a setting or a partner is not.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, RootModel, StringConstraints

from api.shapes.fields import (
    Amount,
    AmountOrZero,
    Body,
    Code,
    Currency,
    Identifier,
    Metadata,
    Note,
    PartId,
    Quantity,
    Text,
    Uuid,
)
from domain.limits import CODES_MAX, LINES_MAX, PAYMENT_METHOD_MAX_CHARACTERS, URL_MAX_CHARACTERS

_URL = rf"^https?://[^\x00-\x20\x7f]{{1,{URL_MAX_CHARACTERS}}}$"


class NewItem(Body):
    """A line that is wanted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"sku": "load-sku-1", "quantity": 2}]})

    sku: Identifier
    quantity: Quantity


class NewOrder(Body):
    """CrearPedido. ``customer_id`` may be left out by a token that has one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"customer_id": "c-1001", "currency": "EUR", "items": [{"sku": "load-sku-1", "quantity": 2}]},
                {
                    "customer_id": "c-1001",
                    "currency": "EUR",
                    "items": [{"sku": "load-sku-1", "quantity": 2}, {"sku": "load-sku-2", "quantity": 1}],
                    "shipping_method": "express",
                    "metadata": {"channel": "web"},
                },
            ]
        }
    )

    customer_id: Identifier | None = None
    currency: Currency
    items: Annotated[list[NewItem], Field(min_length=1, max_length=LINES_MAX)]
    discount_codes: list[Code] = Field(default=[], max_length=CODES_MAX)
    address_id: Identifier | None = None
    shipping_method: Identifier | None = None
    metadata: Metadata = Field(default={})


class NewQuantity(Body):
    """How many are wanted of a line."""

    quantity: Quantity


class NewDiscount(Body):
    """AplicarDescuento."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "WELCOME10"}]})

    code: Code


class NewPayment(Body):
    """ProcesarPago. ``amount`` left out: the balance. ``token`` is the gateway's, never a card number."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"method": "card", "token": "tok_visa"}]})

    method: Annotated[str, StringConstraints(pattern=rf"^[A-Za-z0-9_.-]{{1,{PAYMENT_METHOD_MAX_CHARACTERS}}}$")]
    token: Text | None = None
    amount: Amount | None = None


class ShippedLine(Body):
    """How many of a line are in the parcel."""

    item_id: PartId
    quantity: Quantity


class Shipped(Body):
    """MarcarPedidoComoEnviado. ``lines`` left out: everything that is left."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "shipped", "carrier": "Correos", "tracking_number": "PQ4F6P"}]}
    )

    status: Literal["shipped"]
    carrier: Text
    tracking_number: Text
    tracking_url: Annotated[str, StringConstraints(pattern=_URL)] | None = None
    lines: Annotated[list[ShippedLine], Field(min_length=1, max_length=LINES_MAX)] | None = None


class Delivered(Body):
    """MarcarPedidoComoEntregado. ``shipment_id`` left out: every shipment under way."""

    status: Literal["delivered"]
    shipment_id: PartId | None = None


class Cancelled(Body):
    """CancelarPedido; ``reason`` is a note for people."""

    status: Literal["cancelled"]
    reason: Note | None = None


class NewStatus(RootModel[Annotated[Shipped | Delivered | Cancelled, Field(discriminator="status")]]):
    """One of three, told apart by ``status``."""

    model_config = ConfigDict(strict=True)


class RetryNow(Body):
    """Try every step again at once."""

    action: Literal["retry"]
    note: Note | None = None


class SkipToCompensation(Body):
    """Give up going forward; ``note`` says why."""

    action: Literal["skip_to_compensation"]
    note: Note


class MarkSettled(Body):
    """The stock that needs attention was settled outside; ``note`` says how."""

    action: Literal["mark_settled"]
    note: Note


class Record(Body):
    """What became of a payment or a refund that PaymentSvc leaves undecided, by the staff's word.

    ``subject`` is its id. A payment is ``confirmed`` or ``rejected`` (a mismatched one ``confirmed`` or ``refunded``), a
    refund ``refunded`` or ``rejected``. ``amount`` is
    what was moved, in minor units of ``currency`` (left out: the payment's); ``reference`` is where it can be looked up.
    """

    action: Literal["record"]
    subject: Uuid
    outcome: Literal["confirmed", "rejected", "refunded"]
    amount: AmountOrZero
    currency: Currency | None = None
    reference: Text
    note: Note


class AttentionVerb(
    RootModel[Annotated[RetryNow | SkipToCompensation | MarkSettled | Record, Field(discriminator="action")]]
):
    """What staff do about an order that needs attention: one of four, told apart by ``action``."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [
                {"action": "retry"},
                {
                    "action": "record",
                    "subject": "0198f7a2-8fff-7001-8f0e-2f8f6d3c1b77",
                    "outcome": "confirmed",
                    "amount": 7125,
                    "reference": "statement 2026-11-24, line 7",
                    "note": "the bank has it, the gateway does not say",
                },
            ]
        },
    )
