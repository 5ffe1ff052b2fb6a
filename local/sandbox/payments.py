"""PaymentSvc: charges, refunds and what became of them, as contracts/partners.yaml says.

State and rules only: no network and no clock of its own. Every change is handed to ``keep`` before its answer is given.
What a charge or refund comes to is decided outside and handed in as a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

import msgspec

from local.sandbox.changes import Changes
from local.sandbox.records import PaymentRecord, RefundRecord
from local.sandbox.responses import UNREADABLE, EmulatedResponse, conflict, exact_instant, invalid, not_found, ok

PAYMENT: Final = "payment:"
REFUND: Final = "refund:"
Positive = Annotated[int, msgspec.Meta(gt=0, le=2**63 - 1)]


class _Money(msgspec.Struct):
    amount: Positive
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)]


class ChargeRequest(msgspec.Struct, omit_defaults=True):
    """The body of POST /payments."""

    payment_id: str
    order_id: str
    customer_id: str
    amount: _Money
    method: str
    token: str | None = None


class RefundRequest(msgspec.Struct):
    """The body of POST /refunds."""

    refund_id: str
    payment_id: str
    amount: _Money
    reason: str = ""


_CHARGE: Final = msgspec.json.Decoder(ChargeRequest)
_REFUND: Final = msgspec.json.Decoder(RefundRequest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a new charge or refund comes to. ``after_ms`` None: at once; -1: never by itself; else so much later.

    ``amount_delta`` and ``currency``: what is taken differs from what was asked by that.
    """

    is_accepted: bool = True
    code: str = "card_declined"
    amount_delta: int = 0
    currency: str | None = None
    after_ms: int | None = None


class Payments:
    """All payments and refunds. ``now_ms``: milliseconds since 1970; ``keep`` stores a changed record."""

    def __init__(self, now_ms: Callable[[], int], keep: Callable[[PaymentRecord | RefundRecord], None]) -> None:
        self._now_ms = now_ms
        self._keep = keep
        self._payments: dict[str, PaymentRecord] = {}
        self._refunds: dict[str, RefundRecord] = {}
        self._changes = Changes()
        self.conflicts: list[str] = []  # ids that came again with other content: always a fault of whoever asked

    def payment(self, payment_id: str) -> PaymentRecord | None:
        """The payment's record, not to be changed."""
        return self._payments.get(payment_id)

    def refund(self, refund_id: str) -> RefundRecord | None:
        """The refund's record, not to be changed."""
        return self._refunds.get(refund_id)

    def charge(self, asked: ChargeRequest, plan: Plan) -> EmulatedResponse:
        """POST /payments."""
        content = msgspec.to_builtins(asked)
        payment = self._payments.get(asked.payment_id)
        if payment is None:
            now_ms = self._now_ms()
            word: Literal["confirmed", "rejected"] = "confirmed" if plan.is_accepted else "rejected"
            payment = PaymentRecord(
                payment_id=asked.payment_id,
                order_id=asked.order_id,
                asked=content,
                status=word if plan.after_ms is None else "processing",
                amount=asked.amount.amount + plan.amount_delta,
                currency=plan.currency or asked.amount.currency,
                code=None if plan.is_accepted else plan.code,
                settles_as=word if plan.after_ms is not None and plan.after_ms >= 0 else None,
                settles_at_ms=now_ms + max(plan.after_ms or 0, 0),
                at_ms=now_ms,
            )
            self._store(payment)
        elif payment.asked != content:
            self.conflicts.append(asked.payment_id)
            return conflict("conflict", "the payment id is known with other content")
        return _answered(payment.status, shown(payment))

    def get(self, payment_id: str) -> EmulatedResponse:
        """GET /payments/{payment_id}."""
        payment = self._payments.get(payment_id)
        return not_found("payment") if payment is None else ok(shown(payment))

    def list_payments(self, query: str) -> EmulatedResponse:
        """GET /payments."""

        def show(changed_at_us: int, key: str) -> dict[str, Any] | None:
            payment = self._payments.get(key.removeprefix(PAYMENT))
            return shown(payment) if payment and payment.changed_at_us == changed_at_us else None

        return self._changes.page(query, show)

    def list_refunds(self, query: str) -> EmulatedResponse:
        """GET /refunds."""

        def show(changed_at_us: int, key: str) -> dict[str, Any] | None:
            refund = self._refunds.get(key.removeprefix(REFUND))
            return _shown_refund(refund) if refund and refund.changed_at_us == changed_at_us else None

        return self._changes.page(query, show)

    def give_back(self, asked: RefundRequest, plan: Plan) -> EmulatedResponse:
        """POST /refunds."""
        known = self._refunds.get(asked.refund_id)
        if known is not None:
            content = (known.payment_id, known.asked or known.amount, known.currency, known.reason)
            if content != (asked.payment_id, asked.amount.amount, asked.amount.currency, asked.reason):
                self.conflicts.append(asked.refund_id)
                return conflict("conflict", "the refund id is known with other content")
            return _answered(known.status, _shown_refund(known))
        payment = self._payments.get(asked.payment_id)
        if payment is None:
            return not_found("payment")
        captured = payment.amount - payment.refunded if payment.status == "confirmed" else 0
        if asked.amount.currency != payment.currency or asked.amount.amount > captured:
            return conflict("exceeds_captured", f"{captured} {payment.currency} are left of this payment")
        now_ms = self._now_ms()
        final: Literal["refunded", "rejected"] = "refunded" if plan.is_accepted else "rejected"
        refund = RefundRecord(
            refund_id=asked.refund_id,
            payment_id=asked.payment_id,
            amount=asked.amount.amount + plan.amount_delta,
            asked=asked.amount.amount,
            currency=asked.amount.currency,
            reason=asked.reason,
            status=final if plan.after_ms is None else "processing",
            settles_at_ms=now_ms + plan.after_ms if plan.after_ms is not None and plan.after_ms >= 0 else 0,
            at_ms=now_ms,
        )
        self._store_refund(refund)
        return _answered(refund.status, _shown_refund(refund))

    def get_refund(self, refund_id: str) -> EmulatedResponse:
        """GET /refunds/{refund_id}."""
        refund = self._refunds.get(refund_id)
        return not_found("refund") if refund is None else ok(_shown_refund(refund))

    def settle(self, payment_id: str, word: Literal["confirmed", "rejected"], code: str | None = None) -> bool:
        """Let a payment that is processing come to its end; False when it is unknown or has ended before."""
        payment = self._payments.get(payment_id)
        if payment is None or payment.status != "processing":
            return False
        code = None if word == "confirmed" else code or payment.code or "card_declined"
        settled = msgspec.structs.replace(payment, status=word, code=code, settles_as=None)
        self._store(settled)
        return True

    def settle_refund(self, refund_id: str) -> bool:
        """Let a refund that is processing arrive; False when it is unknown or has ended before."""
        refund = self._refunds.get(refund_id)
        if refund is None or refund.status != "processing":
            return False
        self._store_refund(msgspec.structs.replace(refund, status="refunded", settles_at_ms=0))
        return True

    def unsettled(self) -> Iterator[PaymentRecord | RefundRecord]:
        """What is on its way and comes to an end by itself, for whoever has a clock."""
        yield from (one for one in self._payments.values() if one.status == "processing" and one.settles_as)
        yield from (one for one in self._refunds.values() if one.status == "processing" and one.settles_at_ms)

    def restore(self, record: PaymentRecord | RefundRecord) -> None:
        """Take back in what was kept. What was refunded, and that the payment changed by it, follows from the refunds."""
        record.changed_at_us = record.changed_at_us or self._changes.next_us(record.at_ms)
        if isinstance(record, RefundRecord):
            self._count(record)
            return
        known = self._payments.get(record.payment_id)
        record.refunded = known.refunded if known else 0
        record.changed_at_us = max(record.changed_at_us, known.changed_at_us if known else 0)
        self._take(record)

    def records(self) -> Iterator[PaymentRecord | RefundRecord]:
        """Everything there is to keep; payments first, since refunds are counted on them."""
        yield from self._payments.values()
        yield from self._refunds.values()

    def _store(self, payment: PaymentRecord) -> None:
        payment.changed_at_us = self._changes.next_us(self._now_ms())
        self._keep(payment)
        self._take(payment)

    def _take(self, payment: PaymentRecord) -> None:
        self._payments[payment.payment_id] = payment
        self._changes.note(payment.changed_at_us, PAYMENT + payment.payment_id)

    def _store_refund(self, refund: RefundRecord) -> None:
        refund.changed_at_us = self._changes.next_us(self._now_ms())
        self._keep(refund)
        self._count(refund)

    def _count(self, refund: RefundRecord) -> None:
        """Put ``refund`` in the place of what it was; money on its way back can't be given back twice."""
        payment = self._payments[refund.payment_id]
        before = self._refunds.get(refund.refund_id)
        if before is not None and before.status != "rejected":
            payment.refunded -= before.amount
        if refund.status != "rejected":
            payment.refunded += refund.amount
        self._refunds[refund.refund_id] = refund
        self._changes.note(refund.changed_at_us, REFUND + refund.refund_id)
        payment.changed_at_us = max(payment.changed_at_us, refund.changed_at_us)
        self._take(payment)


def read_charge(body: bytes) -> ChargeRequest | EmulatedResponse:
    """Read the body of a charge, or say what is wrong with it."""
    try:
        return _CHARGE.decode(body)
    except UNREADABLE as error:
        return invalid(str(error))


def read_refund(body: bytes) -> RefundRequest | EmulatedResponse:
    """Read the body of a refund, or say what is wrong with it."""
    try:
        return _REFUND.decode(body)
    except UNREADABLE as error:
        return invalid(str(error))


def shown(payment: PaymentRecord) -> dict[str, Any]:
    """The payment as the wire shows it."""
    body: dict[str, Any] = {
        "payment_id": payment.payment_id,
        "order_id": payment.order_id,
        "status": payment.status,
        "amount": {"amount": payment.amount, "currency": payment.currency},
        "refunded": {"amount": payment.refunded, "currency": payment.currency},
        "gateway_ref": f"gw-{payment.payment_id}",
        "updated_at": exact_instant(payment.changed_at_us),
    }
    if payment.status == "rejected":
        body["code"] = payment.code
    return body


def _shown_refund(refund: RefundRecord) -> dict[str, Any]:
    return {
        "refund_id": refund.refund_id,
        "payment_id": refund.payment_id,
        "status": refund.status,
        "amount": {"amount": refund.amount, "currency": refund.currency},
        "updated_at": exact_instant(refund.changed_at_us),
    }


def _answered(status: str, body: dict[str, Any]) -> EmulatedResponse:
    return ok(body, HTTPStatus.ACCEPTED if status == "processing" else HTTPStatus.OK)
