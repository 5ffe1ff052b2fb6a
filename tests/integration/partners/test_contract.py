"""contracts/partners.openapi.yaml over HTTP through our clients: every operation, every status, against any partners."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.calls import (
    Charge,
    CommitHold,
    CustomerFetched,
    Declined,
    FetchCustomer,
    FetchProducts,
    GiveBack,
    Hold,
    HoldAnswered,
    HoldLine,
    NotKnown,
    Outcome,
    PaymentAnswered,
    ProductsFetched,
    RefundAnswered,
    ReleaseHold,
    Verify,
    VerifyRefund,
)
from domain.money import Money
from domain.order import Product

SETTLE_LIMIT_S = 20.0
PRICE = Money(7125, "EUR")


def _new_id() -> str:
    return str(uuid.uuid4())


def _in(minutes: float) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


def _hold(sku: str, *, revision: int = 1, quantity: int = 1, until: datetime | None = None) -> Hold:
    return Hold(revision, until or _in(10), (HoldLine(sku, quantity),))


def _charge(partners: Any, *, payment_id: str | None = None, amount: Money = PRICE, token: str | None = None) -> Charge:
    return Charge(
        payment_id=payment_id or _new_id(),
        customer_id=partners.customer_id,
        amount=amount,
        method="card",
        token=token,
    )


async def _eventually(ask: Callable[[], Awaitable[Outcome]], is_it: Callable[[Any], bool]) -> Outcome:
    """Ask until the answer is the one awaited; the limit fails the test with the last answer."""
    deadline = asyncio.get_running_loop().time() + SETTLE_LIMIT_S
    while True:
        outcome = await ask()
        if is_it(outcome) or asyncio.get_running_loop().time() > deadline:
            return outcome
        await asyncio.sleep(0.02)


async def _product(partners: Any) -> Product:
    outcome = await partners.product.perform(_new_id(), FetchProducts((partners.sku,), "EUR"))
    assert isinstance(outcome, ProductsFetched)
    (product,) = outcome.products
    return product


def _code(outcome: Outcome) -> tuple[int, str]:
    assert isinstance(outcome, Declined), outcome
    return outcome.status, outcome.code


# ProductSvc


async def test_a_product_is_sellable_and_priced_in_the_currency_asked_for(partners: Any) -> None:
    product = await _product(partners)
    assert (product.sku, product.currency, product.sellable) == (partners.sku, "EUR", True)


async def test_an_unknown_sku_is_absent(partners: Any) -> None:
    request = FetchProducts((partners.sku, f"no-{_new_id()}"), "EUR")
    outcome = await partners.product.perform(_new_id(), request)
    assert isinstance(outcome, ProductsFetched)
    assert [product.sku for product in outcome.products] == [partners.sku]


async def test_as_many_skus_as_an_order_may_have_can_be_asked_for(partners: Any) -> None:
    skus = (*(f"no-{_new_id()}" for _ in range(399)), partners.sku)
    outcome = await partners.product.perform(_new_id(), FetchProducts(skus, "EUR"))
    assert isinstance(outcome, ProductsFetched)
    assert [product.sku for product in outcome.products] == [partners.sku]


async def test_a_hold_takes_stock_and_gives_it_back_for_good(partners: Any) -> None:
    order = _new_id()
    before = await _product(partners)
    assert await partners.product.perform(order, _hold(partners.sku, quantity=3)) == HoldAnswered(1, "held")
    during = await _product(partners)
    assert during.available == before.available - 3
    assert during.version > before.version
    assert await partners.product.perform(order, ReleaseHold()) == HoldAnswered(1, "released")
    assert (await _product(partners)).available == before.available
    assert await partners.product.perform(order, ReleaseHold()) == HoldAnswered(1, "released")
    late = await partners.product.perform(order, _hold(partners.sku, revision=2))
    assert _code(late) == (409, "hold_released")


async def test_a_hold_asked_for_twice_takes_the_stock_once(partners: Any) -> None:
    order, request = _new_id(), _hold(partners.sku)
    before = await _product(partners)
    assert await partners.product.perform(order, request) == HoldAnswered(1, "held")
    assert await partners.product.perform(order, request) == HoldAnswered(1, "held")
    assert (await _product(partners)).available == before.available - 1
    await partners.product.perform(order, ReleaseHold())


async def test_the_same_revision_with_other_lines_is_a_conflict(partners: Any) -> None:
    order, until = _new_id(), _in(10)
    await partners.product.perform(order, _hold(partners.sku, until=until))
    other = await partners.product.perform(order, _hold(partners.sku, quantity=2, until=until))
    assert _code(other) == (409, "conflict")
    await partners.product.perform(order, ReleaseHold())


async def test_a_higher_revision_replaces_what_is_held_and_a_lower_one_is_stale(partners: Any) -> None:
    order = _new_id()
    before = await _product(partners)
    await partners.product.perform(order, _hold(partners.sku, revision=2, quantity=5))
    assert await partners.product.perform(order, _hold(partners.sku, revision=3)) == HoldAnswered(3, "held")
    assert (await _product(partners)).available == before.available - 1
    assert _code(await partners.product.perform(order, _hold(partners.sku, revision=2))) == (409, "stale_revision")
    assert _code(await partners.product.perform(order, CommitHold(2))) == (409, "stale_revision")
    await partners.product.perform(order, ReleaseHold())


async def test_a_hold_of_more_than_there_is_tells_what_is_short_and_keeps_what_was_held(partners: Any) -> None:
    order = _new_id()
    free = (await _product(partners)).available
    await partners.product.perform(order, _hold(partners.sku, revision=1, quantity=2))
    refused = await partners.product.perform(order, _hold(partners.sku, revision=2, quantity=free + 1))
    assert _code(refused) == (409, "out_of_stock")
    assert isinstance(refused, Declined)
    assert [(shortage.sku, shortage.available) for shortage in refused.shortages] == [(partners.sku, free)]
    assert (await _product(partners)).available == free - 2
    assert await partners.product.perform(order, CommitHold(1)) == HoldAnswered(1, "committed")
    await partners.product.perform(order, ReleaseHold())
    assert (await _product(partners)).available == free


async def test_all_lines_are_held_or_none(partners: Any) -> None:
    order = _new_id()
    before = await _product(partners)
    lines = (HoldLine(partners.sku, 1), HoldLine(f"no-{_new_id()}", 1))
    assert _code(await partners.product.perform(order, Hold(1, _in(10), lines))) == (409, "out_of_stock")
    assert (await _product(partners)).available == before.available


async def test_committing_makes_a_hold_firm_and_its_repeats_are_answered_alike(partners: Any) -> None:
    order, request = _new_id(), _hold(partners.sku)
    await partners.product.perform(order, request)
    assert await partners.product.perform(order, CommitHold(1)) == HoldAnswered(1, "committed")
    assert await partners.product.perform(order, CommitHold(1)) == HoldAnswered(1, "committed")
    assert await partners.product.perform(order, request) == HoldAnswered(1, "committed")
    other = await partners.product.perform(order, _hold(partners.sku, revision=2))
    assert _code(other) == (409, "already_committed")
    assert await partners.product.perform(order, ReleaseHold()) == HoldAnswered(1, "released")
    assert _code(await partners.product.perform(order, CommitHold(1))) == (409, "hold_released")


async def test_a_hold_ends_by_itself_and_can_be_asked_for_again(partners: Any) -> None:
    order = _new_id()
    before = await _product(partners)
    await partners.product.perform(order, _hold(partners.sku, until=_in(0.3 / 60)))
    given_back = await _eventually(
        lambda: partners.product.perform(order, FetchProducts((partners.sku,), "EUR")),
        lambda outcome: outcome.products[0].available == before.available,
    )
    assert isinstance(given_back, ProductsFetched)
    assert given_back.products[0].available == before.available
    assert _code(await partners.product.perform(order, CommitHold(1))) == (409, "hold_expired")
    assert await partners.product.perform(order, _hold(partners.sku, revision=2)) == HoldAnswered(2, "held")
    await partners.product.perform(order, ReleaseHold())


async def test_a_commit_without_a_hold_is_not_known(partners: Any) -> None:
    assert await partners.product.perform(_new_id(), CommitHold(1)) == NotKnown()


async def test_releasing_before_holding_keeps_a_late_hold_out(partners: Any) -> None:
    order = _new_id()
    outcome = await partners.product.perform(order, ReleaseHold())
    assert isinstance(outcome, HoldAnswered)
    assert outcome.state == "released"
    assert _code(await partners.product.perform(order, _hold(partners.sku))) == (409, "hold_released")
    assert _code(await partners.product.perform(order, CommitHold(1))) == (409, "hold_released")


async def test_stock_is_never_oversold_by_orders_that_come_together(partners: Any) -> None:
    free = (await _product(partners)).available
    share = free // 4
    orders = [_new_id() for _ in range(6)]
    outcomes = await asyncio.gather(
        *(partners.product.perform(order, _hold(partners.sku, quantity=share)) for order in orders)
    )
    held = sum(outcome == HoldAnswered(1, "held") for outcome in outcomes)
    refused = sum(isinstance(outcome, Declined) and outcome.code == "out_of_stock" for outcome in outcomes)
    assert (held, refused) == (free // share, 6 - free // share)
    for order in orders:
        await partners.product.perform(order, ReleaseHold())
    assert (await _product(partners)).available == free


# PaymentSvc


async def test_a_charge_is_settled_once_however_often_it_is_sent(partners: Any) -> None:
    order, charge = _new_id(), _charge(partners)
    first = await partners.payment.perform(order, charge)
    assert isinstance(first, PaymentAnswered)
    assert (first.status, first.amount, first.payment_id) == ("confirmed", PRICE, charge.payment_id)
    assert await partners.payment.perform(order, charge) == first
    assert await partners.payment.perform(order, Verify(charge.payment_id)) == first


async def test_a_known_payment_id_with_other_content_is_a_conflict(partners: Any) -> None:
    order, charge = _new_id(), _charge(partners)
    await partners.payment.perform(order, charge)
    other = _charge(partners, payment_id=charge.payment_id, amount=Money(1, "EUR"))
    assert _code(await partners.payment.perform(order, other)) == (409, "conflict")


async def test_a_declined_charge_says_why_and_stays_declined(partners: Any) -> None:
    order, charge = _new_id(), _charge(partners, token=partners.token_declined)
    first = await partners.payment.perform(order, charge)
    assert isinstance(first, PaymentAnswered)
    assert first.status == "rejected"
    assert first.code
    assert await partners.payment.perform(order, Verify(charge.payment_id)) == first


async def test_a_charge_under_way_is_settled_later(partners: Any) -> None:
    order, charge = _new_id(), _charge(partners, token=partners.token_processing)
    first = await partners.payment.perform(order, charge)
    assert isinstance(first, PaymentAnswered)
    assert first.status == "processing"
    settled = await _eventually(
        lambda: partners.payment.perform(order, Verify(charge.payment_id)),
        lambda outcome: outcome.status != "processing",
    )
    assert isinstance(settled, PaymentAnswered)
    assert (settled.status, settled.amount) == ("confirmed", PRICE)


async def test_a_payment_that_never_arrived_is_not_known(partners: Any) -> None:
    assert await partners.payment.perform(_new_id(), Verify(_new_id())) == NotKnown()


async def test_money_is_given_back_in_parts_but_never_more_than_was_taken(partners: Any) -> None:
    order, charge = _new_id(), _charge(partners)
    await partners.payment.perform(order, charge)

    def refund(amount: int, refund_id: str | None = None) -> GiveBack:
        return GiveBack(
            refund_id=refund_id or _new_id(),
            payment_id=charge.payment_id,
            amount=Money(amount, "EUR"),
            reason="cancelled",
        )

    first = refund(5000)
    answer = RefundAnswered(refund_id=first.refund_id, status="refunded", amount=Money(5000, "EUR"))
    assert await partners.payment.perform(order, first) == answer
    assert await partners.payment.perform(order, first) == answer
    assert await partners.payment.perform(order, VerifyRefund(first.refund_id)) == answer
    assert _code(await partners.payment.perform(order, refund(4000, first.refund_id))) == (409, "conflict")
    assert _code(await partners.payment.perform(order, refund(2126))) == (409, "exceeds_captured")
    assert isinstance(await partners.payment.perform(order, refund(2125)), RefundAnswered)
    assert _code(await partners.payment.perform(order, refund(1))) == (409, "exceeds_captured")


async def test_a_refund_of_an_unknown_payment_is_not_known(partners: Any) -> None:
    request = GiveBack(refund_id=_new_id(), payment_id=_new_id(), amount=PRICE, reason="cancelled")
    assert await partners.payment.perform(_new_id(), request) == NotKnown()
    assert await partners.payment.perform(_new_id(), VerifyRefund(request.refund_id)) == NotKnown()


async def test_nothing_is_given_back_of_a_payment_that_was_declined(partners: Any) -> None:
    order, charge = _new_id(), _charge(partners, token=partners.token_declined)
    await partners.payment.perform(order, charge)
    request = GiveBack(refund_id=_new_id(), payment_id=charge.payment_id, amount=Money(1, "EUR"), reason="x")
    assert _code(await partners.payment.perform(order, request)) == (409, "exceeds_captured")


# UserSvc


async def test_a_customer_is_active_and_has_an_address(partners: Any) -> None:
    outcome = await partners.user.perform(_new_id(), FetchCustomer(partners.customer_id))
    assert isinstance(outcome, CustomerFetched)
    assert (outcome.customer.customer_id, outcome.customer.status) == (partners.customer_id, "active")
    assert outcome.customer.addresses


@pytest.mark.parametrize("customer_id", ["no-such-customer", "..", "a/b?c#d", "ü"])
async def test_an_unknown_customer_is_not_known(partners: Any, customer_id: str) -> None:
    assert await partners.user.perform(_new_id(), FetchCustomer(customer_id)) == NotKnown()
