"""Copies of products and customers that a shard validates orders with: bounded, young, and never older than an event told of.

A copy changes latency only. Stock is promised by the hold alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from actors.news import Told, renewed_customer, renewed_product, told
from domain.commands import (
    AddItem,
    ApplyDiscount,
    ChangeQuantity,
    CreateOrder,
    Known,
    Message,
    RemoveDiscount,
    RemoveItem,
)
from domain.order import Customer, Order, Product
from domain.promotions import Promotion
from messaging.inbound import CustomerChanged, ProductChanged

K = TypeVar("K")
V = TypeVar("V")


class _Copies(Generic[K, V]):
    """A bounded map whose entries grow old after ``max_age_s``."""

    def __init__(self, max_entries: int, max_age_s: float, monotonic: Callable[[], float]) -> None:
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._max_entries = max_entries
        self._max_age_s = max_age_s
        self._monotonic = monotonic

    def get(self, key: K) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._monotonic() - entry[0] > self._max_age_s:
            del self._entries[key]
            return None
        return entry[1]

    def put(self, key: K, value: V, age_s: float = 0.0) -> None:
        self._entries[key] = (self._monotonic() - age_s, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def drop(self, key: K) -> None:
        self._entries.pop(key, None)


class Catalogue:
    """What this shard knows of products (by sku and currency) and customers."""

    def __init__(
        self,
        *,
        product_max_age_s: float,
        customer_max_age_s: float,
        max_entries: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._products: _Copies[tuple[str, str], Product] = _Copies(max_entries, product_max_age_s, monotonic)
        self._customers: _Copies[str, Customer] = _Copies(max_entries, customer_max_age_s, monotonic)
        self._told_of_products: _Copies[str, Told] = _Copies(max_entries, product_max_age_s * 4, monotonic)
        self._told_of_customers: _Copies[str, Told] = _Copies(max_entries, customer_max_age_s * 4, monotonic)

    def learn_products(self, products: Iterable[Product], age_s: float = 0.0) -> tuple[Product, ...]:
        """Keep what ProductSvc answered ``age_s`` ago, and give it as it is by now: events may have told of something newer.

        Where only a price in another currency is newer, the answer stands, but no copy is made of it.
        """
        by_now = []
        for product in products:
            copy = self._products.get((product.sku, product.currency))
            if copy is None or copy.version <= product.version:
                self._products.put((product.sku, product.currency), product, age_s)
            by_now.append(self._product(product.sku, product.currency) or product)
        return tuple(by_now)

    def learn_customer(self, customer: Customer, age_s: float = 0.0) -> Customer:
        """Keep what UserSvc answered ``age_s`` ago, and give it as it is by now."""
        copy = self._customers.get(customer.customer_id)
        if copy is None or copy.version <= customer.version:
            self._customers.put(customer.customer_id, customer, age_s)
        return self._customer(customer.customer_id) or customer

    def product_changed(self, news: ProductChanged) -> None:
        """An event told of a product: it is laid over whatever is older."""
        self._told_of_products.put(news.sku, told(self._told_of_products.get(news.sku), news))

    def customer_changed(self, news: CustomerChanged) -> None:
        """An event told of a customer: it is laid over whatever is older."""
        self._told_of_customers.put(news.customer_id, told(self._told_of_customers.get(news.customer_id), news))

    def known(self, order: Order | None, message: Message, promotions: tuple[Promotion, ...], number: int) -> Known:
        """Gather what deciding ``message`` may need; products and customer only if every one of them is known."""
        body = message.body
        products: tuple[Product, ...] | None = None
        customer: Customer | None = None
        match body:
            case CreateOrder():
                products = self._all((line.sku for line in body.lines), body.currency)
                customer = self._customer(body.customer_id)
            case AddItem() if order is not None:
                products = self._all((*(line.sku for line in order.lines), body.sku), order.currency)
                customer = self._customer(order.customer_id)
            case ChangeQuantity() | RemoveItem() | ApplyDiscount() | RemoveDiscount() if order is not None:
                products = self._all((line.sku for line in order.lines), order.currency)
                customer = self._customer(order.customer_id)
        return Known(products=products, customer=customer, promotions=promotions, number=number)

    def _all(self, skus: Iterable[str], currency: str) -> tuple[Product, ...] | None:
        found: dict[str, Product] = {}
        for sku in skus:
            if sku in found:
                continue
            product = self._product(sku, currency)
            if product is None:
                return None
            found[sku] = product
        return tuple(found.values())

    def _product(self, sku: str, currency: str) -> Product | None:
        copy = self._products.get((sku, currency))
        news = self._told_of_products.get(sku)
        if copy is None or news is None:
            return copy
        by_now = renewed_product(copy, news)
        if by_now is None:
            self._products.drop((sku, currency))
        return by_now

    def _customer(self, customer_id: str) -> Customer | None:
        copy = self._customers.get(customer_id)
        news = self._told_of_customers.get(customer_id)
        return copy if copy is None or news is None else renewed_customer(copy, news)
