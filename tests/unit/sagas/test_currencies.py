"""Amounts of whole orders in currencies with no, two and three decimals: every part adds up, and what was paid is given back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.commands import CreateOrder, NewLine
from domain.order import Product, Status
from domain.promotions import Promotion, PromotionKind
from domain.representation import represent
from domain.totals_and_statuses import payment_status, totals
from tests.unit.sagas.builders import LOOKUPS, ORDER_ID, PEN, Story

CURRENCIES = ("JPY", "EUR", "KWD")
SKUS = ("a", "b", "c")
RATES = ("0", "0.0400", "0.1000", "0.2100", "0.333")


@st.composite
def carts(draw: st.DrawFn) -> tuple[str, tuple[NewLine, ...], tuple[Product, ...], tuple[Promotion, ...], str]:
    """A currency, lines, what they cost, promotions that may be combined, and a way of shipping."""
    currency = draw(st.sampled_from(CURRENCIES))
    skus = draw(st.lists(st.sampled_from(SKUS), unique=True, min_size=1))
    lines = tuple(NewLine(sku, draw(st.integers(1, 50))) for sku in skus)
    products = tuple(
        replace(
            PEN,
            sku=sku,
            currency=currency,
            unit_price=draw(st.integers(0, 10_000_000)),
            tax_rate=draw(st.sampled_from(RATES)),
        )
        for sku in skus
    )
    offers = (
        Promotion(
            code="PART",
            kind=PromotionKind.PERCENTAGE,
            fraction=draw(st.sampled_from(["0.1000", "0.3333"])),
            combinable=True,
        ),
        Promotion(
            code="OFF",
            kind=PromotionKind.FIXED_AMOUNT,
            amount=draw(st.integers(1, 1_000_000)),
            currency=currency,
            combinable=True,
        ),
        Promotion(code="MORE", kind=PromotionKind.BUY_X_GET_Y, buy_quantity=2, get_quantity=1, combinable=True),
        Promotion(code="SHIP", kind=PromotionKind.FREE_SHIPPING, combinable=True),
    )
    promotions = tuple(draw(st.lists(st.sampled_from(offers), unique_by=lambda offer: offer.code)))
    return currency, lines, products, promotions, draw(st.sampled_from(["standard", "express"]))


@settings(max_examples=300, deadline=None)
@given(cart=carts(), part=st.integers(1, 9))
def test_the_parts_of_an_order_add_up_to_its_total_and_its_refunds_to_what_was_paid(
    cart: tuple[str, tuple[NewLine, ...], tuple[Product, ...], tuple[Promotion, ...], str], part: int
) -> None:
    currency, lines, products, promotions, shipping = cart
    create = CreateOrder(
        customer_id="c-1",
        currency=currency,
        lines=lines,
        order_id=ORDER_ID,
        shipping_method=shipping,
        discount_codes=tuple(promotion.code for promotion in promotions),
    )
    # Without a number the order stays where it was paid, so that it can still be cancelled from there.
    lookups = replace(LOOKUPS, products=products, promotions=promotions, number=0)
    story = Story(create, lookups=lookups).held()
    shown = represent(story.order)
    sums = shown["totals"]
    assert sums["total"] == sums["items"] - sums["discount"] + sums["shipping"] + sums["tax"]
    assert sums["items"] == sum(item["unit_price"] * item["quantity"] for item in shown["items"])
    assert sums["discount"] == sum(item["discount"] for item in shown["items"])
    on_goods = [each for each in story.order.discounts if each.promotion.kind is not PromotionKind.FREE_SHIPPING]
    assert sums["discount"] == sum(each.amount for each in on_goods)
    assert sums["total"] == sum(item["total"] for item in shown["items"]) + sums["shipping"] + story.order.shipping_tax
    total = sums["total"]
    first = total * part // 10
    for amount in (first, total - first):
        if amount:
            story.pays(amount).confirmed()
    assert totals(story.order).paid == total
    assert totals(story.order).balance == 0
    story.cancels()
    while story.order.status is Status.CANCELLING:
        if any(refund.status.value == "processing" for each in story.order.payments for refund in each.refunds):
            story.refunded()
        else:
            story.released()
    after = totals(story.order)
    assert (after.paid, after.refunded, after.balance) == (total, total, 0)
    assert payment_status(story.order) == ("refunded" if total else "unpaid")
