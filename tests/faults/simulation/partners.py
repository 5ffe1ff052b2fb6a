"""ProductSvc, PaymentSvc and UserSvc: the sandbox's own books and rules behind a network that loses, repeats and delays.

The clients of ``partners/`` run as they are, and ``PartnerHttp`` with them; its session is the one that is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import aiohttp
import msgspec
from yarl import URL

from local.sandbox.answers import Answer
from local.sandbox.customers import Customers
from local.sandbox.payments import Payments, Plan, read_charge, read_refund
from local.sandbox.records import RefundRecord
from local.sandbox.stock import Stock
from partners import http
from partners.http import PartnerHttp
from tests.faults.simulation.weather import NETWORK_MS, PARTNER_MS

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

SLOW_MS = (500.0, 6000.0)
LATE_MS = (100.0, 9000.0)
VERY_LATE_MS = (9000.0, 40_000.0)
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

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return int(self._world.now().timestamp() * 1000)

    def serve(self, method: str, url: URL, body: bytes | None) -> Answer:
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

    def settle_all(self) -> None:
        """Every payment and refund that is undecided comes to its end."""
        for record in list(self.payments.records()):
            if record.status == "processing":
                if isinstance(record, RefundRecord):
                    self.payments.settle_refund(record.refund_id)
                else:
                    self._settle(record.payment_id, "confirmed")

    def _charge(self, body: bytes) -> Answer:
        weather, chances = self._world.weather, self._world.weather.chances
        asked = read_charge(body)
        assert not isinstance(asked, Answer), asked
        is_new = self.payments.payment(asked.payment_id) is None
        undecided = weather.strikes(chances.partner_undecided)
        answer = self.payments.charge(
            asked,
            Plan(
                is_accepted=not weather.strikes(chances.charge_rejected),
                amount_delta=7 if weather.strikes(chances.charge_mismatched) else 0,
                after_ms=-1 if undecided else None,
            ),
        )
        if is_new and undecided:
            word = "rejected" if weather.strikes(chances.charge_rejected * 2) else "confirmed"
            self._world.later(weather.among(UNDECIDED_MS), self._settle, asked.payment_id, word)
        elif is_new:
            self._tell(asked.payment_id)
        return answer

    def _refund(self, body: bytes) -> Answer:
        weather, chances = self._world.weather, self._world.weather.chances
        asked = read_refund(body)
        assert not isinstance(asked, Answer), asked
        undecided = weather.strikes(chances.partner_undecided)
        plan = Plan(is_accepted=not weather.strikes(chances.refund_rejected), after_ms=-1 if undecided else None)
        answer = self.payments.give_back(asked, plan)
        if undecided:
            self._world.later(weather.among(UNDECIDED_MS), self.payments.settle_refund, asked.refund_id)
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
        weather = self._world.weather
        if weather.strikes(weather.chances.event_lost):
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
        weather = self._world.weather
        envelope = {
            "specversion": "1.0",
            "id": f"e-{next(self._event_ids)}",
            "source": source,
            "type": kind,
            "time": datetime.fromtimestamp(self.now_ms() / 1000, UTC).isoformat(),
            "data": data,
        }
        body = msgspec.json.encode(envelope)
        copies = 2 if weather.strikes(weather.chances.event_repeated) else 1
        for _ in range(copies):
            is_late = weather.strikes(weather.chances.event_late)
            self._world.later(weather.among(LATE_EVENT_MS if is_late else EVENT_MS), self._hear, body)


class SimulatedHttp(PartnerHttp):
    """``PartnerHttp`` as it is, but for its connections."""

    def __init__(self, world: World) -> None:
        self._base = "http://partner"
        self._session: Any = _Session(world)


class _Session:
    def __init__(self, world: World) -> None:
        self._world = world

    def request(self, method: str, url: URL, *, data: bytes | None, allow_redirects: bool) -> _Exchange:
        return _Exchange(self._world, method, url, data)


class _Exchange:
    """One request: not sent, done and answered, or done (or not, or later) without an answer."""

    def __init__(self, world: World, method: str, url: URL, body: bytes | None) -> None:
        self._world = world
        self._request = (method, url, body)

    async def __aenter__(self) -> _Response:
        world, weather, chances = self._world, self._world.weather, self._world.weather.chances
        if weather.strikes(chances.partner_not_reached):
            await asyncio.sleep(weather.among(NETWORK_MS))
            raise aiohttp.ConnectionTimeoutError
        if weather.strikes(chances.partner_answer_lost):
            fate = weather.random.choice(("done", "later", "much later", "failed", "never"))
            if fate == "done":
                world.partners.serve(*self._request)
            elif fate in ("later", "much later"):
                late_s = weather.among(LATE_MS if fate == "later" else VERY_LATE_MS)
                world.later(late_s, world.partners.serve, *self._request)
            elif fate == "failed":
                await asyncio.sleep(weather.among(PARTNER_MS))
                return _Response(Answer(503, b""))
            await asyncio.sleep(weather.among(PARTNER_MS))
            raise http._LostAfterSendingError("ServerDisconnectedError")
        await asyncio.sleep(weather.among(PARTNER_MS) / 2)
        answer: asyncio.Future[Answer] = world.loop.create_future()
        there = asyncio.get_running_loop().call_later(0.0, _do, world, self._request, answer, context=world.context)
        assert there is not None
        told = await answer
        back_s = weather.among(SLOW_MS if weather.strikes(chances.partner_slow) else PARTNER_MS) / 2
        await asyncio.sleep(back_s)
        return _Response(told)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to give back."""


class _Response:
    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers: dict[str, str] = {}
        self.content_length = max(len(answer.body), 1)
        self._body = answer.body

    async def read(self) -> bytes:
        return self._body


def _do(world: World, request: tuple[str, URL, bytes | None], answer: asyncio.Future[Answer]) -> None:
    told = world.partners.serve(*request)
    if not answer.done():
        answer.set_result(told)
