"""The three services behind one emulator: which operation a request is for, what it does, and which events follow.

It knows no sockets: a request comes in as method, path and body. Misbehaviour that concerns the content of an answer is
applied here; misbehaviour of the connection is the server's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from local.sandbox.customers import Customers
from local.sandbox.events import Events
from local.sandbox.injected_faults import NO_EFFECTS, TOKENS, Facts, InjectedFault, InjectedFaults, plan
from local.sandbox.journal import Journal
from local.sandbox.payments import ChargeRequest, Payments, RefundRequest, read_charge, read_refund
from local.sandbox.records import CustomerRecord, PaymentRecord, Record, RefundRecord, RefusalRecord
from local.sandbox.responses import EmulatedResponse
from local.sandbox.stock import Stock

EVENT_FIRST_MAX_S: Final = 2.0


def now_ms() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


class PartnerEmulator:
    """Everything the sandbox knows and does; what ``journal`` holds is read in at once."""

    def __init__(self, journal: Journal, events: Events) -> None:
        self._journal = journal
        self.events = events
        self.faults = InjectedFaults()
        self.stock = Stock(now_ms, journal.append)
        self.payments = Payments(now_ms, journal.append)
        self.customers = Customers(journal.append)
        self.refusals: dict[tuple[str, str], RefusalRecord] = {}
        self.requests: dict[str, int] = {}
        for record in journal.read():
            self._restore(record)
        journal.rewrite(self._records())

    def start(self) -> None:
        """Set the timers of what was on its way when the last process ended."""
        for record in self.payments.unsettled():
            left_ms = max(record.settles_at_ms - now_ms(), 0)
            if isinstance(record, PaymentRecord):
                self._settle_later(record.payment_id, left_ms, copies=1)
            else:
                self._arrive_later(record.refund_id, left_ms)

    def facts(self, operation: str, subject: str, query: str, body: bytes) -> Facts:
        """What injected faults want to know of a request; ``subject`` is the id in its path."""
        match operation:
            case "list_products":
                return Facts(operation=operation, skus=tuple(parse_qs(query).get("sku", ())))
            case "charge":
                asked = read_charge(body)
                if isinstance(asked, ChargeRequest):
                    return Facts(
                        operation=operation,
                        order_id=asked.order_id,
                        customer_id=asked.customer_id,
                        method=asked.method,
                        token=asked.token,
                    )
            case "refund":
                refund = read_refund(body)
                if isinstance(refund, RefundRequest):
                    return self._payment_facts(operation, refund.payment_id)
            case "get_payment":
                return self._payment_facts(operation, subject)
            case "get_refund":
                known = self.payments.refund(subject)
                return self._payment_facts(operation, known.payment_id if known else "")
            case "get_customer":
                return Facts(operation=operation, customer_id=subject)
            case "put_hold":
                return Facts(operation=operation, order_id=subject, skus=self.stock.asked_skus(body))
            case "get_hold" | "delete_hold" | "commit_hold":
                return Facts(operation=operation, order_id=subject)
        return Facts(operation=operation)

    def token_effects(self, body: bytes) -> dict[str, InjectedFault]:
        """What the token of a charge brings with it; nothing when the charge is a repeat."""
        asked = read_charge(body)
        if not isinstance(asked, ChargeRequest) or asked.token is None or self.payments.payment(asked.payment_id):
            return NO_EFFECTS
        return TOKENS.get(asked.token, NO_EFFECTS)

    async def perform(
        self, operation: str, subject: str, query: str, body: bytes, effects: dict[str, InjectedFault]
    ) -> EmulatedResponse:
        """Do what is asked and give the answer. Everything is kept before this returns, a refusal too."""
        answer = await self._do(operation, subject, query, body, effects)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            self._keep_refusal(operation, subject, query, body, answer)
        elif operation == "list_products":
            for sku in self.stock.not_for_sale(parse_qs(query)):
                self._keep_refusal(operation, sku, query, body, answer)
        return answer

    async def _do(
        self, operation: str, subject: str, query: str, body: bytes, effects: dict[str, InjectedFault]
    ) -> EmulatedResponse:
        match operation:
            case "list_products":
                asked = parse_qs(query)
                return self.stock.products(asked.get("sku", ()), asked.get("currency", [""])[0])
            case "put_hold":
                return self._put_hold(subject, body, effects)
            case "list_holds":
                return self.stock.list_holds(query)
            case "get_hold":
                return self.stock.get(subject)
            case "delete_hold":
                return self.stock.delete(subject)
            case "commit_hold":
                if "refuse" in effects or "expire" in effects:
                    self.stock.expire(subject)
                return self.stock.commit(subject, body)
            case "charge":
                return await self._charge(body, effects)
            case "list_payments":
                return self.payments.list_payments(query)
            case "get_payment":
                return self.payments.get(subject)
            case "refund":
                return self._refund(body, effects)
            case "list_refunds":
                return self.payments.list_refunds(query)
            case "get_refund":
                return self.payments.get_refund(subject)
            case "get_customer":
                return self.customers.get(subject)
        raise ValueError(operation)

    def settle(self, payment_id: str, word: str, code: str | None = None, copies: int = 1) -> bool:
        """End a payment that is processing, as ``confirmed`` or ``rejected``, and tell of it ``copies`` times."""
        if not self.payments.settle(payment_id, "confirmed" if word == "confirmed" else "rejected", code):
            return False
        self.announce(payment_id, copies)
        return True

    def announce(self, payment_id: str, copies: int = 1) -> bool:
        """Publish how a payment ended, again if need be; False when it has not ended."""
        payment = self.payments.payment(payment_id)
        if payment is None or payment.status == "processing":
            return False
        data: dict[str, Any] = {"payment_id": payment_id, "order_id": payment.order_id}
        source = f"/paymentsvc/payments/{payment_id}"
        if payment.status == "confirmed":
            data |= {
                "amount": {"amount": payment.amount, "currency": payment.currency},
                "gateway_ref": f"gw-{payment_id}",
            }
            self.events.offer("paymentsvc", "PagoConfirmado", source, data, copies=copies)
        else:
            data |= {"code": payment.code or "card_declined"}
            self.events.offer("paymentsvc", "PagoRechazado", source, data, copies=copies)
        return True

    def _keep_refusal(self, operation: str, subject: str, query: str, body: bytes, answer: EmulatedResponse) -> None:
        """Keep the last refusal of each operation about each subject; one of a body that can't be read has none."""
        asked = read_charge(body) if operation == "charge" else read_refund(body) if operation == "refund" else None
        named = (
            asked.payment_id
            if isinstance(asked, ChargeRequest)
            else asked.refund_id
            if isinstance(asked, RefundRequest)
            else subject
        )
        said = msgspec.json.decode(answer.body)
        refusal = RefusalRecord(
            operation=operation,
            subject=named,
            order_id=self.facts(operation, subject, query, body).order_id,
            status=answer.status,
            code=said.get("code", "not_for_sale"),
            at_ms=now_ms(),
        )
        self._journal.append(refusal)
        self.refusals[operation, named] = refusal

    def _payment_facts(self, operation: str, payment_id: str) -> Facts:
        payment = self.payments.payment(payment_id)
        if payment is None:
            return Facts(operation=operation)
        return Facts(
            operation=operation,
            order_id=payment.order_id,
            customer_id=payment.asked.get("customer_id"),
            method=payment.asked.get("method"),
            token=payment.asked.get("token"),
        )

    def _put_hold(self, order_id: str, body: bytes, effects: dict[str, InjectedFault]) -> EmulatedResponse:
        answer = self.stock.put(order_id, body, refuse="refuse" in effects)
        if expire := effects.get("expire"):
            asyncio.get_running_loop().call_later(expire.delay(0) / 1000, self.stock.expire, order_id)
        return answer

    async def _charge(self, body: bytes, effects: dict[str, InjectedFault]) -> EmulatedResponse:
        asked = read_charge(body)
        if isinstance(asked, EmulatedResponse):
            return asked
        is_new = self.payments.payment(asked.payment_id) is None
        answer = self.payments.charge(asked, plan(effects))
        if not is_new:
            return answer
        copies = 0 if "no_event" in effects else 2 if "event_twice" in effects else 1
        payment = self.payments.payment(asked.payment_id)
        if payment is not None and payment.settles_as is not None:
            self._settle_later(payment.payment_id, payment.settles_at_ms - now_ms(), copies)
        elif copies:
            self.announce(asked.payment_id, copies)
            if "event_first" in effects:
                await self.events.confirmed(EVENT_FIRST_MAX_S)
        return answer

    def _refund(self, body: bytes, effects: dict[str, InjectedFault]) -> EmulatedResponse:
        asked = read_refund(body)
        if isinstance(asked, EmulatedResponse):
            return asked
        is_new = self.payments.refund(asked.refund_id) is None
        answer = self.payments.give_back(asked, plan(effects))
        refund = self.payments.refund(asked.refund_id)
        if is_new and refund is not None and refund.settles_at_ms:
            self._arrive_later(refund.refund_id, refund.settles_at_ms - now_ms())
        return answer

    def _settle_later(self, payment_id: str, after_ms: int, copies: int) -> None:
        def settle() -> None:
            payment = self.payments.payment(payment_id)
            if payment is not None and payment.settles_as is not None:
                self.settle(payment_id, payment.settles_as, copies=copies)

        asyncio.get_running_loop().call_later(max(after_ms, 0) / 1000, settle)

    def _arrive_later(self, refund_id: str, after_ms: int) -> None:
        asyncio.get_running_loop().call_later(max(after_ms, 0) / 1000, self.payments.settle_refund, refund_id)

    def _restore(self, record: Record) -> None:
        if isinstance(record, PaymentRecord | RefundRecord):
            self.payments.restore(record)
        elif isinstance(record, CustomerRecord):
            self.customers.restore(record)
        elif isinstance(record, RefusalRecord):
            self.refusals[record.operation, record.subject] = record
        else:
            self.stock.restore(record)

    def _records(self) -> Iterable[Record]:
        yield from self.stock.records()
        yield from self.payments.records()
        yield from self.customers.records()
        yield from self.refusals.values()


def open_emulator(folder: Path, amqp_url: str) -> PartnerEmulator:
    """Make a desk that keeps everything in ``folder``. Raises ``LocalError`` when another sandbox has the folder."""
    return PartnerEmulator(Journal(folder / "journal.jsonl"), Events(amqp_url))
