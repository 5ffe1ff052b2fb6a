"""The products and customers that a shard validates orders with: copies in its memory, bounded in number and age.

What events announced is laid over older answers. A copy saves a call, and nothing depends on it: stock is promised by the hold alone,
and the flush that validates an order refuses what is older than an event announced.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from domain.commands import (
    AddItem,
    ApplyDiscount,
    ChangeQuantity,
    CreateOrder,
    Lookups,
    Message,
    RemoveDiscount,
    RemoveItem,
)
from domain.order import Customer, Order, Product
from domain.reference_data import ReferenceKind
from messaging.consuming.consumed_events import ReferenceChanged

FACTS = tuple(field.name for field in fields(ReferenceChanged) if field.name != "changed")
V = TypeVar("V", Product, Customer)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """``max_entries``: so many products and so many customers at most, each of which may be used for so many seconds."""

    product_max_age_s: float = 30.0
    customer_max_age_s: float = 30.0
    max_entries: int = 20_000


class _Copies(Generic[V]):
    """A bounded map of values with variants (a product's are its currencies), each of which may be used for ``max_age_s``."""

    def __init__(self, max_entries: int, max_age_s: float, monotonic: Callable[[], float]) -> None:
        self._entries: OrderedDict[str, dict[str, tuple[float, V]]] = OrderedDict()
        self._facts: OrderedDict[str, dict[str, tuple[int, Any]]] = OrderedDict()
        self._max_entries = max_entries
        self._max_age_s = max_age_s
        self._monotonic = monotonic

    def get(self, key: str, variant: str = "") -> V | None:
        """Give a copy that may be used, or None."""
        learnt_s, value = self._entries.get(key, {}).get(variant, (0.0, None))
        return value if self._monotonic() - learnt_s <= self._max_age_s else None

    def keep(self, key: str, value: V, age_s: float, variant: str = "") -> V:
        """Keep what was answered ``age_s`` seconds ago, and give it as it is by now.

        A copy of a higher version stays. Where only a price in another currency is newer, the answer is given and not kept.
        """
        value, is_by_now = self._by_now(key, value, variant)
        known = self.get(key, variant)
        if known is not None and known.version > value.version:
            return known
        if is_by_now:
            self._entries.setdefault(key, {})[variant] = (self._monotonic() - age_s, value)
            _bound(self._entries, key, self._max_entries)
        return value

    def change(self, change: ReferenceChanged) -> None:
        """Remember each fact of an event with its version, and drop the copies; older facts change nothing."""
        key, version = change.changed.key, change.changed.version
        facts = self._facts.setdefault(key, {})
        for name in FACTS:
            fact = getattr(change, name)
            if fact is not None and version > facts.get(name, (-1, None))[0]:
                facts[name] = (version, fact)
        _bound(self._facts, key, self._max_entries)
        self.drop(key)

    def drop(self, key: str) -> None:
        """Forget the copies."""
        self._entries.pop(key, None)

    def _by_now(self, key: str, value: V, variant: str) -> tuple[V, bool]:
        """The value with the facts that are newer, and False where its price is known to be old and the new one is not."""
        newer = {name: facts for name, facts in self._facts.get(key, {}).items() if facts[0] > value.version}
        if not newer:
            return value, True
        facts = {name: fact for name, (_, fact) in newer.items()}
        price = facts.pop("unit_price", None)
        if price is not None:
            if price.currency != variant:
                return value, False
            facts["unit_price"] = price.amount
        return replace(value, **facts, version=max(version for version, _ in newer.values())), True


def _bound(entries: OrderedDict[str, Any], key: str, max_entries: int) -> None:
    """Make ``key`` the newest entry, and forget the oldest where there are too many."""
    entries.move_to_end(key)
    if len(entries) > max_entries:
        entries.popitem(last=False)


class ReferenceCache:
    """What a shard knows of products (by sku and currency) and customers."""

    def __init__(self, policy: CachePolicy, monotonic: Callable[[], float]) -> None:
        self._products: _Copies[Product] = _Copies(policy.max_entries, policy.product_max_age_s, monotonic)
        self._customers: _Copies[Customer] = _Copies(policy.max_entries, policy.customer_max_age_s, monotonic)

    def keep_products(self, products: Iterable[Product], age_s: float) -> tuple[Product, ...]:
        """Keep what ProductSvc answered ``age_s`` seconds ago, and give it with what events announced since."""
        return tuple(self._products.keep(each.sku, each, age_s, each.currency) for each in products)

    def keep_customer(self, customer: Customer, age_s: float) -> Customer:
        """Keep what UserSvc answered ``age_s`` seconds ago, and give it with what events announced since."""
        return self._customers.keep(customer.customer_id, customer, age_s)

    def change(self, change: ReferenceChanged) -> None:
        """An event announced a change of a product or a customer."""
        self._of(change.changed.kind).change(change)

    def invalidate(self, kind: ReferenceKind, key: str) -> None:
        """Drop the copies of a product or a customer that has changed in ways that are not known here."""
        self._of(kind).drop(key)

    def _of(self, kind: ReferenceKind) -> _Copies[Product] | _Copies[Customer]:
        return self._products if kind is ReferenceKind.PRODUCT else self._customers

    def lookups(self, order: Order | None, message: Message, number: int) -> Lookups:
        """Add to what is known with ``message`` what deciding it may need; products only if every one of them is there."""
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
        return replace(message.lookups, products=products, customer=customer, number=number)

    def _all(self, skus: Iterable[str], currency: str) -> tuple[Product, ...] | None:
        found: dict[str, Product] = {}
        for sku in skus:
            if sku in found:
                continue
            product = self._products.get(sku, currency)
            if product is None:
                return None
            found[sku] = product
        return tuple(found.values())
