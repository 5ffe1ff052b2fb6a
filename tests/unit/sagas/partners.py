"""ProductSvc and PaymentSvc as their contracts describe them, for one order, with books of their own.

The laws are checked against these books and not against the order's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from domain.calls import (
    Charge,
    CommitHold,
    Declined,
    Hold,
    HoldAnswered,
    NotFound,
    Outcome,
    PaymentAnswered,
    RefundAnswered,
    RefundPayment,
)
from domain.commands import Body, PaymentConfirmed, PaymentRejected
from domain.money import Money
from domain.order import Product
from tests.unit.sagas.builders import NOW


@dataclass
class Stock:
    """ProductSvc, of one order: all lines or none, a higher revision replaces, released is for good."""

    available: dict[str, int]
    prices: dict[str, Product]
    lines: dict[str, int] = field(default_factory=dict)
    state: str = "none"
    revision: int = 0
    expires_at: datetime = NOW

    def free(self, state: str) -> None:
        for sku, quantity in self.lines.items():
            self.available[sku] += quantity
        self.lines, self.state = {}, state

    def tick(self, now: datetime) -> None:
        if self.state == "held" and now >= self.expires_at:
            self.free("expired")

    def hold(self, asked: Hold) -> Outcome:
        if self.state == "released":
            return Declined(409, "hold_released")
        if asked.revision < self.revision:
            return Declined(409, "stale_revision")
        if self.state == "committed":
            return Declined(409, "already_committed")
        if asked.revision == self.revision and self.state == "held":
            same = (
                self.lines == {line.sku: line.quantity for line in asked.lines} and self.expires_at == asked.expires_at
            )
            return HoldAnswered(self.revision, "held") if same else Declined(409, "conflict")
        if any(self.available[line.sku] + self.lines.get(line.sku, 0) < line.quantity for line in asked.lines):
            self.revision = asked.revision
            return Declined(409, "out_of_stock")
        self.free("none")
        for line in asked.lines:
            self.available[line.sku] -= line.quantity
            self.lines[line.sku] = line.quantity
        self.revision, self.state, self.expires_at = asked.revision, "held", asked.expires_at
        return HoldAnswered(self.revision, "held")

    def commit(self, asked: CommitHold) -> Outcome:
        if self.state == "held" and asked.revision == self.revision:
            self.state = "committed"
        if self.state == "committed":
            return HoldAnswered(self.revision, "committed")
        if self.state == "none":
            return NotFound()
        return Declined(409, "stale_revision" if self.state == "held" else f"hold_{self.state}")

    def release(self) -> Outcome:
        self.free("released")
        return HoldAnswered(self.revision, "released")


@dataclass
class Charged:
    status: str
    amount: Money
    asked: Charge
    refunded: int = 0


@dataclass
class Bank:
    """PaymentSvc: one charge a payment id for ever, refunds up to what was captured."""

    charges: dict[str, Charged] = field(default_factory=dict)
    refunds: dict[str, tuple[str, RefundPayment]] = field(default_factory=dict)
    events: list[Body] = field(default_factory=list)

    def charge(self, asked: Charge, mood: int) -> Outcome:
        known = self.charges.get(asked.payment_id)
        if known is not None:
            assert known.asked == asked, "a charge made again must be the same"
            return self.verify(asked.payment_id)
        status, amount = "confirmed", asked.amount
        if mood == 1:
            status = "rejected"
        elif mood == 2:
            status = "processing"
        elif mood == 3:
            amount = replace(amount, amount=amount.amount + 7)
        elif mood == 4:
            amount = replace(amount, currency="USD")
        self.charges[asked.payment_id] = Charged("processing", amount, asked)
        if status != "processing":
            self.settle(asked.payment_id, status)
        return self.verify(asked.payment_id)

    def settle(self, payment_id: str, status: str) -> None:
        charged = self.charges[payment_id]
        charged.status = status
        if status == "confirmed":
            self.events.append(PaymentConfirmed(payment_id=payment_id, amount=charged.amount))
        else:
            self.events.append(PaymentRejected(payment_id, "card_declined"))

    def verify(self, payment_id: str) -> Outcome:
        known = self.charges.get(payment_id)
        if known is None:
            return NotFound()
        return PaymentAnswered(payment_id=payment_id, status=known.status, amount=known.amount)

    def give_back(self, asked: RefundPayment, mood: int) -> Outcome:
        known = self.refunds.get(asked.refund_id)
        if known is not None:
            assert known[1] == asked, "a refund made again must be the same"
        elif mood == 1:
            self.refunds[asked.refund_id] = ("rejected", asked)
        else:
            charged = self.charges[asked.payment_id]
            assert charged.status == "confirmed"
            assert charged.amount.currency == asked.amount.currency
            charged.refunded += asked.amount.amount
            assert charged.refunded <= charged.amount.amount, "more was given back than was taken"
            self.refunds[asked.refund_id] = ("processing" if mood == 2 else "refunded", asked)
        return self.verify_refund(asked.refund_id)

    def verify_refund(self, refund_id: str) -> Outcome:
        known = self.refunds.get(refund_id)
        if known is None:
            return NotFound()
        status, asked = known
        if status == "processing":
            self.refunds[refund_id] = ("refunded", asked)
        return RefundAnswered(refund_id=refund_id, status=status, amount=asked.amount)

    def kept(self) -> dict[str, int]:
        """Give what the bank holds for the order, by currency."""
        sums: dict[str, int] = {}
        for each in self.charges.values():
            if each.status == "confirmed":
                rest = each.amount.amount - each.refunded
                sums[each.amount.currency] = sums.get(each.amount.currency, 0) + rest
        return {currency: amount for currency, amount in sums.items() if amount}
