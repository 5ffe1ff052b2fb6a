"""ProductSvc: products, prices and the stock held for orders, as contracts/partners.yaml says.

State and rules only: no network and no clock of its own. Every change is handed to ``keep`` before its answer is given.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from local.sandbox import catalog
from local.sandbox.changes import Changes
from local.sandbox.records import HoldRecord, ProductRecord
from local.sandbox.responses import (
    UNREADABLE,
    EmulatedResponse,
    conflict,
    exact_instant,
    instant,
    invalid,
    not_found,
    ok,
)

SKUS_A_REQUEST_MAX: Final = 200
TAKING: Final = frozenset(("held", "committed"))


class _Line(msgspec.Struct):
    sku: str
    quantity: Annotated[int, msgspec.Meta(ge=1)]


class _HoldBody(msgspec.Struct):
    revision: Annotated[int, msgspec.Meta(ge=1)]
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)]
    lines: list[_Line]


class _CommitBody(msgspec.Struct):
    revision: int


_HOLD_BODY: Final = msgspec.json.Decoder(_HoldBody)
_COMMIT_BODY: Final = msgspec.json.Decoder(_CommitBody)


class Stock:
    """All products and holds. ``now_ms``: milliseconds since 1970; ``keep`` stores a changed record.

    A product's ``version`` grows with every change of it, holds included, since they change what is available.
    """

    def __init__(self, now_ms: Callable[[], int], keep: Callable[[ProductRecord | HoldRecord], None]) -> None:
        self._now_ms = now_ms
        self._keep = keep
        self._products = {product.sku: product for product in catalog.products()}
        self._holds: dict[str, HoldRecord] = {}
        self._changes = Changes()
        self._held: dict[str, int] = {}
        self._committed: dict[str, int] = {}
        self._ends: list[tuple[int, str, int]] = []

    # The contract.

    def products(self, skus: Iterable[str], currency: str) -> EmulatedResponse:
        """GET /products; a product without a price in ``currency`` is absent like an unknown one."""
        wanted = list(skus)
        if not currency or not wanted or len(wanted) > SKUS_A_REQUEST_MAX:
            return invalid(f"a currency and 1 to {SKUS_A_REQUEST_MAX} skus are wanted")
        self._expire_due()
        found = (self.product(sku) for sku in dict.fromkeys(wanted))
        return ok({"products": [self._shown(one, currency) for one in found if one and currency in one.prices]})

    def put(self, order_id: str, body: bytes, *, refuse: bool = False) -> EmulatedResponse:
        """PUT /holds/{order_id}. ``refuse``: as if nothing were left of anything."""
        try:
            asked = _HOLD_BODY.decode(body)
        except UNREADABLE as error:
            return invalid(str(error))
        self._expire_due()
        lines: dict[str, int] = {}
        for line in asked.lines:
            lines[line.sku] = lines.get(line.sku, 0) + line.quantity
        ends_ms = int(asked.expires_at.timestamp() * 1000)
        hold = self._holds.get(order_id) or HoldRecord(order_id)
        if hold.state == "released":
            return conflict("hold_released", "given back for good")
        if asked.revision < hold.asked_revision:
            return conflict("stale_revision", f"revision {hold.asked_revision} was asked for already")
        if asked.revision == hold.asked_revision:
            return self._repeated(hold, lines, ends_ms)
        if hold.state == "committed":
            return conflict("already_committed", f"revision {hold.revision} is committed")
        return self._hold(hold, asked.revision, lines, ends_ms, refuse=refuse)

    def get(self, order_id: str) -> EmulatedResponse:
        """GET /holds/{order_id}."""
        self._expire_due()
        hold = self._holds.get(order_id)
        return not_found("hold") if hold is None or hold.state == "none" else ok(_shown_hold(hold))

    def list_holds(self, query: str) -> EmulatedResponse:
        """GET /holds; what was only refused is no hold."""
        self._expire_due()

        def show(changed_at_us: int, order_id: str) -> dict[str, Any] | None:
            hold = self._holds[order_id]
            return _shown_hold(hold) if hold.changed_at_us == changed_at_us and hold.state != "none" else None

        return self._changes.page(query, show)

    def delete(self, order_id: str) -> EmulatedResponse:
        """DELETE /holds/{order_id}: also remembered for an order that never held."""
        self._expire_due()
        hold = self._holds.get(order_id) or HoldRecord(order_id)
        if hold.state != "released":
            self._become(msgspec.structs.replace(hold, state="released"))
        return ok(_shown_hold(self._holds[order_id]))

    def commit(self, order_id: str, body: bytes) -> EmulatedResponse:
        """POST /holds/{order_id}/commit."""
        try:
            revision = _COMMIT_BODY.decode(body).revision
        except UNREADABLE as error:
            return invalid(str(error))
        self._expire_due()
        hold = self._holds.get(order_id)
        if hold is None or hold.state == "none":
            return not_found("hold")
        if hold.state == "released":
            return conflict("hold_released", "given back for good")
        if revision != hold.revision:
            return conflict("stale_revision", f"revision {hold.revision} is what was held")
        if hold.state == "expired":
            return conflict("hold_expired", "no longer held")
        if hold.state == "held":
            self._become(msgspec.structs.replace(hold, state="committed"))
        return ok(_shown_hold(self._holds[order_id]))

    # What can be done to it from outside.

    def expire(self, order_id: str) -> tuple[str, ...]:
        """End a hold now, as if its time were over; gives its skus, none when nothing was held."""
        hold = self._holds.get(order_id)
        if hold is None or hold.state != "held":
            return ()
        self._become(msgspec.structs.replace(hold, state="expired"))
        return tuple(hold.lines)

    def change(self, sku: str, changes: Mapping[str, Any]) -> ProductRecord:
        """Change or add a product: any fields of its record but ``sku`` and ``version``; its version grows.

        ``prices`` are added to those it has, or replace them currency by currency.
        Raises ``msgspec.ValidationError`` when they are not of the record's types.
        """
        known = self.product(sku) or ProductRecord(sku, sku, {"EUR": 1000}, "0.2100", 0, version=0)
        prices = known.prices | dict(changes.get("prices") or {})
        fields = msgspec.to_builtins(known) | dict(changes)
        fields |= {"sku": sku, "version": known.version + 1, "prices": prices}
        product = msgspec.convert(fields, ProductRecord)
        self._keep(product)
        self._products[sku] = product
        return product

    def asked_skus(self, body: bytes) -> tuple[str, ...]:
        """Which skus the body of a PUT names; none when it can't be read."""
        try:
            return tuple(line.sku for line in _HOLD_BODY.decode(body).lines)
        except UNREADABLE:
            return ()

    def product(self, sku: str) -> ProductRecord | None:
        """The product's record, not to be changed."""
        return self._products.get(sku) or catalog.load_product(sku)

    def not_for_sale(self, query: Mapping[str, Sequence[str]]) -> list[str]:
        """Which of the skus that a query names can't be sold for its currency."""
        currency = next(iter(query.get("currency", ())), "")
        asked = {sku: self.product(sku) for sku in query.get("sku", ())}
        return [sku for sku, one in asked.items() if one is None or not one.sellable or currency not in one.prices]

    def available(self, sku: str) -> int:
        """How many could be held now."""
        product = self.product(sku)
        if product is None or not product.sellable:
            return 0
        return product.stock - self._held.get(sku, 0) - self._committed.get(sku, 0)

    # What is known, for the journal and for those who check the laws.

    def restore(self, record: ProductRecord | HoldRecord) -> None:
        """Take back in what was kept; records come in the order in which they were kept."""
        if isinstance(record, ProductRecord):
            self._products[record.sku] = record
        else:
            record.changed_at_us = record.changed_at_us or self._changes.next_us(self._now_ms())
            self._exchange(record)

    def records(self) -> Iterator[ProductRecord | HoldRecord]:
        """Everything there is to keep: products first, since holds change their versions."""
        yield from self._products.values()
        yield from self._holds.values()

    def totals(self) -> dict[str, dict[str, int]]:
        """``available``, ``held`` and ``committed`` of each sku, which add up to its ``stock``."""
        self._expire_due()
        return {
            sku: {
                "stock": product.stock,
                "available": product.stock - self._held.get(sku, 0) - self._committed.get(sku, 0),
                "held": self._held.get(sku, 0),
                "committed": self._committed.get(sku, 0),
            }
            for sku, product in self._products.items()
        }

    def holds(self, order_id: str | None) -> list[dict[str, Any]]:
        """The holds of all orders, or of one, with their lines."""
        self._expire_due()
        chosen = self._holds.values() if order_id is None else filter(None, [self._holds.get(order_id)])
        return [_shown_hold(hold) | {"lines": hold.lines} for hold in chosen]

    # Inside.

    def _shown(self, product: ProductRecord, currency: str) -> dict[str, Any]:
        return {
            "sku": product.sku,
            "name": product.name,
            "unit_price": {"amount": product.prices[currency], "currency": currency},
            "tax_rate": product.tax_rate,
            "available": max(self.available(product.sku), 0),
            "sellable": product.sellable,
            "version": product.version,
        }

    def _repeated(self, hold: HoldRecord, lines: dict[str, int], ends_ms: int) -> EmulatedResponse:
        """Answer a revision that was asked for before as it was answered then, or as it has become."""
        if (lines, ends_ms) != (hold.asked_lines, hold.asked_expires_at_ms):
            if hold.state == "committed":
                return conflict("already_committed", f"revision {hold.revision} is committed")
            return conflict("conflict", "this revision was asked for with other content")
        return ok(_shown_hold(hold)) if hold.shortages is None else _out_of_stock(hold.shortages)

    def _hold(
        self, before: HoldRecord, revision: int, lines: dict[str, int], ends_ms: int, *, refuse: bool
    ) -> EmulatedResponse:
        """All lines or none; what the order held before counts as free for it, and stays where the new is refused."""
        own = before.lines if before.state == "held" else {}
        shortages = {
            sku: max(free, 0)
            for sku, quantity in lines.items()
            if (free := 0 if refuse else self.available(sku) + own.get(sku, 0)) < quantity
        }
        asked = msgspec.structs.replace(
            before, asked_revision=revision, asked_lines=lines, asked_expires_at_ms=ends_ms, shortages=shortages or None
        )
        if shortages:
            self._become(asked)
            return _out_of_stock(shortages)
        held = msgspec.structs.replace(asked, state="held", revision=revision, lines=lines, expires_at_ms=ends_ms)
        self._become(held)
        self._expire_due()
        return ok(_shown_hold(self._holds[held.order_id]))

    def _become(self, hold: HoldRecord) -> None:
        before = self._holds.get(hold.order_id)
        if before is None or _content(before) != _content(hold):
            hold.changed_at_us = self._changes.next_us(self._now_ms())
        self._keep(hold)
        self._exchange(hold)

    def _exchange(self, hold: HoldRecord) -> None:
        """Put ``hold`` in the place of what the order had, and count the stock anew."""
        before = self._holds.get(hold.order_id)
        if before is not None:
            self._count(before, -1)
        self._holds[hold.order_id] = hold
        self._changes.note(hold.changed_at_us, hold.order_id)
        self._count(hold, +1)
        if hold.state == "held":
            heapq.heappush(self._ends, (hold.expires_at_ms, hold.order_id, hold.revision))

    def _count(self, hold: HoldRecord, sign: int) -> None:
        if hold.state not in TAKING:
            return
        counts = self._held if hold.state == "held" else self._committed
        for sku, quantity in hold.lines.items():
            counts[sku] = counts.get(sku, 0) + sign * quantity
            product = self.product(sku)
            if product is not None:
                product.version += 1
                self._products[sku] = product

    def _expire_due(self) -> None:
        now_ms = self._now_ms()
        while self._ends and self._ends[0][0] <= now_ms:
            _, order_id, revision = heapq.heappop(self._ends)
            hold = self._holds[order_id]
            if hold.state == "held" and hold.revision == revision and hold.expires_at_ms <= now_ms:
                self._become(msgspec.structs.replace(hold, state="expired"))


def _content(hold: HoldRecord) -> tuple[object, ...]:
    return hold.state, hold.revision, hold.expires_at_ms, hold.lines


def _shown_hold(hold: HoldRecord) -> dict[str, Any]:
    shown: dict[str, Any] = {"order_id": hold.order_id, "revision": hold.revision, "state": hold.state}
    if hold.expires_at_ms:
        shown["expires_at"] = instant(hold.expires_at_ms)
    shown["updated_at"] = exact_instant(hold.changed_at_us)
    return shown


def _out_of_stock(shortages: dict[str, int]) -> EmulatedResponse:
    rows = [{"sku": sku, "available": available} for sku, available in shortages.items()]
    return conflict("out_of_stock", "not everything is there", shortages=rows)
