"""Amounts: each promotion by an example, and laws of addition over random carts."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.money import allocate, part
from domain.order import OrderLine
from domain.pricing import price
from domain.promotions import Discount, Promotion, PromotionKind

RATES = st.sampled_from(["0", "0.0400", "0.1000", "0.2100", "0.0550", "0.333", "1"])
SKUS = ("a", "b", "c", "d")


def line(sku: str, quantity: int, unit_price: int, tax_rate: str = "0.2100") -> OrderLine:
    return OrderLine(id=f"i-{sku}", sku=sku, quantity=quantity, name=sku, unit_price=unit_price, tax_rate=tax_rate)


def percent(fraction: str, *skus: str, min_subtotal: int | None = None) -> Discount:
    return Discount(
        code="P",
        promotion=Promotion(
            code="P", kind=PromotionKind.PERCENTAGE, fraction=fraction, skus=skus, min_subtotal=min_subtotal
        ),
    )


def fixed(amount: int, *skus: str) -> Discount:
    return Discount(
        code="F",
        promotion=Promotion(code="F", kind=PromotionKind.FIXED_AMOUNT, amount=amount, currency="EUR", skus=skus),
    )


def buy_get(buy: int, get: int, *skus: str) -> Discount:
    return Discount(
        code="B",
        promotion=Promotion(code="B", kind=PromotionKind.BUY_X_GET_Y, buy_quantity=buy, get_quantity=get, skus=skus),
    )


def free_shipping() -> Discount:
    return Discount(code="S", promotion=Promotion(code="S", kind=PromotionKind.FREE_SHIPPING))


def promotions() -> st.SearchStrategy[Discount]:
    some_skus = st.lists(st.sampled_from(SKUS), unique=True, max_size=2).map(tuple)
    return st.one_of(
        st.builds(lambda f, s: percent(f, *s), st.sampled_from(["0.0500", "0.1000", "0.3333", "1"]), some_skus),
        st.builds(lambda a, s: fixed(a, *s), st.integers(1, 100_000), some_skus),
        st.builds(lambda b, g, s: buy_get(b, g, *s), st.integers(1, 3), st.integers(1, 2), some_skus),
        st.just(free_shipping()),
        st.just(percent("0.5000", min_subtotal=5000)),
    )


CARTS = st.lists(
    st.tuples(st.sampled_from(SKUS), st.integers(1, 10_000), st.integers(0, 10**9), RATES),
    min_size=1,
    max_size=4,
    unique_by=lambda each: each[0],
).map(lambda lines: tuple(line(*each) for each in lines))


@settings(max_examples=400, deadline=None)
@given(
    lines=CARTS,
    discounts=st.lists(promotions(), max_size=4).map(tuple),
    shipping=st.integers(0, 5000),
    shipping_rate=RATES,
)
def test_the_parts_of_any_cart_add_up_to_the_whole(
    lines: tuple[OrderLine, ...], discounts: tuple[Discount, ...], shipping: int, shipping_rate: str
) -> None:
    priced = price(lines, discounts, shipping, shipping_rate)
    net = sum(each.net for each in lines)
    shares = sum(each.discount for each in priced.lines)
    listed = sum(each.amount for each in priced.discounts)
    assert listed == shares + priced.shipping_discount
    assert all(0 <= each.discount <= each.net for each in priced.lines)
    assert 0 <= priced.shipping_discount <= shipping
    for each in priced.lines:
        exact = Fraction(each.net - each.discount) * Fraction(Decimal(each.tax_rate))
        assert each.tax == round(exact)  # Python rounds a Fraction half to even
    tax = sum(each.tax for each in priced.lines) + priced.shipping_tax
    assert priced.shipping_tax == round((shipping - priced.shipping_discount) * Fraction(Decimal(shipping_rate)))
    assert priced.total == net - shares + shipping - priced.shipping_discount + tax
    assert priced.total >= 0
    for discount in priced.discounts:
        assert (discount.amount == 0) is (discount.reason is not None)
    assert price(priced.lines, priced.discounts, shipping, shipping_rate) == priced


def test_tax_is_rounded_half_to_even_on_each_line() -> None:
    priced = price((line("a", 1, 50, "0.0500"), line("b", 1, 70, "0.0500")), (), 0, "0")
    assert [each.tax for each in priced.lines] == [2, 4]  # 2.5 and 3.5


def test_a_percentage_is_reckoned_on_the_net_before_any_discount_and_shared_by_largest_remainder() -> None:
    lines = (line("a", 1, 100), line("b", 1, 100), line("c", 1, 100))
    priced = price(lines, (percent("0.3333"),), 0, "0")
    assert priced.discounts[0].amount == 100
    assert [each.discount for each in priced.lines] == [34, 33, 33]  # ties go to the first line
    both = price(lines, (percent("0.5000"), percent("0.1000")), 0, "0")
    assert [each.amount for each in both.discounts] == [150, 30]


def test_discounts_together_take_no_more_than_there_is() -> None:
    priced = price((line("a", 1, 1000),), (percent("0.7000"), fixed(900)), 490, "0.2100")
    assert [each.amount for each in priced.discounts] == [700, 300]
    assert priced.lines[0].tax == 0
    assert priced.total == 490 + 103


def test_a_discount_for_some_skus_touches_no_other_line() -> None:
    priced = price((line("a", 1, 1000), line("b", 1, 1000)), (fixed(5000, "b"),), 0, "0")
    assert [each.discount for each in priced.lines] == [0, 1000]


@pytest.mark.parametrize(("quantity", "free"), [(2, 0), (3, 1), (5, 1), (6, 2)])
def test_of_each_three_pieces_of_one_line_one_is_free(quantity: int, free: int) -> None:
    priced = price((line("a", quantity, 250), line("b", 1, 250)), (buy_get(2, 1),), 0, "0")
    assert priced.discounts[0].amount == free * 250
    assert priced.lines[1].discount == 0


def test_free_shipping_makes_shipping_and_its_tax_nothing_and_lists_what_it_saved() -> None:
    priced = price((line("a", 1, 100, "0"),), (free_shipping(),), 490, "0.2100")
    assert (priced.discounts[0].amount, priced.shipping_discount, priced.shipping_tax, priced.total) == (
        490,
        490,
        0,
        100,
    )
    assert priced.lines[0].discount == 0


@pytest.mark.parametrize(
    ("discount", "reason"),
    [
        (percent("0.1000", min_subtotal=1001), "min_subtotal"),
        (percent("0.1000", "z"), "no_matching_items"),
        (buy_get(5, 1), "no_matching_items"),
        (percent("0.0000"), "nothing_left"),
    ],
)
def test_a_discount_that_does_not_apply_stays_listed_with_a_reason(discount: Discount, reason: str) -> None:
    priced = price((line("a", 1, 1000),), (discount,), 0, "0")
    assert (priced.discounts[0].amount, priced.discounts[0].reason) == (0, reason)


def test_a_minimum_that_is_just_reached_is_reached() -> None:
    assert price((line("a", 1, 1000),), (percent("0.1", min_subtotal=1000),), 0, "0").discounts[0].amount == 100


@given(total=st.integers(0, 10**12), weights=st.lists(st.integers(0, 10**9), min_size=1, max_size=8).map(tuple))
def test_shares_add_up_and_differ_from_the_exact_ones_by_less_than_a_unit(total: int, weights: tuple[int, ...]) -> None:
    whole = sum(weights)
    if whole == 0:
        assert allocate(0, weights) == (0,) * len(weights)
        return
    shares = allocate(total, weights)
    assert sum(shares) == total
    assert all(abs(share - Fraction(total * weight, whole)) < 1 for share, weight in zip(shares, weights, strict=True))


def test_nothing_to_allocate_to_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to allocate to"):
        allocate(1, (0, 0))


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "-0.1", "1.1", "NaN", "Infinity", "0_1", "0_0", "0.2_1", "٠.٢١", "0.٢١", "１", "０.1", " 0.1", "0.1 ", "0.1\n",
        "+0.1", "1e-1", "0x1", ".1", "0.", "00.1", "1.0000001", "-0", "0,1", "0.1\x00", "0." + "1" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_fraction_is_an_error(text: str) -> None:
    """A tax rate of "0_1" was read as 1, which is 100 %, and the digits of other alphabets were taken."""
    with pytest.raises(ValueError, match="fraction"):
        part(100, text)


@pytest.mark.parametrize(
    ("text", "tax"), [("0", 0), ("0.0", 0), ("1", 100), ("1.000", 100), ("0.21", 21), ("0.210000000000000000", 21)]
)
def test_a_fraction_is_digits_with_a_point(text: str, tax: int) -> None:
    assert part(100, text) == tax
