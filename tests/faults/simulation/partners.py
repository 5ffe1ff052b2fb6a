"""ProductSvc, PaymentSvc and UserSvc: the sandbox's own books and rules; they refuse, keep silent, and say things twice or late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec
from yarl import URL

from local.sandbox.customers import Customers
from local.sandbox.payments import Payments, Plan, read_charge, read_refund
from local.sandbox.records import RefundRecord
from local.sandbox.responses import EmulatedResponse, conflict, problem
from local.sandbox.stock import Stock

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

UNDECIDED_MS = (300.0, 20_000.0)
EVENT_MS = (1.0, 300.0)
LATE_EVENT_MS = (1000.0, 30_000.0)
SKUS = ("sku-coffee", "sku-tea", "sku-gift", "sku-few", "sku-last-unit")


class PartnersDouble:
    """The three services as one place: a request comes in, is done, and is answered. Events go to ``hear``."""

    def __init__(self, world: World, hear: Callable[[bytes], None]) -> None:
        self._world = world
        self._hear = hear
        self._event_ids = count(1)
        self.stock = Stock(self.now_ms, lambda _: None)
        self.payments = Payments(self.now_ms, lambda _: None)
        self.customers = Customers(lambda _: None)
        self._refused: dict[str, bool] = {}
        self._undecided_for_ever: set[str] = set()

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return int(self._world.now().timestamp() * 1000)

    def serve(self, method: str, url: URL, body: bytes | None) -> EmulatedResponse:
        """Do a request, now and once."""
        path = url.raw_path.split("/")[1:]
        self._world.note("partner", method, url.raw_path)
        match (method, path):
            case ("GET", ["products"]):
                query = parse_qs(url.raw_query_string)
                return self.stock.products(query["sku"], query["currency"][0])
            case ("PUT", ["holds", order_id]):
                return self.stock.put(order_id, body or b"")
            case ("DELETE", ["holds", order_id]):
                return self.stock.delete(order_id)
            case ("POST", ["holds", order_id, "commit"]):
                return self.stock.commit(order_id, body or b"")
            case ("GET", ["holds", order_id]):
                return self.stock.get(order_id)
            case ("GET", ["customers", customer_id]):
                return self.customers.get(customer_id)
            case ("POST", ["payments"]):
                return self._charge(body or b"")
            case ("GET", ["payments", payment_id]):
                return self.payments.get(payment_id)
            case ("POST", ["refunds"]):
                return self._refund(body or b"")
            case ("GET", ["refunds", refund_id]):
                return self.payments.get_refund(refund_id)
        raise AssertionError(f"nobody serves {method} {url}")

    def lose_hold(self, order_id: str) -> None:
        """Stock was counted, and what was held for an order is not there."""
        for sku in self.stock.expire(order_id):
            self._changed(sku, lost_holds=[order_id])

    def change_price(self, sku: str, price: int) -> None:
        """A product has another price from now on."""
        self.stock.change(sku, {"prices": {"EUR": price}})
        self._changed(sku, unit_price={"amount": price, "currency": "EUR"})

    def change_customer(self, customer_id: str, name: str) -> None:
        """A customer has another name from now on."""
        customer = self.customers.change(customer_id, {"name": name})
        self._say(
            "usersvc", "ClienteActualizado", {"customer_id": customer_id, "version": customer.version, "name": name}
        )

    def settle_all(self) -> None:
        """Every payment and refund that is undecided comes to its end, but for those that never do."""
        for record in list(self.payments.records()):
            if record.status != "processing":
                continue
            if isinstance(record, RefundRecord):
                if record.refund_id not in self._undecided_for_ever:
                    self.payments.settle_refund(record.refund_id)
            elif record.payment_id not in self._undecided_for_ever:
                self._settle(record.payment_id, "confirmed")

    def decide_silently(self, payment_id: str, word: str) -> str:
        """Somebody at PaymentSvc decides about a payment that is undecided, and tells staff by telephone only: what it is now."""
        self.payments.settle(payment_id, "confirmed" if word == "confirmed" else "rejected")
        payment = self.payments.payment(payment_id)
        return "rejected" if payment is None else payment.status

    def _is_refused(self, name: str, chance: float) -> bool:
        """Whether this charge or refund is refused with a 4xx: always, or never."""
        if name not in self._refused:
            self._refused[name] = self._world.chaos.strikes(chance)
        return self._refused[name]

    def _charge(self, body: bytes) -> EmulatedResponse:
        chaos, chances = self._world.chaos, self._world.chaos.chances
        asked = read_charge(body)
        assert not isinstance(asked, EmulatedResponse), asked
        is_new = self.payments.payment(asked.payment_id) is None
        if is_new and self._is_refused(asked.payment_id, chances.charge_refused):
            return problem(422, "invalid_request", "no such token")
        if not is_new and chaos.strikes(chances.repeat_refused):
            return conflict("conflict", "this id was used before")
        undecided = chaos.strikes(chances.partner_undecided)
        answer = self.payments.charge(
            asked,
            Plan(
                is_accepted=not chaos.strikes(chances.charge_rejected),
                amount_delta=7 if chaos.strikes(chances.charge_mismatched) else 0,
                after_ms=-1 if undecided else None,
            ),
        )
        if is_new and undecided and chaos.strikes(chances.undecided_for_ever):
            self._undecided_for_ever.add(asked.payment_id)
        elif is_new and undecided:
            word = "rejected" if chaos.strikes(chances.charge_rejected * 2) else "confirmed"
            self._world.later(chaos.among(UNDECIDED_MS), self._settle, asked.payment_id, word)
        elif is_new:
            self._tell(asked.payment_id)
        return answer

    def _refund(self, body: bytes) -> EmulatedResponse:
        chaos, chances = self._world.chaos, self._world.chaos.chances
        asked = read_refund(body)
        assert not isinstance(asked, EmulatedResponse), asked
        is_new = self.payments.refund(asked.refund_id) is None
        if is_new and self._is_refused(asked.refund_id, chances.refund_refused):
            return conflict("exceeds_captured", "nothing is left of this payment, says the ledger")
        if not is_new and chaos.strikes(chances.repeat_refused):
            return conflict("exceeds_captured", "nothing is left of this payment")
        undecided = chaos.strikes(chances.partner_undecided)
        plan = Plan(is_accepted=not chaos.strikes(chances.refund_rejected), after_ms=-1 if undecided else None)
        answer = self.payments.give_back(asked, plan)
        if is_new and undecided and chaos.strikes(chances.undecided_for_ever):
            self._undecided_for_ever.add(asked.refund_id)
        elif is_new and undecided:
            self._world.later(chaos.among(UNDECIDED_MS), self.payments.settle_refund, asked.refund_id)
        return answer

    def _settle(self, payment_id: str, word: Any) -> None:
        if self.payments.settle(payment_id, word):
            self._world.note("settled", payment_id, word)
            self._tell(payment_id)

    def _tell(self, payment_id: str) -> None:
        """PaymentSvc says by an event what became of a payment, unless it keeps silent."""
        payment = self.payments.payment(payment_id)
        if payment is None or payment.status == "processing":
            return
        chaos = self._world.chaos
        if chaos.strikes(chaos.chances.event_lost):
            return
        data: dict[str, Any] = {"payment_id": payment_id, "order_id": payment.order_id}
        if payment.status == "confirmed":
            data["amount"] = {"amount": payment.amount, "currency": payment.currency}
            self._say("paymentsvc", "PagoConfirmado", data)
        else:
            self._say("paymentsvc", "PagoRechazado", data | {"code": payment.code or "declined"})

    def _changed(self, sku: str, **more: object) -> None:
        product = self.stock.product(sku)
        assert product is not None
        data = {"sku": sku, "available": self.stock.available(sku), "version": product.version, **more}
        self._say("productsvc", "InventarioActualizado", data)

    def _say(self, source: str, kind: str, data: dict[str, Any]) -> None:
        """Publish an event, perhaps late, perhaps more than once."""
        chaos = self._world.chaos
        envelope = {
            "specversion": "1.0",
            "id": f"e-{next(self._event_ids)}",
            "source": source,
            "type": kind,
            "time": datetime.fromtimestamp(self.now_ms() / 1000, UTC).isoformat(),
            "data": data,
        }
        body = msgspec.json.encode(envelope)
        copies = 2 if chaos.strikes(chaos.chances.event_repeated) else 1
        self._world.laws.words.announced(kind, data)
        for _ in range(copies):
            is_late = chaos.strikes(chaos.chances.event_late)
            self._world.later(chaos.among(LATE_EVENT_MS if is_late else EVENT_MS), self._hear, body)
