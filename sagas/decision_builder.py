"""A decision in the making: the order as it becomes, and all that has to leave the process with it.

One builder lives within one call of ``decide``. It only collects; what the rules are is said by the modules that write on
it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from domain.calls import Call
from domain.commands import Message
from domain.events import Event
from domain.order import Order, Status, Step
from domain.payments import Payment, Transaction
from domain.reference_data import ReferenceVersion
from sagas.decision import CommandResult, Decision, OrderRules, PromotionUse


class DecisionBuilder:
    """The state of one decision. ``order`` is always a whole, frozen order; ``base`` is the committed one or None."""

    __slots__ = (
        "base",
        "calls",
        "events",
        "last_published_status",
        "ledger",
        "message",
        "now",
        "order",
        "promotion_uses",
        "reference_versions",
        "releases",
        "rules",
        "version",
    )

    def __init__(self, base: Order | None, order: Order, message: Message, now: datetime, rules: OrderRules) -> None:
        self.base = base
        self.order = order
        self.message = message
        self.now = now
        self.rules = rules
        self.version = 1 if base is None else base.version + 1
        self.last_published_status: Status | None = None if base is None else base.status
        self.events: list[Event] = []
        self.calls: list[Call] = []
        self.ledger: list[Transaction] = []
        self.promotion_uses: list[PromotionUse] = []
        self.releases: list[str] = []
        self.reference_versions: tuple[ReferenceVersion, ...] = ()

    def change(self, **changes: Any) -> None:
        """Give the order new values for some fields; the first change also gives it its new version."""
        if self.order.version != self.version:
            changes["version"] = self.version
            changes["updated_at"] = self.now
        self.order = replace(self.order, **changes)

    def change_payment(self, payment: Payment, **changes: Any) -> None:
        """Put ``payment`` in the place of the one with its id, with ``changes`` to the order besides."""
        payments = tuple(payment if each.payment_id == payment.payment_id else each for each in self.order.payments)
        self.change(payments=payments, **changes)

    def record(self, entry: Transaction) -> None:
        """Append an entry to the ledger."""
        self.ledger.append(entry)
        self.change(ledger=(*self.order.ledger, entry))

    def step(self, key: str) -> Step | None:
        """Give the order's step of that key, or None when it is no more."""
        for step in self.order.steps:
            if step.key == key:
                return step
        return None

    def payment(self, payment_id: str) -> Payment | None:
        """Give the order's payment of that id, or None."""
        for payment in self.order.payments:
            if payment.payment_id == payment_id:
                return payment
        return None

    def after(self, seconds: float) -> datetime:
        """Give the time so many seconds from now."""
        return self.now + timedelta(seconds=seconds)

    def finish(self, answer: CommandResult) -> Decision:
        """Close the builder. An order that was not changed is not committed: it is a repeat, or brings nothing new."""
        if self.order is self.base:
            return Decision(order=None, result=answer)
        return Decision(
            order=self.order,
            result=answer,
            events=tuple(self.events),
            calls=tuple(self.calls),
            ledger=tuple(self.ledger),
            promotion_uses=tuple(self.promotion_uses),
            releases=tuple(self.releases),
            reference_versions=self.reference_versions,
        )
