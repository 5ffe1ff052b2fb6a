"""Copies of products and customers that a shard validates orders with: bounded, young, and never older than an event told of.

A copy changes latency only. Stock is promised by the hold alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

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

    def put(self, key: K, value: V) -> None:
        self._entries[key] = (self._monotonic(), value)
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
        self._told: _Copies[str, int] = _Copies(max_entries, max(product_max_age_s, customer_max_age_s) * 4, monotonic)

    def learn(self, products: Iterable[Product] = (), customer: Customer | None = None) -> None:
        """Keep what a partner has just answered, unless an event told of something newer."""
        for product in products:
            if product.version >= (self._told.get(f"product:{product.sku}") or 0):
                self._products.put((product.sku, product.currency), product)
        if customer is not None and customer.version >= (self._told.get(f"customer:{customer.customer_id}") or 0):
            self._customers.put(customer.customer_id, customer)

    def product_changed(self, sku: str, version: int, currencies: Iterable[str]) -> None:
        """An event told of ``version``: copies of the sku that are older are forgotten."""
        self._told.put(f"product:{sku}", max(version, self._told.get(f"product:{sku}") or 0))
        for currency in currencies:
            copy = self._products.get((sku, currency))
            if copy is not None and copy.version < version:
                self._products.drop((sku, currency))

    def customer_changed(self, customer_id: str, version: int) -> None:
        """An event told of ``version``: an older copy of the customer is forgotten."""
        self._told.put(f"customer:{customer_id}", max(version, self._told.get(f"customer:{customer_id}") or 0))
        copy = self._customers.get(customer_id)
        if copy is not None and copy.version < version:
            self._customers.drop(customer_id)

    def known(self, order: Order | None, message: Message, promotions: tuple[Promotion, ...], number: int) -> Known:
        """Gather what deciding ``message`` may need; products and customer only if every one of them is known."""
        body = message.body
        products: tuple[Product, ...] | None = None
        customer: Customer | None = None
        match body:
            case CreateOrder():
                products = self._all((line.sku for line in body.lines), body.currency)
                customer = self._customers.get(body.customer_id)
            case AddItem() if order is not None:
                products = self._all((*(line.sku for line in order.lines), body.sku), order.currency)
                customer = self._customers.get(order.customer_id)
            case ChangeQuantity() | RemoveItem() | ApplyDiscount() | RemoveDiscount() if order is not None:
                products = self._all((line.sku for line in order.lines), order.currency)
                customer = self._customers.get(order.customer_id)
        return Known(products=products, customer=customer, promotions=promotions, number=number)

    def _all(self, skus: Iterable[str], currency: str) -> tuple[Product, ...] | None:
        found: dict[str, Product] = {}
        for sku in skus:
            if sku in found:
                continue
            product = self._products.get((sku, currency))
            if product is None:
                return None
            found[sku] = product
        return tuple(found.values())
