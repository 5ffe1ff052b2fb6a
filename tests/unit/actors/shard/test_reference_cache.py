"""Copies that orders are validated with: bounded, young, and gone once an event told of something newer."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from actors.shard.reference_cache import CachePolicy, ReferenceCache
from domain.commands import Actor, ActorType, CreateOrder, Lookups, Message, NewLine
from domain.money import Money
from domain.order import Address, Customer, Product
from domain.promotions import Promotion, PromotionKind
from domain.reference_data import ReferenceKind, ReferenceVersion
from messaging.consuming.consumed_events import ReferenceChanged

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
HOME = Address(address_id="home", line1="Calle 1", line2=None, city="Lugo", postal_code="27001", country="ES")
ANA = Customer(customer_id="c-1", name="Ana", email="ana@example.test", status="active", version=3, addresses=())


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> ReferenceCache:
    return ReferenceCache(CachePolicy(max_entries=3), clock)


def of_pen(version: int, **facts: Any) -> ReferenceChanged:
    return ReferenceChanged(changed=ReferenceVersion(ReferenceKind.PRODUCT, "pen", version), **facts)


def of_ana(version: int, **facts: Any) -> ReferenceChanged:
    return ReferenceChanged(changed=ReferenceVersion(ReferenceKind.CUSTOMER, "c-1", version), **facts)


def lookups(cache: ReferenceCache, currency: str = "EUR") -> Lookups:
    """What the creation of an order for Ana's pen would be decided with."""
    body = CreateOrder(customer_id="c-1", currency=currency, lines=(NewLine("pen", 1), NewLine("pen", 2)))
    return cache.lookups(None, Message(id="m", body=body, actor=Actor(ActorType.CLIENT, "c")), 1)


def pen(cache: ReferenceCache, currency: str = "EUR") -> Product | None:
    products = lookups(cache, currency).products
    return products[0] if products else None


def test_what_was_answered_is_known_until_it_is_old(cache: ReferenceCache, clock: Clock) -> None:
    cache.keep_products([PEN], 0)
    cache.keep_customer(ANA, 0)
    clock.now_s = 30
    assert lookups(cache) == Lookups(products=(PEN,), customer=ANA, number=1)
    clock.now_s = 30.1
    assert lookups(cache) == Lookups(number=1)


def test_an_answer_that_was_a_copy_grows_old_with_the_copy(cache: ReferenceCache, clock: Clock) -> None:
    cache.keep_products([PEN], 20)
    cache.keep_customer(ANA, 20)
    clock.now_s = 9
    assert lookups(cache) == Lookups(products=(PEN,), customer=ANA, number=1)
    clock.now_s = 11
    assert lookups(cache) == Lookups(number=1)


def test_products_are_known_all_or_none_and_each_in_its_currency(cache: ReferenceCache) -> None:
    dollars = replace(PEN, currency="USD", unit_price=110)
    cache.keep_products([PEN, dollars], 0)
    assert (pen(cache), pen(cache, "USD"), pen(cache, "JPY")) == (PEN, dollars, None)
    body = CreateOrder(customer_id="c-1", currency="EUR", lines=(NewLine("pen", 1), NewLine("ink", 1)))
    assert cache.lookups(None, Message(id="m", body=body, actor=Actor(ActorType.CLIENT, "c")), 1) == Lookups(number=1)


def test_what_was_known_with_the_message_stays(cache: ReferenceCache) -> None:
    body = CreateOrder(customer_id="c-1", currency="EUR", lines=(NewLine("pen", 1),))
    before = Lookups(promotions=(Promotion(code="TEN", kind=PromotionKind.PERCENTAGE),), is_outdated=True)
    message = Message(id="m", body=body, actor=Actor(ActorType.CLIENT, "c"), lookups=before)
    assert cache.lookups(None, message, 7) == replace(before, number=7)


def test_the_one_that_was_kept_first_is_forgotten_when_there_is_no_room(cache: ReferenceCache) -> None:
    cache.keep_products([PEN, *(replace(PEN, sku=f"s-{number}") for number in range(3))], 0)
    assert pen(cache) is None


def test_what_is_invalid_is_forgotten_in_every_currency_and_nothing_else(cache: ReferenceCache) -> None:
    cache.keep_products([PEN, replace(PEN, currency="USD"), replace(PEN, sku="c-1")], 0)
    cache.keep_customer(ANA, 0)
    cache.invalidate(ReferenceKind.PRODUCT, "pen")
    assert (pen(cache), pen(cache, "USD"), lookups(cache).customer) == (None, None, ANA)
    cache.keep_products([PEN], 0)
    cache.invalidate(ReferenceKind.CUSTOMER, "c-1")
    assert (pen(cache), lookups(cache).customer) == (PEN, None)
    cache.invalidate(ReferenceKind.CUSTOMER, "nobody")


def test_a_late_answer_takes_no_newer_copys_place(cache: ReferenceCache) -> None:
    newer, blocked = replace(PEN, unit_price=130, version=4), replace(ANA, status="blocked", version=4)
    assert cache.keep_products([newer, PEN], 0) == (newer, newer)
    assert cache.keep_customer(blocked, 0) == blocked
    assert cache.keep_customer(ANA, 0) == blocked
    assert (pen(cache), lookups(cache).customer) == (newer, blocked)


def test_what_an_event_told_of_is_asked_for_anew_and_laid_over_an_older_answer(cache: ReferenceCache) -> None:
    cache.keep_products([PEN], 0)
    cache.keep_customer(ANA, 0)
    cache.change(of_pen(5, unit_price=Money(150, "EUR")))
    cache.change(of_pen(6, name="Best pen"))
    cache.change(of_ana(5, addresses=(HOME,)))
    assert lookups(cache) == Lookups(number=1)
    newer = replace(PEN, unit_price=150, name="Best pen", version=6)
    assert cache.keep_products([PEN], 0) == (newer,)
    assert pen(cache) == newer
    assert cache.keep_customer(ANA, 0) == replace(ANA, addresses=(HOME,), version=5)


def test_a_price_in_one_currency_drops_the_others(cache: ReferenceCache) -> None:
    dollars = replace(PEN, currency="USD", unit_price=110)
    cache.change(of_pen(4, unit_price=Money(120, "EUR"), tax_rate="0.1000"))
    # The answer stands, for there is none better; the flush that it leads to sees that it is old.
    assert cache.keep_products([PEN, dollars], 0) == (
        replace(PEN, unit_price=120, tax_rate="0.1000", version=4),
        dollars,
    )
    assert pen(cache, "USD") is None
    assert pen(cache, "EUR") is not None


def test_facts_that_come_late_change_nothing(cache: ReferenceCache) -> None:
    cache.change(of_pen(6, unit_price=Money(160, "EUR")))
    cache.change(of_pen(5, unit_price=Money(150, "EUR"), name="Better pen"))
    cache.change(of_ana(6, status="blocked"))
    cache.change(of_ana(5, status="active"))
    assert cache.keep_products([PEN], 0) == (replace(PEN, unit_price=160, name="Better pen", version=6),)
    assert cache.keep_customer(ANA, 0).status == "blocked"


def test_an_answer_newer_than_a_fact_has_the_last_word_on_it(cache: ReferenceCache) -> None:
    cache.change(of_pen(5, unit_price=Money(150, "EUR")))
    cache.change(of_pen(8, name="Best pen"))
    answered = replace(PEN, unit_price=170, version=7)
    assert cache.keep_products([answered], 0) == (replace(answered, name="Best pen", version=8),)
    assert cache.keep_products([replace(PEN, version=8)], 0) == (replace(PEN, version=8),)


def test_the_facts_that_were_told_first_are_forgotten_when_there_is_no_room(cache: ReferenceCache) -> None:
    for sku in ("pen", "a", "b", "c"):
        changed = ReferenceVersion(ReferenceKind.PRODUCT, sku, 9)
        cache.change(ReferenceChanged(changed=changed, unit_price=Money(1, "EUR")))
    assert cache.keep_products([PEN], 0) == (PEN,)
