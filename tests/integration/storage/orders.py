"""Orders and commits to try the store with: plain, valid, and never twice the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from domain.ids import charge_transaction_id, item_id, payment_id
from domain.order import Address, Customer, Order, OrderLine, Status, Step, StepKind, StepState
from domain.payments import Payment, PaymentStatus, Transaction, TransactionType
from domain.totals_and_statuses import fulfillment_status, payment_status, totals
from storage.writes.commits import Commit, StoredEvent

NOW = datetime(2026, 1, 5, 10, 0, 0, 123_000, tzinfo=UTC)
CUSTOMER = Customer(
    customer_id="c-1001",
    name="Ana Pérez",
    email="ana@example.org",
    status="active",
    version=3,
    addresses=(
        Address(address_id="a-1", line1="Calle Mayor 1", line2=None, city="Madrid", postal_code="28013", country="ES"),
    ),
)


def an_order(
    *, order_id: str | None = None, skus: Sequence[str] = ("sku-1", "sku-2", "sku-3"), **changes: Any
) -> Order:
    """A priced order at version 1."""
    own = order_id or str(uuid4())
    order = Order(
        id=own,
        version=1,
        revision=1,
        status=Status.CREATED,
        customer_id="c-1001",
        currency="EUR",
        lines=tuple(
            OrderLine(
                id=item_id(own, i),
                sku=sku,
                quantity=2,
                name=f"Name of {sku}",
                unit_price=1000,
                tax_rate="0.2100",
                tax=420,
            )
            for i, sku in enumerate(skus)
        ),
        shipping_method="standard",
        created_at=NOW,
        updated_at=NOW,
        expires_at=NOW + timedelta(minutes=30),
        customer=CUSTOMER,
        address_id="a-1",
        shipping_address=CUSTOMER.addresses[0],
        shipping_amount=490,
        shipping_tax=103,
        steps=(
            Step(
                key="hold:1",
                kind=StepKind.HOLD,
                state=StepState.RUNNING,
                since=NOW,
                next_try_at=NOW + timedelta(seconds=45),
                revision=1,
            ),
        ),
        line_seq=len(skus),
    )
    return replace(order, **changes)


def next_of(order: Order, **changes: Any) -> Order:
    """The order one version later."""
    return replace(order, version=order.version + 1, updated_at=order.updated_at + timedelta(seconds=1), **changes)


def paid_with(order: Order, amount: int) -> tuple[Payment, Transaction]:
    """A confirmed payment and its entry in the ledger."""
    own = payment_id(order.id, len(order.payments) + 1)
    at = order.updated_at
    payment = Payment(
        payment_id=own,
        status=PaymentStatus.CONFIRMED,
        amount=amount,
        currency=order.currency,
        method="card",
        created_at=at,
        updated_at=at,
    )
    entry = Transaction(
        transaction_id=charge_transaction_id(order.id, own),
        type=TransactionType.CHARGE,
        payment_id=own,
        refund_id=None,
        amount=amount,
        currency=order.currency,
        at=at,
    )
    return payment, entry


def an_event(order: Order, sequence: int) -> StoredEvent:
    """An event of a usual size."""
    return StoredEvent(
        sequence=sequence,
        type="PedidoActualizado",
        version=order.version,
        at=order.updated_at,
        actor_type="client",
        actor_id="c-1001",
        body=b'{"specversion":"1.0","data":{"changed":["status"],"x":"' + b"x" * 700 + b'"}}',
        notice=None,
    )


def a_commit(order: Order, *, events: int = 1, **changes: Any) -> Commit:
    """A commit of the order's version, with events numbered from its ``event_seq``."""
    sums = totals(order)
    given: dict[str, Any] = {
        "order": order,
        "base_version": order.version - 1,
        "deadline": order.expires_at if not order.is_closed else None,
        "payment_status": payment_status(order),
        "fulfillment_status": fulfillment_status(order),
        "total": sums.total,
        "paid": sums.paid,
        "refunded": sums.refunded,
        "events": tuple(an_event(order, (order.version - 1) * events + i + 1) for i in range(events)),
    }
    return Commit(**(given | changes))
