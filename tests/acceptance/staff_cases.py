"""Every state that needs attention, made with the partners' knobs, and each verb that ends it.

The table of docs/operations.md and ``CASES`` are the same: ``documented`` reads the one, a unit test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.acceptance.broker import Broker
from tests.acceptance.scenarios import do, inject_fault, new_order, pay
from tests.acceptance.shop import Shop
from tests.acceptance.started import ROOT

PAGE: Path = ROOT / "docs/operations.md"
VERBS = ("retry", "skip_to_compensation", "mark_settled", "record")
GIVEN_BACK_LATE_MS = 8_000
LESS = 100
Order = Any
Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An order that ``make`` brings to need attention for ``reason`` (of ``of``, where the table tells several apart).

    ``before``: what is done outside, then ``verb`` with ``more`` of the body. The order then is ``becomes`` and needs no
    attention; ``outside`` is the money that moved beside PaymentSvc, or never did though PaymentSvc says so, in the
    service's books: what they have more than PaymentSvc's.
    """

    reason: str
    verb: str
    make: Callable[[Shop, Broker], str]
    becomes: str
    of: str = ""
    before: Callable[[Shop, str], None] = lambda _shop, _order_id: None
    more: Callable[[Order], Body] = lambda _order: {}
    outside: Callable[[Order], int] = lambda _order: 0
    about: str = ""

    @property
    def name(self) -> str:
        """The case in a word."""
        return "-".join(filter(None, (self.reason, self.of, self.verb, self.about)))


def documented(page: str) -> set[tuple[str, str, str]]:
    """The table's rows: reason, step (where a reason has several rows, else empty), verb."""
    rows = [
        (reason, re.findall(r"`(\w+)`", of), {*re.findall(r"`(\w+)`", ends)} & {*VERBS})
        for reason, of, ends in re.findall(r"^\| `(\w+)` \| ([^|]+) \|[^|]+\|[^|]+\| ([^|]+) \|$", page, re.MULTILINE)
    ]
    reasons = [reason for reason, _, _ in rows]
    return {(reason, of[-1] if reasons.count(reason) > 1 else "", verb) for reason, of, verbs in rows for verb in verbs}


# How an order gets there.


def failing(operation: str, order_id: str, **more: Any) -> Callable[[Shop], None]:
    """Have a partner's operation fail for an order."""
    return lambda shop: inject_fault(shop, **{"effect": "fail", "operation": operation, "order_id": order_id, **more})


def mend(shop: Shop, order_id: str) -> None:
    """Have the partners serve this order as they should."""
    knobs = shop.partner("sandbox", "GET", "/knobs")["knobs"]
    kept = [each for each in knobs if order_id not in (each.get("order_id"), each.get("sku"))]
    shop.partner("sandbox", "PUT", "/knobs", {"knobs": kept})


def paid(shop: Shop, **more: Any) -> str:
    """A prepared order."""
    order_id: str = new_order(shop, **more)["id"]
    pay(shop, order_id)
    shop.reached(order_id, "prepared")
    return order_id


def cancelling(shop: Shop, operation: str, effect: str, **more: Any) -> str:
    """A prepared order that is cancelled while something about giving back goes wrong."""
    order_id = paid(shop)
    inject_fault(shop, effect=effect, operation=operation, order_id=order_id, **more)
    do(shop, "DELETE", f"/api/orders/{order_id}")
    return order_id


def without_hold(shop: Shop, _: Broker) -> str:
    """ProductSvc does not say whether it holds the stock of an edited order."""
    sku = f"sku-shy-{uuid4()}"
    shop.partner("sandbox", "PUT", f"/products/{sku}", {"prices": {"EUR": 100}, "stock": 10})
    order_id: str = new_order(shop)["id"]
    failing("put_hold", order_id)(shop)
    do(shop, "POST", f"/api/orders/{order_id}/items", {"sku": sku, "quantity": 1})
    return order_id


def without_commit(shop: Shop, _: Broker, **more: Any) -> str:
    """ProductSvc does not say whether the stock of a paid order is firm."""
    order_id: str = new_order(shop)["id"]
    failing("commit_hold", order_id, **more)(shop)
    pay(shop, order_id)
    return order_id


def without_release(shop: Shop, _: Broker) -> str:
    """ProductSvc does not say whether it has the stock of a cancelled order back."""
    return cancelling(shop, "delete_hold", "fail")


def without_charge(shop: Shop, _: Broker) -> str:
    """PaymentSvc can't be charged, and knows of no payment."""
    order_id: str = new_order(shop)["id"]
    failing("charge", order_id)(shop)
    do(shop, "POST", f"/api/orders/{order_id}/payments", {"method": "card"})
    return order_id


def without_refund(shop: Shop, _: Broker) -> str:
    """PaymentSvc does not say whether it gives the money of a cancelled order back."""
    return cancelling(shop, "refund", "fail")


def credentials_refused(shop: Shop, broker: Broker) -> str:
    """ProductSvc, or something before it, does not let us in."""
    return without_commit(shop, broker, status=401, code="unauthorized")


def release_declined(shop: Shop, _: Broker) -> str:
    """ProductSvc does not take the stock back."""
    return cancelling(shop, "delete_hold", "fail", status=422, code="invalid_request")


def mismatched(shop: Shop, _: Broker) -> str:
    """PaymentSvc took more than was asked for."""
    order_id: str = new_order(shop)["id"]
    pay(shop, order_id, token="tok_mismatch")
    return order_id


def undecided(shop: Shop, _: Broker) -> str:
    """PaymentSvc works on a payment, and says no more."""
    order_id: str = new_order(shop)["id"]
    pay(shop, order_id, token="tok_silence")
    return order_id


def contradicted(shop: Shop, broker: Broker) -> str:
    """A second confirmation names another amount."""
    order_id = paid(shop)
    payment = shop.order(order_id)["payments"][0]
    amount = {"amount": payment["amount"] + 1, "currency": "EUR"}
    broker.publish(
        "PagoConfirmado",
        {"payment_id": payment["payment_id"], "order_id": order_id, "amount": amount, "gateway_ref": "gw-other"},
    )
    return order_id


def refund_rejected(shop: Shop, _: Broker) -> str:
    """PaymentSvc does not give the money back, the first time."""
    return cancelling(shop, "refund", "decline", times=1)


def refund_mismatched(shop: Shop, _: Broker) -> str:
    """PaymentSvc gives less back than it was asked for, the first time."""
    return cancelling(shop, "refund", "mismatch", amount_delta=-LESS, times=1)


def refund_undecided(shop: Shop, _: Broker) -> str:
    """PaymentSvc works on a refund, and says no more."""
    return cancelling(shop, "refund", "silence")


def refund_contradicted(shop: Shop, _: Broker) -> str:
    """Staff record that a refund came to nothing; then PaymentSvc's answer comes, which says that it was given back."""
    order_id = cancelling(shop, "refund", "delay", delay_ms=GIVEN_BACK_LATE_MS)
    refund = shop.order(order_id)["payments"][0]["refunds"][0]
    said = record("rejected", 0)(shop.order(order_id)) | {"subject": refund["refund_id"], "note": "as the bank has it"}
    do(shop, "POST", f"/api/orders/{order_id}/attention", {"action": "record", **said})
    return order_id


# What is done outside before the verb, and what the verb says.


def commit_outside(shop: Shop, order_id: str) -> None:
    """Commit the stock at ProductSvc by hand."""
    mend(shop, order_id)
    shop.partner("product", "POST", f"/holds/{order_id}/commit", {"revision": shop.order(order_id)["revision"]})


def release_outside(shop: Shop, order_id: str) -> None:
    """Give the stock back at ProductSvc by hand."""
    mend(shop, order_id)
    shop.partner("product", "DELETE", f"/holds/{order_id}")


def settle(word: str) -> Callable[[Shop, str], None]:
    """PaymentSvc comes to its end with a payment, and tells nobody."""

    def done(shop: Shop, order_id: str) -> None:
        payment = shop.order(order_id)["payments"][0]["payment_id"]
        shop.partner("sandbox", "POST", f"/payments/{payment}/settle", {"status": word, "copies": 0})

    return done


def record(outcome: str, amount: int | None = None, *, more: int = 0) -> Callable[[Order], Body]:
    """Say what became of what the note is about; ``amount`` None: the order's total and ``more``."""

    def said(order: Order) -> Body:
        subject = next((note["subject"] for note in order["attention"] if note["subject"]), None)
        moved = order["totals"]["total"] + more if amount is None else amount
        return {"subject": subject, "outcome": outcome, "amount": moved, "reference": "statement 7"}

    return said


def total(order: Order) -> int:
    """The order's total."""
    return int(order["totals"]["total"])


CASES = (
    Case(reason="step_exhausted", of="hold", verb="retry", make=without_hold, before=mend, becomes="validated"),
    Case(reason="step_exhausted", of="hold", verb="skip_to_compensation", make=without_hold, becomes="cancelled"),
    Case(reason="step_exhausted", of="commit_hold", verb="retry", make=without_commit, before=mend, becomes="prepared"),
    Case(
        reason="step_exhausted", of="commit_hold", verb="mark_settled", make=without_commit, before=commit_outside,
        becomes="prepared",
    ),
    Case(reason="step_exhausted", of="commit_hold", verb="skip_to_compensation", make=without_commit, becomes="cancelled"),
    Case(reason="step_exhausted", of="release_hold", verb="retry", make=without_release, before=mend, becomes="cancelled"),
    Case(
        reason="step_exhausted", of="release_hold", verb="mark_settled", make=without_release, before=release_outside,
        becomes="cancelled",
    ),
    Case(reason="step_exhausted", of="verify", verb="retry", make=without_charge, before=mend, becomes="prepared"),
    Case(
        reason="step_exhausted", of="verify", verb="record", make=without_charge, more=record("rejected", 0),
        becomes="validated",
    ),
    Case(reason="step_exhausted", of="verify_refund", verb="retry", make=without_refund, before=mend, becomes="cancelled"),
    Case(
        reason="step_exhausted", of="verify_refund", verb="record", make=without_refund, more=record("refunded"),
        becomes="cancelled", outside=lambda order: -total(order),
    ),
    Case(reason="credentials_refused", verb="retry", make=credentials_refused, before=mend, becomes="prepared"),
    Case(reason="release_declined", verb="retry", make=release_declined, before=mend, becomes="cancelled"),
    Case(
        reason="release_declined", verb="mark_settled", make=release_declined, before=release_outside, becomes="cancelled"
    ),
    Case(reason="payment_mismatched", verb="skip_to_compensation", make=mismatched, becomes="cancelled"),
    Case(
        reason="payment_mismatched", verb="record", about="really_taken", make=mismatched,
        more=record("confirmed"), becomes="prepared", outside=lambda _: -100,
    ),
    Case(
        reason="payment_mismatched", verb="record", about="given_back", make=mismatched,
        more=record("refunded", more=100), becomes="validated", outside=lambda order: -total(order) - 100,
    ),
    Case(
        reason="payment_undecided", verb="retry", make=undecided, before=settle("confirmed"), becomes="prepared"
    ),
    Case(
        reason="payment_undecided", verb="record", about="confirmed", make=undecided, more=record("confirmed"),
        becomes="prepared", outside=total,
    ),
    Case(
        reason="payment_undecided", verb="record", about="rejected", make=undecided, more=record("rejected", 0),
        becomes="validated",
    ),
    Case(
        reason="payment_contradicted", verb="record", make=contradicted, more=record("confirmed"), becomes="prepared"
    ),
    Case(reason="refund_rejected", verb="retry", make=refund_rejected, becomes="cancelled"),
    Case(
        reason="refund_rejected", verb="record", make=refund_rejected, more=record("refunded"), becomes="cancelled",
        outside=lambda order: -total(order),
    ),
    Case(reason="refund_mismatched", verb="retry", make=refund_mismatched, becomes="cancelled"),
    Case(
        reason="refund_mismatched", verb="record", make=refund_mismatched, more=record("refunded"), becomes="cancelled",
        outside=lambda _: -LESS,
    ),
    Case(
        reason="refund_undecided", verb="record", about="refunded", make=refund_undecided, more=record("refunded"),
        becomes="cancelled", outside=lambda order: -total(order),
    ),
    Case(
        reason="refund_contradicted", verb="record", make=refund_contradicted, more=record("refunded"), becomes="cancelled"
    ),
)  # fmt: skip
