"""``/sandbox``: what steers the sandbox and looks into it. Not a part of any partner's contract.

| method, path | does |
|---|---|
| GET `/sandbox/health` | `{"status": "ok"}` |
| GET, PUT, POST, DELETE `/sandbox/knobs` | list; replace (`{"knobs": [...]}`), add one, remove all |
| GET `/sandbox/ledger` | charges, refunds, holds, refusals, stock, sums; `?order_id=` for one order, `?totals=1` for sums only |
| PUT `/sandbox/products/{sku}` | `{prices?, tax_rate?, name?, stock?, sellable?}`; publishes `InventarioActualizado` |
| PUT `/sandbox/customers/{id}` | `{name?, email?, status?, addresses?}`; publishes `ClienteActualizado` |
| POST `/sandbox/holds/{order_id}/expire` | the hold's time is over; nothing is published |
| POST `/sandbox/holds/{order_id}/lose` | the hold is lost; publishes `InventarioActualizado` with `lost_holds` |
| POST `/sandbox/payments/{id}/settle` | `{status: confirmed or rejected, code?, copies?}`; publishes its end |
| POST `/sandbox/payments/{id}/announce` | `{copies?}`; publishes its end once more |
| POST `/sandbox/refunds/{id}/settle` | it arrives; no event tells of refunds |
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, Literal
from urllib.parse import parse_qs, unquote

import msgspec

from local.sandbox.customers import shown
from local.sandbox.emulator import PartnerEmulator
from local.sandbox.injected_faults import InjectedFault
from local.sandbox.payments import shown as shown_payment
from local.sandbox.records import PaymentRecord, ProductRecord, RefundRecord
from local.sandbox.responses import UNREADABLE, EmulatedResponse, conflict, invalid, not_found, ok


class _FaultsBody(msgspec.Struct):
    knobs: list[InjectedFault]


class _SettleBody(msgspec.Struct):
    status: Literal["confirmed", "rejected"] = "confirmed"
    code: str | None = None
    copies: int = 1


_ANY: Final = msgspec.json.Decoder(dict[str, Any])
_FAULTS: Final = msgspec.json.Decoder(_FaultsBody)
_FAULT: Final = msgspec.json.Decoder(InjectedFault)
_SETTLE: Final = msgspec.json.Decoder(_SettleBody)


class Control:
    """The handlers below ``/sandbox`` for one emulator."""

    def __init__(self, emulator: PartnerEmulator) -> None:
        self._emulator = emulator

    def handle(self, method: str, parts: list[str], query: str, body: bytes) -> EmulatedResponse:
        """Answer one request; ``parts`` is its path after ``/sandbox``, not yet unquoted."""
        try:
            match method, [unquote(part) for part in parts]:
                case "GET", ["health"]:
                    return ok({"status": "ok"})
                case (("GET" | "PUT" | "POST" | "DELETE"), ["knobs"]):
                    return self._knobs(method, body)
                case "GET", ["ledger"]:
                    return self._ledger(parse_qs(query))
                case "PUT", ["products", sku]:
                    return self._change_product(sku, body)
                case "PUT", ["customers", customer_id]:
                    return self._change_customer(customer_id, body)
                case "POST", ["holds", order_id, ("expire" | "lose") as how]:
                    return self._end_hold(order_id, is_told=how == "lose")
                case "POST", ["payments", payment_id, ("settle" | "announce") as how]:
                    return self._tell_of_payment(payment_id, how, body)
                case "POST", ["refunds", refund_id, "settle"]:
                    if not self._emulator.payments.settle_refund(refund_id):
                        return conflict("not_now", "it is not known, or has ended before")
                    return self._emulator.payments.get_refund(refund_id)
        except (*UNREADABLE, ValueError) as error:
            return invalid(str(error))
        return not_found("resource")

    def _knobs(self, method: str, body: bytes) -> EmulatedResponse:
        faults = self._emulator.faults
        if method == "PUT":
            faults.replace(_FAULTS.decode(body).knobs)
        elif method == "POST":
            faults.add(_FAULT.decode(body))
        elif method == "DELETE":
            faults.replace([])
        return ok({"knobs": faults.all()})

    def _ledger(self, query: dict[str, list[str]]) -> EmulatedResponse:
        """Everything that a checker of laws needs; ``totals`` per currency, ``stock`` per sku."""
        emulator = self._emulator
        order_id = query["order_id"][0] if "order_id" in query else None
        charges: list[dict[str, Any]] = []
        refunds: list[dict[str, Any]] = []
        totals: dict[str, dict[str, int]] = {}
        orders: dict[str, str] = {}
        for record in emulator.payments.records():
            orders.setdefault(record.payment_id, getattr(record, "order_id", ""))
            _add(totals, record)
            if order_id in (None, orders[record.payment_id]):
                (charges if isinstance(record, PaymentRecord) else refunds).append(_entry(record))
        sums = {
            "totals": totals,
            "stock": emulator.stock.totals(),
            "requests": emulator.requests,
            "conflicts": emulator.payments.conflicts,
            "events": {
                "published": emulator.events.published,
                "waiting": emulator.events.waiting,
                "dropped": emulator.events.dropped,
            },
        }
        if "totals" in query:
            return ok(sums)
        holds = emulator.stock.holds(order_id)
        refusals = [each for each in emulator.refusals.values() if order_id in (None, each.order_id)]
        return ok({"charges": charges, "refunds": refunds, "holds": holds, "refusals": refusals} | sums)

    def _change_product(self, sku: str, body: bytes) -> EmulatedResponse:
        """Change a product and tell of it; of changed prices the first, since an event has room for one."""
        changes = _ANY.decode(body)
        product = self._emulator.stock.change(sku, changes)
        currency = next(iter(changes.get("prices") or ()), None)
        if currency is None:
            self._tell_of_product(product)
        else:
            self._tell_of_product(product, unit_price={"amount": product.prices[currency], "currency": currency})
        return ok(product)

    def _change_customer(self, customer_id: str, body: bytes) -> EmulatedResponse:
        customer = self._emulator.customers.change(customer_id, _ANY.decode(body))
        source = f"/usersvc/customers/{customer_id}"
        self._emulator.events.offer("usersvc", "ClienteActualizado", source, shown(customer))
        return ok(customer)

    def _end_hold(self, order_id: str, *, is_told: bool) -> EmulatedResponse:
        skus = self._emulator.stock.expire(order_id)
        if not skus:
            return conflict("not_held", "nothing is held for this order")
        product = self._emulator.stock.product(skus[0])
        if is_told and product is not None:
            self._tell_of_product(product, lost_holds=[order_id])
        return self._emulator.stock.get(order_id)

    def _tell_of_product(self, product: ProductRecord, **more: Any) -> None:
        data = {
            "sku": product.sku,
            "available": max(self._emulator.stock.available(product.sku), 0),
            "version": product.version,
            "tax_rate": product.tax_rate,
            "name": product.name,
        }
        self._emulator.events.offer(
            "productsvc", "InventarioActualizado", f"/productsvc/products/{product.sku}", data | more
        )

    def _tell_of_payment(self, payment_id: str, how: str, body: bytes) -> EmulatedResponse:
        wish = _SETTLE.decode(body or b"{}")
        if self._emulator.payments.payment(payment_id) is None:
            return not_found("payment")
        if how == "settle":
            is_done = self._emulator.settle(payment_id, wish.status, wish.code, wish.copies)
        else:
            is_done = self._emulator.announce(payment_id, wish.copies)
        if not is_done:
            return conflict("not_now", "it has ended before" if how == "settle" else "it has not ended yet")
        answer = self._emulator.payments.get(payment_id)
        return EmulatedResponse(HTTPStatus.OK, answer.body)


def _add(totals: dict[str, dict[str, int]], record: PaymentRecord | RefundRecord) -> None:
    of_currency = totals.setdefault(record.currency, {"charged": 0, "refunded": 0})
    if record.status == "confirmed":
        of_currency["charged"] += record.amount
    elif record.status == "refunded":
        of_currency["refunded"] += record.amount


def _entry(record: PaymentRecord | RefundRecord) -> dict[str, Any]:
    if isinstance(record, PaymentRecord):
        asked = record.asked
        return shown_payment(record) | {"at_ms": record.at_ms, "method": asked["method"], "asked": asked["amount"]}
    return msgspec.to_builtins(record)  # type: ignore[no-any-return]
