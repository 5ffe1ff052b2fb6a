"""L14: nothing is cancelled, rejected or settled but by the word of who decides it.

What partners said themselves is noted as it arrives, what clients and staff asked for as they ask; each commit is held against
that and against the partners' books. What something in between answered is no word of anybody, so it is not noted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from yarl import URL

from domain.order import CancelReason, HoldState, Order, StepKind
from domain.payments import Payment, PaymentStatus, Refund, RefundStatus
from domain.reference_data import versions_of
from domain.totals_and_statuses import IN_FLIGHT, TOOK_MONEY, in_flight
from local.sandbox.responses import EmulatedResponse

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

NEVER_MADE = "never_made"
ERROR_FROM = 400
COMMITS_REFUSED_MAX = 2  # what was lost once is asked for anew
# What a bulkhead had read when its step was still there may wait for its turn, and for a process that was stopped.
SENT_LATE_MAX_S = 20.0
SENDING = (StepKind.CHARGE, StepKind.REFUND)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Words:
    """Who said what. ``settle_s``: how far apart PaymentSvc must have said twice that it does not know a payment."""

    def __init__(self, world: World, settle_s: float) -> None:
        self._world = world
        self._settle_s = settle_s
        self._not_for_sale: set[str] = set()
        self._not_welcome: set[str] = set()
        self._holds_refused: set[str] = set()
        self._commits_refused: dict[str, set[int]] = {}
        self._charges_refused: set[str] = set()
        self._refunds_refused: set[str] = set()
        self._not_known_s: dict[str, list[float]] = {}
        self._cancelled: set[str] = set()
        self._settled_outside: set[str] = set()
        self._recorded: dict[str, str] = {}
        self._gone_s: dict[str, float] = {}
        self._versions: dict[str, int] = {}

    # What was said.

    def asked(self, method: str, url: URL, body: bytes | None) -> Iterator[str]:
        """A bulkhead sends a request: what is wrong with that."""
        if method != "POST" or url.raw_path not in ("/payments", "/refunds"):
            return
        name = "payment_id" if url.raw_path == "/payments" else "refund_id"
        subject = _decode(body or b"")[name]
        gone_s = self._gone_s.get(subject)
        if gone_s is not None and self._world.loop.time() - gone_s > SENT_LATE_MAX_S:
            yield f"{name} {subject} was sent, and nobody has asked for it since {gone_s:.3f} s"

    def heard(self, method: str, url: URL, body: bytes | None, answer: EmulatedResponse) -> None:
        """A partner's own answer has arrived at the process that asked."""
        said = _decode(answer.body)
        is_no = answer.status >= ERROR_FROM
        match method, url.raw_path.split("/")[1:]:
            case "GET", ["products"]:
                told = {each["sku"]: each["sellable"] for each in said["products"]}
                self._not_for_sale.update(sku for sku in url.query.getall("sku") if not told.get(sku))
            case "GET", ["customers", customer_id] if is_no or said["status"] != "active" or not said["addresses"]:
                self._not_welcome.add(customer_id)
            case "PUT", ["holds", order_id] if is_no or said["state"] == "released":
                self._holds_refused.add(order_id)
            case "POST", ["holds", order_id, "commit"] if is_no or said["state"] != "committed":
                self._commits_refused.setdefault(order_id, set()).add(_decode(body or b"")["revision"])
            case "POST", ["payments"] if is_no or said["status"] == "rejected":
                self._charges_refused.add(_decode(body or b"")["payment_id"])
            case "GET", ["payments", payment_id] if is_no:
                self._not_known_s.setdefault(payment_id, []).append(self._world.loop.time())
            case "GET", ["payments", payment_id] if said["status"] == "rejected":
                self._charges_refused.add(payment_id)
            case "POST", ["refunds"] if is_no or said["status"] == "rejected":
                self._refunds_refused.add(_decode(body or b"")["refund_id"])
            case "GET", ["refunds", refund_id] if not is_no and said["status"] == "rejected":
                self._refunds_refused.add(refund_id)

    def announced(self, kind: str, data: dict[str, Any]) -> None:
        """A partner says something by an event."""
        if kind == "PagoRechazado":
            self._charges_refused.add(data["payment_id"])

    def acknowledged(self, kind: str, data: dict[str, Any]) -> None:
        """An event of a partner is acknowledged: nothing older than a price or a customer that it tells of counts any more."""
        if kind == "ClienteActualizado" or (kind == "InventarioActualizado" and "unit_price" in data):
            subject = data["sku"] if "sku" in data else data["customer_id"]
            self._versions[subject] = max(data["version"], self._versions.get(subject, 0))

    def cancel_asked(self, order_id: str) -> None:
        """A client or staff ask for an order to be cancelled."""
        self._cancelled.add(order_id)

    def settled_outside(self, order_id: str) -> None:
        """Staff say that an order's stock was settled outside."""
        self._settled_outside.add(order_id)

    def recorded(self, subject: str, outcome: str) -> None:
        """Staff say what became of a payment or refund."""
        self._recorded[subject] = outcome

    # What was made of it.

    def outdated(self, order: Order, was: Order) -> Iterator[str]:
        """What an order was validated with and is older than an event that was acknowledged before."""
        if order.validated_at == was.validated_at or was.fetched_customer is None:
            return
        for each in versions_of(was.products, was.fetched_customer):
            if each.version < self._versions.get(each.key, 0):
                yield f"it was validated with version {each.version} of {each.key}, not {self._versions[each.key]}"

    def unfounded(self, order: Order, was: Order) -> Iterator[str]:
        """What one commit made of an order, from ``was``, by nobody's word."""
        if order.cancel_reason is not was.cancel_reason and not self._has_cause(order):
            yield f"it was cancelled as {order.cancel_reason}: {order.validation_errors}"
        sending = {step.subject for step in order.steps if step.kind in SENDING}
        for subject in {step.subject for step in was.steps if step.kind in SENDING} - sending:
            self._gone_s[subject] = self._world.loop.time()
        for subject in sending:
            self._gone_s.pop(subject, None)
        before = {payment.payment_id: payment for payment in was.payments}
        for payment in order.payments:
            yield from self._of_payment(payment, before.get(payment.payment_id))
        if in_flight(was) is not None:
            if len(order.payments) > len(was.payments):
                yield f"another payment began before the outcome of {in_flight(was)} was known"
            if _ordered(order) != _ordered(was):
                yield f"it was edited while {in_flight(was)} was in flight"
        if order.hold is not was.hold and not self._is_as_held(order):
            yield f"its stock counts as {order.hold}, ProductSvc says {self._held(order.id)}"

    def _has_cause(self, order: Order) -> bool:
        match order.cancel_reason:
            case CancelReason.VALIDATION_FAILED:
                return order.customer_id in self._not_welcome or any(
                    line.sku in self._not_for_sale for line in order.lines
                )
            case CancelReason.OUT_OF_STOCK:
                refused = self._commits_refused.get(order.id, ())
                return order.id in self._holds_refused or len(refused) >= COMMITS_REFUSED_MAX
            case CancelReason.CUSTOMER | CancelReason.STAFF:
                return order.id in self._cancelled
            case CancelReason.EXPIRED:
                return self._world.now() >= order.expires_at
        return False

    def _of_payment(self, payment: Payment, was: Payment | None) -> Iterator[str]:
        payment_id, recorded = payment.payment_id, self._recorded.get(payment.payment_id)
        status_was = PaymentStatus.PROCESSING if was is None else was.status
        book = self._world.partners.payments.payment(payment_id)
        status = "absent" if book is None else book.status
        if payment.status is PaymentStatus.REJECTED and status_was in IN_FLIGHT:
            if payment.code == NEVER_MADE:
                asked_s = self._not_known_s.get(payment_id, [0.0])
                is_so = asked_s[-1] - asked_s[0] >= self._settle_s
            else:
                is_so = payment_id in self._charges_refused and status in ("absent", "rejected")
            if not is_so and recorded != "rejected":
                yield f"payment {payment_id} counts as rejected ({payment.code}), PaymentSvc has it as {status}"
        if payment.status in TOOK_MONEY and status_was not in TOOK_MONEY and "confirmed" not in (status, recorded):
            yield f"payment {payment_id} counts as {payment.status}, PaymentSvc has it as {status}"
        before = {} if was is None else {refund.refund_id: refund for refund in was.refunds}
        for refund in payment.refunds:
            yield from self._of_refund(refund, before.get(refund.refund_id))

    def _of_refund(self, refund: Refund, was: Refund | None) -> Iterator[str]:
        if was is not None and was.status is refund.status:
            return
        recorded = self._recorded.get(refund.refund_id)
        book = self._world.partners.payments.refund(refund.refund_id)
        status = "absent" if book is None else book.status
        if refund.status is RefundStatus.REFUNDED and "refunded" not in (status, recorded):
            yield f"refund {refund.refund_id} counts as given back, PaymentSvc has it as {status}"
        if refund.status is RefundStatus.REJECTED and recorded != "rejected":
            is_refused = refund.refund_id in self._refunds_refused and status in ("absent", "rejected")
            if not is_refused:
                yield f"refund {refund.refund_id} counts as rejected, PaymentSvc has it as {status}"

    def _is_as_held(self, order: Order) -> bool:
        if order.hold not in (HoldState.COMMITTED, HoldState.RELEASED) or order.id in self._settled_outside:
            return True
        return self._held(order.id) == order.hold.value

    def _held(self, order_id: str) -> str | None:
        return next((hold["state"] for hold in self._world.partners.stock.holds(order_id)), None)


def _ordered(order: Order) -> tuple[list[tuple[str, int]], list[str]]:
    """What was ordered, and by which discounts."""
    return [(line.sku, line.quantity) for line in order.lines], [discount.code for discount in order.discounts]
