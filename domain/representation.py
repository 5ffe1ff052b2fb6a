"""The order as the world sees it: one place translates the internal value into the JSON documents of docs/contract.md.

Gives plain dicts of texts, integers, lists and None; it decides nothing and hides everything that is internal.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from domain.order import Address, Attention, CancelReason, Order, OrderLine, Stage, Status, StepState
from domain.payments import Payment, PaymentStatus, Transaction
from domain.promotions import Discount
from domain.shipments import Shipment
from domain.totals_and_statuses import (
    Totals,
    allowed,
    fulfillment_status,
    in_flight,
    is_watch,
    outstanding,
    payment_status,
    totals,
)

__all__ = [
    "Totals",
    "allowed",
    "fulfillment_status",
    "in_flight",
    "outstanding",
    "payment_status",
    "represent",
    "represent_item",
    "represent_ledger",
    "represent_payment",
    "represent_payment_status",
    "represent_payments",
    "represent_totals",
    "time_text",
    "totals",
    "without_internals",
]

Json = dict[str, Any]
ID_CHARACTERS = 36  # of a UUID; other keys of notes end in a revision, or in nothing
TIMES_MAX = 4096  # a document has some ten times, most of which stay as they are from one commit to the next

# Of faults with these codes the text is our own, as it is of each that names a sku; of others it may be a partner's.
OWN_FAULTS = frozenset(
    {
        "address_unknown",
        "currency_not_supported",
        "customer_blocked",
        "customer_unknown",
        "total_too_large",
    }
)

STAGE_AHEAD: dict[Status, Stage] = {
    Status.CREATED: Stage.VALIDATE,
    Status.VALIDATED: Stage.PAY,
    Status.PAID: Stage.CONFIRM,
    Status.CONFIRMED: Stage.PREPARE,
    Status.PREPARED: Stage.SHIP,
    Status.SHIPPED: Stage.DELIVER,
    Status.DELIVERED: Stage.DELIVER,
    Status.CANCELLING: Stage.COMPENSATE,
    Status.CANCELLED: Stage.COMPENSATE,
}


def represent(order: Order) -> Json:
    """Give the order's document (docs/contract.md, "REST"); amounts in minor units, times RFC 3339 UTC with milliseconds."""
    customer = order.customer
    sums = totals(order)
    return {
        "id": order.id,
        "number": order.number,
        "version": order.version,
        "revision": order.revision,
        "status": order.status.value,
        "payment_status": payment_status(order),
        "fulfillment_status": fulfillment_status(order),
        "cancel_reason": order.cancel_reason.value if order.cancel_reason else None,
        "cancel_note": order.cancel_note,
        "needs_attention": bool(order.attention),
        "attention": [_attention(note) for note in order.attention],
        "customer": {
            "id": order.customer_id,
            "name": customer.name if customer else None,
            "email": customer.email if customer else None,
        },
        "currency": order.currency,
        "items": [represent_item(line) for line in order.lines],
        "discounts": [_discount(discount) for discount in order.discounts],
        "shipping": {"method": order.shipping_method, "amount": sums.shipping},
        "totals": represent_totals(sums),
        "shipping_address": _address(order.shipping_address) if order.shipping_address else None,
        "payments": [represent_payment(payment) for payment in order.payments],
        "shipments": [_shipment(shipment) for shipment in order.shipments],
        "saga": _saga(order),
        "metadata": dict(order.metadata),
        "validation_errors": [
            {"code": error.code, "sku": error.sku, "detail": error.detail} for error in order.validation_errors
        ],
        "expires_at": time_text(order.expires_at),
        "created_at": time_text(order.created_at),
        "updated_at": time_text(order.updated_at),
        "validated_at": _time(order.validated_at),
        "paid_at": _time(order.paid_at),
        "confirmed_at": _time(order.confirmed_at),
        "prepared_at": _time(order.prepared_at),
        "shipped_at": _time(order.shipped_at),
        "delivered_at": _time(order.delivered_at),
        "cancelled_at": _time(order.cancelled_at),
    }


def without_internals(document: Json) -> Json:
    """Give an order's document as it is for all but staff: without what partners said went wrong and what staff wrote.

    Codes and states stay; the texts go. ``document`` is what ``represent`` made, be it in an earlier release.
    """
    shown = dict(document)
    if "attention" in shown:
        shown["attention"] = []
    if shown.get("cancel_reason") == CancelReason.STAFF:
        shown["cancel_note"] = None
    if "saga" in shown:
        shown["saga"] = shown["saga"] | {"last_error": None}
    if shown.get("validation_errors"):
        shown["validation_errors"] = [
            fault if fault["sku"] is not None or fault["code"] in OWN_FAULTS else fault | {"detail": ""}
            for fault in shown["validation_errors"]
        ]
    return shown


def represent_item(line: OrderLine) -> Json:
    """Give an item; ``total`` is its net less its discount share, with tax."""
    return {
        "id": line.id,
        "sku": line.sku,
        "name": line.name,
        "quantity": line.quantity,
        "unit_price": line.unit_price,
        "discount": line.discount,
        "tax": line.tax,
        "total": line.net - line.discount + line.tax,
        "shipped": line.shipped,
        "delivered": line.delivered,
    }


def represent_totals(sums: Totals) -> dict[str, int]:
    """Give the ``totals`` object of documents and events."""
    return {
        "items": sums.items,
        "discount": sums.discount,
        "shipping": sums.shipping,
        "tax": sums.tax,
        "total": sums.total,
        "paid": sums.paid,
        "refunded": sums.refunded,
        "balance": sums.balance,
    }


def represent_payment(payment: Payment) -> Json:
    """Give a payment with its refunds; the gateway's token is never shown."""
    return {
        "payment_id": payment.payment_id,
        "status": payment.status.value,
        "amount": payment.amount,
        "currency": payment.currency,
        "method": payment.method,
        "code": payment.code,
        "created_at": time_text(payment.created_at),
        "updated_at": time_text(payment.updated_at),
        "refunds": [
            {
                "refund_id": refund.refund_id,
                "status": refund.status.value,
                "amount": refund.amount,
                "reason": refund.reason,
            }
            for refund in payment.refunds
        ],
    }


def represent_ledger(ledger: tuple[Transaction, ...]) -> list[Json]:
    """Give the append-only ledger, oldest first."""
    return [
        {
            "transaction_id": entry.transaction_id,
            "type": entry.type.value,
            "payment_id": entry.payment_id,
            "refund_id": entry.refund_id,
            "amount": entry.amount,
            "currency": entry.currency,
            "at": time_text(entry.at),
        }
        for entry in ledger
    ]


def represent_payments(order: Order) -> Json:
    """Give the answer of ``GET …/payments``: payments with refunds, and the ledger."""
    return {
        "payments": [represent_payment(payment) for payment in order.payments],
        "ledger": represent_ledger(order.ledger),
    }


def represent_payment_status(order: Order) -> Json:
    """Give the answer of ``GET …/payments/status`` (VerificarEstadoPago)."""
    sums = totals(order)
    return {
        "payment_status": payment_status(order),
        "total": sums.total,
        "paid": sums.paid,
        "refunded": sums.refunded,
        "balance": sums.balance,
        "in_doubt": any(payment.status is PaymentStatus.IN_DOUBT for payment in order.payments),
        "attempts": [
            {
                "payment_id": payment.payment_id,
                "status": payment.status.value,
                "amount": payment.amount,
                "code": payment.code,
                "updated_at": time_text(payment.updated_at),
            }
            for payment in order.payments
        ],
    }


@lru_cache(maxsize=TIMES_MAX)
def time_text(at: datetime) -> str:
    """Give RFC 3339 UTC with milliseconds and ``Z``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(at: datetime | None) -> str | None:
    return None if at is None else time_text(at)


def _discount(discount: Discount) -> Json:
    shown: Json = {"code": discount.code, "amount": discount.amount}
    if discount.reason is not None:
        shown["reason"] = discount.reason
    return shown


def _address(address: Address) -> Json:
    return {
        "address_id": address.address_id,
        "line1": address.line1,
        "line2": address.line2,
        "city": address.city,
        "postal_code": address.postal_code,
        "country": address.country,
    }


def _shipment(shipment: Shipment) -> Json:
    return {
        "shipment_id": shipment.shipment_id,
        "status": shipment.status.value,
        "carrier": shipment.carrier,
        "tracking_number": shipment.tracking_number,
        "tracking_url": shipment.tracking_url,
        "lines": [{"item_id": line.item_id, "quantity": line.quantity} for line in shipment.lines],
        "shipped_at": time_text(shipment.shipped_at),
        "delivered_at": _time(shipment.delivered_at),
    }


def _attention(note: Attention) -> Json:
    """Give a reason for attention; ``subject`` is the payment or refund that it is about, or None."""
    subject = note.key.partition(":")[2]
    return {"reason": note.reason, "subject": subject if len(subject) == ID_CHARACTERS else None, "detail": note.detail}


def _saga(order: Order) -> Json:
    """Give what the order is at: the stage ahead of it, and how the least advanced of its steps is doing."""
    steps = [step for step in order.steps if not is_watch(order, step)]
    state = "waiting"
    if order.attention:
        state = "needs_attention"
    elif any(step.state is StepState.RUNNING for step in steps):
        state = "running"
    elif any(step.state is StepState.RETRYING for step in steps):
        state = "retrying"
    errors = [step.last_error for step in steps if step.last_error]
    if not errors:
        errors = [each.detail for each in order.attention]
    tries = [step.next_try_at for step in steps if step.state is not StepState.RUNNING]
    return {
        "stage": STAGE_AHEAD[order.status].value,
        "state": state,
        "attempts": max((step.attempts for step in steps), default=0),
        "next_try_at": _time(min(tries, default=None)),
        "last_error": errors[0] if errors else None,
    }
