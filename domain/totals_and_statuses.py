"""What follows from an order's value and is therefore kept nowhere: its totals, its derived statuses, what is legal
now.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import NamedTuple, TypeVar

from domain.order import Order, Status, Step, StepKind
from domain.payments import (
    REASON_CORRECTED,
    OrderPaymentStatus,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
    TransactionType,
)
from domain.shipments import FulfillmentStatus, ShipmentStatus

T = TypeVar("T")

IN_FLIGHT = (PaymentStatus.PROCESSING, PaymentStatus.IN_DOUBT)
TOOK_MONEY = (
    PaymentStatus.CONFIRMED,
    PaymentStatus.MISMATCHED,
    PaymentStatus.PARTIALLY_REFUNDED,
    PaymentStatus.REFUNDED,
)
EDITS = ("add_item", "change_quantity", "remove_item", "apply_discount", "remove_discount")


class Totals(NamedTuple):
    """An order's amounts in minor units of its currency; ``total = items - discount + shipping + tax``.

    ``paid`` and ``refunded`` count money of the order's currency only. ``balance`` is what is still to pay (negative:
    what is to be given back), and 0 for a cancelled order.
    """

    items: int
    discount: int
    shipping: int
    tax: int
    total: int
    paid: int
    refunded: int
    balance: int


def _of_the_last_order(work_out: Callable[[Order], T]) -> Callable[[Order], T]:
    """Remember what was worked out of the last order: one commit asks for the same several times, and orders never change."""
    last: tuple[Order, T] | None = None

    @wraps(work_out)
    def look(order: Order) -> T:
        nonlocal last
        remembered = last
        if remembered is None or remembered[0] is not order:
            remembered = last = (order, work_out(order))
        return remembered[1]

    return look


@_of_the_last_order
def totals(order: Order) -> Totals:
    """Add up an order; all 0 but ``paid`` and ``refunded`` before prices are known."""
    items = discount = 0
    tax = order.shipping_tax
    for line in order.lines:
        items += line.unit_price * line.quantity
        discount += line.discount
        tax += line.tax
    shipping = order.shipping_amount - order.shipping_discount
    total = items - discount + shipping + tax
    paid = refunded = 0
    for entry in order.ledger:
        if entry.currency != order.currency:
            continue
        if entry.type is TransactionType.CHARGE:
            paid += entry.amount
        else:
            refunded += entry.amount
    balance = 0 if order.status is Status.CANCELLED else total - paid + refunded
    return Totals(items, discount, shipping, tax, total, paid, refunded, balance)


def in_flight(order: Order) -> Payment | None:
    """Give the payment whose outcome is still awaited, or None."""
    for payment in order.payments:
        if payment.status in IN_FLIGHT:
            return payment
    return None


def has_mismatch(order: Order) -> bool:
    """Tell whether money of another amount or currency was taken and neither given back nor settled."""
    return any(payment.status is PaymentStatus.MISMATCHED for payment in order.payments)


def outstanding(payment: Payment) -> int:
    """Give what a payment took and no refund has given back or is giving back, in minor units of its currency.

    It is negative where PaymentSvc says that it gave back more than it took.
    """
    if payment.status not in TOOK_MONEY:
        return 0
    return payment.amount - sum(
        each.amount for each in payment.refunds if each.status is not RefundStatus.REJECTED and is_of(each, payment)
    )


def is_of(refund: Refund, payment: Payment) -> bool:
    """Tell whether a refund lessens what its payment holds: money of the same currency, and no correction of the books."""
    return refund.currency in (None, payment.currency) and refund.reason != REASON_CORRECTED


def settled_status(payment: Payment) -> PaymentStatus:
    """Give the status of a payment that took money, by what was given back of it; a mismatch is over when all was."""
    gone = sum(each.amount for each in payment.refunds if each.status is RefundStatus.REFUNDED and is_of(each, payment))
    if gone >= payment.amount:
        return PaymentStatus.REFUNDED
    if gone and payment.status is not PaymentStatus.MISMATCHED:
        return PaymentStatus.PARTIALLY_REFUNDED
    return payment.status


def money_kept(order: Order) -> int:
    """Give what was paid in the order's currency less what was or is being given back."""
    return sum(outstanding(payment) for payment in order.payments if payment.currency == order.currency)


@_of_the_last_order
def payment_status(order: Order) -> OrderPaymentStatus:
    """Derive how much of the order is paid.

    What is in flight comes first. An order that was paid is ``paid`` as long as it keeps its total; what an order that
    is being or was cancelled has given back shows as refunded.
    """
    awaited = in_flight(order)
    if awaited is not None:
        return OrderPaymentStatus.IN_DOUBT if awaited.status is PaymentStatus.IN_DOUBT else OrderPaymentStatus.PENDING
    sums = totals(order)
    kept = sums.paid - sums.refunded
    if order.status in (Status.CANCELLING, Status.CANCELLED):
        if sums.refunded:
            return OrderPaymentStatus.PARTIALLY_REFUNDED if kept > 0 else OrderPaymentStatus.REFUNDED
    elif order.paid_at is not None and kept >= sums.total:
        return OrderPaymentStatus.PAID
    if kept > 0:
        if order.paid_at is not None and kept >= sums.total:
            return OrderPaymentStatus.PAID
        return OrderPaymentStatus.PARTIALLY_PAID
    return OrderPaymentStatus.REFUNDED if sums.refunded else OrderPaymentStatus.UNPAID


def fulfillment_status(order: Order) -> FulfillmentStatus:
    """Derive how much of the order is shipped and delivered, from its lines and shipments."""
    if not order.shipments:
        return FulfillmentStatus.UNFULFILLED
    if any(line.shipped < line.quantity for line in order.lines):
        return FulfillmentStatus.PARTIALLY_SHIPPED
    if any(shipment.status is not ShipmentStatus.DELIVERED for shipment in order.shipments):
        return FulfillmentStatus.SHIPPED
    return FulfillmentStatus.DELIVERED


def may_cancel(order: Order) -> bool:
    """Tell whether the order may be cancelled: until its first shipment."""
    if order.status in (Status.SHIPPED, Status.DELIVERED, Status.CANCELLING, Status.CANCELLED):
        return False
    return not order.shipments


def may_pay(order: Order, now: datetime, *, payment_attempts_max: int) -> bool:
    """Tell whether another payment may be started."""
    return (
        order.status is Status.VALIDATED
        and in_flight(order) is None
        and not has_mismatch(order)
        and now < order.expires_at
        and len(order.payments) < payment_attempts_max
    )


def allowed(order: Order, now: datetime, *, payment_attempts_max: int) -> tuple[str, ...]:
    """Give the commands that are legal now, in the order of docs/contract.md's list."""
    commands: list[str] = []
    if order.status in (Status.CREATED, Status.VALIDATED) and in_flight(order) is None:
        commands += EDITS
        if may_pay(order, now, payment_attempts_max=payment_attempts_max):
            commands.append("pay")
    if may_cancel(order):
        commands.append("cancel")
    if order.status is Status.PREPARED:
        commands.append("ship")
    if any(shipment.status is ShipmentStatus.SHIPPED for shipment in order.shipments):
        commands.append("deliver")
    return tuple(commands)


def is_watch(order: Order, step: Step) -> bool:
    """Tell whether a step only looks out for money that may yet come of a payment counted as never made."""
    if step.kind is not StepKind.VERIFY:
        return False
    return any(each.payment_id == step.subject and each.status not in IN_FLIGHT for each in order.payments)
