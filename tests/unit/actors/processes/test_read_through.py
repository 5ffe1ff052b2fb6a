"""What stands before a bulkhead: a copy answers a first try only, and what the partner answers is kept."""

from __future__ import annotations

from typing import Any, cast

import pytest

from actors.processes.read_through import ReadThrough
from domain.calls import (
    Call,
    CommitHold,
    CustomerFetched,
    FetchCustomer,
    FetchProducts,
    NotFound,
    Outcome,
    ProductsFetched,
)
from domain.commands import CallAnswered
from domain.order import Customer, Product
from storage.reads.reference_data import Copy
from tests.unit.sagas.builders import CUSTOMER, INK, PEN

FETCH = Call(order_id="o", key="fetch:1", attempt=1, request=FetchProducts(("pen", "ink"), "EUR"))
FETCH_ANA = Call(order_id="o", key="fetch:2", attempt=1, request=FetchCustomer("c-1"))


class Partner:
    """Answers with ``outcome``."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.made: list[Call] = []

    async def call(self, call: Call) -> CallAnswered:
        self.made.append(call)
        return CallAnswered(call.key, call.attempt, self.outcome)


class Copies:
    """What Redis has, all of it nine seconds old."""

    def __init__(self, products: tuple[Product, ...] = (), customer: Customer | None = None) -> None:
        self.kept_products = products
        self.kept_customer = customer

    async def products(self, skus: tuple[str, ...], currency: str) -> Copy[tuple[Product, ...]] | None:
        assert (skus, currency) == (("pen", "ink"), "EUR")
        return Copy(self.kept_products, 9.0) if self.kept_products else None

    async def customer(self, customer_id: str) -> Copy[Customer] | None:
        assert customer_id == "c-1"
        return None if self.kept_customer is None else Copy(self.kept_customer, 9.0)

    async def keep_products(self, products: tuple[Product, ...]) -> None:
        self.kept_products = products

    async def keep_customer(self, customer: Customer) -> None:
        self.kept_customer = customer


def read_through(partner: Partner, copies: Copies) -> ReadThrough:
    return ReadThrough(partner, cast("Any", copies))


@pytest.mark.parametrize(
    ("call", "copy"), [(FETCH, ProductsFetched((PEN, INK), 9.0)), (FETCH_ANA, CustomerFetched(CUSTOMER, 9.0))]
)
async def test_a_first_try_is_answered_by_a_copy_that_is_there_and_no_other_is(call: Call, copy: Outcome) -> None:
    """The copy may be what was outdated: the next try is the partner's own."""
    partner = Partner(NotFound())
    asked = read_through(partner, Copies((PEN, INK), CUSTOMER))
    assert await asked.call(call) == CallAnswered(call.key, 1, copy)
    assert partner.made == []
    again = Call(order_id="o", key=call.key, attempt=2, request=call.request)
    assert await asked.call(again) == CallAnswered(call.key, 2, NotFound())
    assert partner.made == [again]


async def test_what_the_partner_answers_is_kept() -> None:
    copies = Copies()
    assert (await read_through(Partner(ProductsFetched((PEN, INK))), copies).call(FETCH)).outcome == ProductsFetched(
        (PEN, INK)
    )
    await read_through(Partner(CustomerFetched(CUSTOMER)), copies).call(FETCH_ANA)
    assert (copies.kept_products, copies.kept_customer) == ((PEN, INK), CUSTOMER)


async def test_what_is_not_asked_for_is_left_alone() -> None:
    copies, partner = Copies((PEN, INK), CUSTOMER), Partner(NotFound())
    call = Call(order_id="o", key="commit", attempt=1, request=CommitHold(1))
    assert (await read_through(partner, copies).call(call)).outcome == NotFound()
    assert partner.made == [call]
