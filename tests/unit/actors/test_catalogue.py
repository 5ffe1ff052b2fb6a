"""Copies that orders are validated with: bounded, young, and never older than an event told of."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from actors.catalogue import Catalogue
from domain.commands import Actor, ActorType, CreateOrder, Known, Message, NewLine
from domain.money import Money
from domain.order import Address, Customer, Product
from messaging.inbound import CustomerChanged, ProductChanged

PEN = Product(
    sku="pen",
    name="Pen",
    unit_price=100,
    currency="EUR",
    tax_rate="0.2100",
    available=5,
    sellable=True,
    version=3,
)
ANA = Customer(customer_id="c-1", name="Ana", email="ana@example.test", status="active", version=3, addresses=())
HOME = Address(address_id="home", line1="Calle 1", line2=None, city="Lugo", postal_code="27001", country="ES")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalogue(clock: Clock) -> Catalogue:
    return Catalogue(product_max_age_s=30, customer_max_age_s=30, max_entries=3, monotonic=clock)


def news_of_pen(version: int, price: Money | None = None, **changes: str) -> ProductChanged:
    facts = {"tax_rate": None, "name": None, **changes}
    return ProductChanged(sku="pen", version=version, available=1, unit_price=price, **facts)


def news_of_ana(
    version: int, *, status: str | None = None, addresses: tuple[Address, ...] | None = None
) -> CustomerChanged:
    return CustomerChanged(
        customer_id="c-1", version=version, name=None, email=None, status=status, addresses=addresses
    )


def known(catalogue: Catalogue, currency: str = "EUR") -> Known:
    """What the creation of an order for Ana's pen would be decided with."""
    body = CreateOrder(
        customer_id="c-1",
        currency=currency,
        lines=(NewLine("pen", 1),),
        discount_codes=(),
        address_id=None,
        shipping_method="standard",
        metadata={},
    )
    return catalogue.known(None, Message(id="m", body=body, actor=Actor(ActorType.CLIENT, "c")), (), 1)


def pen(catalogue: Catalogue, currency: str = "EUR") -> Product | None:
    products = known(catalogue, currency).products
    return products[0] if products else None


def test_what_was_answered_is_known_until_it_is_old(catalogue: Catalogue, clock: Clock) -> None:
    assert catalogue.learn_products([PEN]) == (PEN,)
    assert catalogue.learn_customer(ANA) == ANA
    clock.now_s = 30
    assert known(catalogue) == Known(products=(PEN,), customer=ANA, promotions=(), number=1)
    clock.now_s = 30.1
    assert known(catalogue) == Known(products=None, customer=None, promotions=(), number=1)


def test_the_one_that_was_learned_first_is_forgotten_when_there_is_no_room(catalogue: Catalogue) -> None:
    catalogue.learn_products([PEN, *(replace(PEN, sku=f"s-{number}") for number in range(3))])
    assert pen(catalogue) is None


def test_a_copy_is_replaced_by_what_an_event_names(catalogue: Catalogue) -> None:
    catalogue.learn_products([PEN])
    catalogue.product_changed(news_of_pen(4, Money(120, "EUR"), name="Better pen"))
    assert pen(catalogue) == replace(PEN, unit_price=120, name="Better pen", available=1, version=4)


def test_a_price_in_one_currency_drops_the_others(catalogue: Catalogue) -> None:
    dollars = replace(PEN, currency="USD", unit_price=110)
    catalogue.learn_products([PEN, dollars])
    catalogue.product_changed(news_of_pen(4, Money(120, "EUR")))
    assert pen(catalogue, "USD") is None
    assert pen(catalogue, "EUR") is not None
    # The answer stands, for there is none better; it is asked for again each time.
    assert catalogue.learn_products([dollars]) == (dollars,)
    assert pen(catalogue, "USD") is None


def test_news_without_a_price_leave_all_prices(catalogue: Catalogue) -> None:
    dollars = replace(PEN, currency="USD", unit_price=110)
    catalogue.learn_products([PEN, dollars])
    catalogue.product_changed(news_of_pen(4, tax_rate="0.1000"))
    assert pen(catalogue, "USD") == replace(dollars, tax_rate="0.1000", available=1, version=4)
    assert pen(catalogue, "EUR") == replace(PEN, tax_rate="0.1000", available=1, version=4)


@pytest.mark.parametrize("version", [2, 3])
def test_news_that_are_not_newer_than_the_copy_change_nothing(catalogue: Catalogue, version: int) -> None:
    catalogue.learn_products([PEN])
    catalogue.learn_customer(ANA)
    catalogue.product_changed(news_of_pen(version, Money(1, "EUR")))
    catalogue.customer_changed(news_of_ana(version, status="blocked"))
    assert (pen(catalogue), known(catalogue).customer) == (PEN, ANA)


def test_news_that_come_late_change_nothing(catalogue: Catalogue) -> None:
    catalogue.learn_products([PEN])
    catalogue.learn_customer(ANA)
    catalogue.product_changed(news_of_pen(6, Money(160, "EUR")))
    catalogue.product_changed(news_of_pen(5, Money(150, "EUR")))
    catalogue.customer_changed(news_of_ana(6, status="blocked"))
    catalogue.customer_changed(news_of_ana(5, status="active"))
    product, customer = pen(catalogue), known(catalogue).customer
    assert product is not None
    assert customer is not None
    assert (product.unit_price, customer.status) == (160, "blocked")


def test_an_answer_older_than_the_news_is_given_with_the_news(catalogue: Catalogue) -> None:
    catalogue.product_changed(news_of_pen(5, Money(150, "EUR")))
    catalogue.product_changed(news_of_pen(6, name="Best pen"))
    catalogue.customer_changed(news_of_ana(5, addresses=(HOME,)))
    newer = replace(PEN, unit_price=150, name="Best pen", available=1, version=6)
    assert catalogue.learn_products([PEN]) == (newer,)
    assert pen(catalogue) == newer
    assert catalogue.learn_customer(ANA) == replace(ANA, addresses=(HOME,), version=5)


def test_an_answer_newer_than_a_fact_has_the_last_word_on_it(catalogue: Catalogue) -> None:
    catalogue.product_changed(news_of_pen(5, Money(150, "EUR")))
    catalogue.product_changed(news_of_pen(8, name="Best pen"))
    answered = replace(PEN, unit_price=170, version=7)
    assert catalogue.learn_products([answered]) == (replace(answered, name="Best pen", available=1, version=8),)


def test_a_late_answer_takes_no_newer_copys_place(catalogue: Catalogue) -> None:
    newer = replace(PEN, unit_price=130, version=4)
    catalogue.learn_products([newer])
    assert catalogue.learn_products([PEN]) == (newer,)
    blocked = replace(ANA, status="blocked", version=4)
    catalogue.learn_customer(blocked)
    assert catalogue.learn_customer(ANA) == blocked


def test_an_answer_that_was_a_copy_grows_old_with_the_copy(catalogue: Catalogue, clock: Clock) -> None:
    catalogue.learn_products([PEN], age_s=20)
    catalogue.learn_customer(ANA, age_s=20)
    clock.now_s = 9
    assert known(catalogue) == Known(products=(PEN,), customer=ANA, promotions=(), number=1)
    clock.now_s = 11
    assert known(catalogue) == Known(products=None, customer=None, promotions=(), number=1)
