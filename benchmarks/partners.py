"""Partners that answer at once and always say yes, as functions: no process, no network, no memory."""

from __future__ import annotations

from domain.calls import (
    Call,
    Charge,
    CommitHold,
    CustomerFetched,
    FetchCustomer,
    FetchProducts,
    Hold,
    HoldAnswered,
    NotFound,
    Outcome,
    PaymentAnswered,
    ProductsFetched,
    ReleaseHold,
)
from domain.order import Address, Customer, Product

PLENTY = 1_000_000_000
PRICE = 1999
HOME = Address(address_id="home", line1="Calle Mayor 1", line2=None, city="Madrid", postal_code="28013", country="ES")


def product(sku: str, currency: str) -> Product:
    """Make up a product that is always in stock."""
    return Product(
        sku=sku,
        name=f"A product called {sku}",
        unit_price=PRICE,
        currency=currency,
        tax_rate="0.2100",
        available=PLENTY,
        sellable=True,
        version=1,
    )


def customer(customer_id: str) -> Customer:
    """Make up an active customer with one address."""
    return Customer(
        customer_id=customer_id,
        name="Ana Ejemplo",
        email="ana@example.test",
        status="active",
        version=1,
        addresses=(HOME,),
    )


def answer_at_once(call: Call) -> Outcome:
    """Say yes to a call; what a saga that goes well never asks is answered with ``NotFound``."""
    match call.request:
        case FetchProducts(skus, currency):
            return ProductsFetched(tuple(product(sku, currency) for sku in skus))
        case FetchCustomer(customer_id):
            return CustomerFetched(customer(customer_id))
        case Hold(revision=revision):
            return HoldAnswered(revision, "held")
        case CommitHold(revision):
            return HoldAnswered(revision, "committed")
        case ReleaseHold():
            return HoldAnswered(1, "released")
        case Charge() as charge:
            return PaymentAnswered(payment_id=charge.payment_id, status="confirmed", amount=charge.amount)
        case _:
            return NotFound()
