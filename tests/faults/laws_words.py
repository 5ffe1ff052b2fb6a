"""L14: nothing is cancelled, rejected or settled but by the word of who decides it.

Who decides is looked up where it was decided: in the partners' books and in what they themselves refused, in what clients and staff
asked for, in the deadlines. A page from something in between is in none of these, so what was made of one has no cause here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.faults.evidence import Evidence, StoredEvent
from tests.faults.history import Outcome
from tests.faults.laws import Violation

CAUSES = {
    "validation_failed": frozenset(("list_products", "get_customer", "put_hold")),
    "out_of_stock": frozenset(("put_hold", "commit_hold")),
}
ASKED_BY = {"customer": frozenset(("cancel",)), "staff": frozenset(("cancel", "skip_to_compensation"))}
NEVER_MADE = "never_made"
EDITS = (["items"], ["discounts"])
# The service's clock lies a little behind the database's, never ahead.
CLOCKS_APART_S = 0.1


def decided_by_word(evidence: Evidence) -> Iterator[Violation]:
    """L14: every cancellation, rejection and settlement has its cause in what the one who decides it said."""
    for order_id, document in evidence.documents.items():
        yield from _cancelled(order_id, document, evidence)
        yield from _payments(order_id, document, evidence)
    yield from _told_as_rejected(evidence)
    yield from _one_at_a_time(evidence)
    yield from _rejections(evidence)
    yield from _entered_as_in_the_books(evidence)


def _cancelled(order_id: str, document: dict[str, Any], evidence: Evidence) -> Iterator[Violation]:
    reason = document["cancel_reason"]
    if reason in CAUSES:
        concerned = {order_id, document["customer"]["id"], *(item["sku"] for item in document["items"])}
        if not any(
            each["operation"] in CAUSES[reason] and each["subject"] in concerned for each in evidence.ledger.refusals
        ):
            yield Violation("L14", order_id, f"it was cancelled as {reason}, and no partner refused anything")
    elif reason in ASKED_BY:
        asked = (told for told in evidence.history.of_orders().get(order_id, ()) if told.outcome is not Outcome.REFUSED)
        if not any(told.wish.action in ASKED_BY[reason] for told in asked):
            yield Violation("L14", order_id, f"it was cancelled by {reason}, and nobody asked for that")


def _payments(order_id: str, document: dict[str, Any], evidence: Evidence) -> Iterator[Violation]:
    """What the order says of its payments and refunds at rest is what PaymentSvc, or staff, said of them."""
    if order_id in evidence.restless:
        return
    recorded = evidence.history.recorded()
    refused = {each["subject"] for each in evidence.ledger.refusals if each["operation"] in ("charge", "refund")}
    charges = {charge["payment_id"]: charge["status"] for charge in evidence.ledger.charges}
    refunds = {refund["refund_id"]: refund["status"] for refund in evidence.ledger.refunds}
    for payment in document["payments"]:
        payment_id, in_book = payment["payment_id"], charges.get(payment["payment_id"], "absent")
        if payment.get("status") == "rejected" and recorded.get(payment_id) != "rejected":
            may_be_absent = payment["code"] == NEVER_MADE or payment_id in refused
            if in_book != "rejected" and not (in_book == "absent" and may_be_absent):
                what = f"payment {payment_id} was rejected ({payment['code']}), PaymentSvc has it as {in_book}"
                yield Violation("L14", order_id, what)
        for refund in payment.get("refunds", ()):
            refund_id, in_book = refund["refund_id"], refunds.get(refund["refund_id"], "absent")
            if refund["status"] == "rejected" and in_book != "rejected" and refund_id not in refused | recorded.keys():
                yield Violation("L14", order_id, f"refund {refund_id} was rejected, PaymentSvc has it as {in_book}")


def _told_as_rejected(evidence: Evidence) -> Iterator[Violation]:
    """No client was ever told that PaymentSvc knows nothing of a payment that it had by then."""
    began_s = {charge["payment_id"]: charge["at_ms"] / 1000 for charge in evidence.ledger.charges if "at_ms" in charge}
    for told in evidence.history.told:
        for payment_id, (status, _, code) in told.payments.items():
            asked_at_s = told.asked_s + evidence.history.epoch_s
            if (status, code) == ("rejected", NEVER_MADE) and began_s.get(payment_id, asked_at_s) < asked_at_s:
                yield Violation("L14", told.order_id, f"payment {payment_id} was told as never made, PaymentSvc had it")


def _one_at_a_time(evidence: Evidence) -> Iterator[Violation]:
    """No charge reaches PaymentSvc, and no edit is taken, while the outcome of an earlier charge is not known to us."""
    by_order: dict[str, list[dict[str, Any]]] = {}
    for charge in evidence.ledger.charges:
        if "at_ms" in charge:
            by_order.setdefault(charge["order_id"], []).append(charge)
    for order_id, charges in by_order.items():
        events = evidence.events.get(order_id, [])
        known = _known(events)
        moments = [(_at(charge["at_ms"]), f"{charge['payment_id']} was charged") for charge in charges]
        moments += [(event.at, f"version {event.version} edited it") for event in events if _is_edit(event)]
        for at, what in moments:
            for charge in charges:
                if _at(charge["at_ms"]) < at and not _is_over(charge, at, known):
                    what_of = f"{what} while the outcome of {charge['payment_id']} was open"
                    yield Violation("L14", order_id, what_of)


def _is_edit(event: StoredEvent) -> bool:
    return event.type == "PedidoActualizado" and json.loads(event.body)["data"].get("changed", [""])[:1] in EDITS


def _is_over(charge: dict[str, Any], at: datetime, known: dict[str, datetime]) -> bool:
    """Whether we knew at that time that the charge had been decided."""
    if charge["status"] == "confirmed":
        is_as_asked = charge.get("asked", charge["amount"]) == charge["amount"]
        told_at = known.get(charge["payment_id"])
        return not is_as_asked or (told_at is not None and told_at <= at + timedelta(seconds=CLOCKS_APART_S))
    return bool(charge["status"] == "rejected")


def _known(events: list[StoredEvent]) -> dict[str, datetime]:
    """When the order told of each payment that it was received."""
    received = [(json.loads(event.body)["data"], event.at) for event in events if event.type == "PagoRecibido"]
    return {data["payment_id"]: at for data, at in received}


def _rejections(evidence: Evidence) -> Iterator[Violation]:
    """Each rejection that was told of has its own in PaymentSvc's books, among its refusals, or in what staff said."""
    found: Counter[str] = Counter()
    for charge in evidence.ledger.charges:
        found[charge["order_id"]] += charge["status"] == "rejected"
    for refusal in evidence.ledger.refusals:
        found[refusal["order_id"]] += refusal["operation"] == "charge"
    recorded = evidence.history.recorded()
    for order_id, events in evidence.events.items():
        told = [
            event for event in events if event.notice_body is not None and _rejection(event) not in ("", NEVER_MADE)
        ]
        of_order = evidence.documents.get(order_id, {}).get("payments", ())
        by_staff = sum(recorded.get(payment["payment_id"]) == "rejected" for payment in of_order)
        if len(told) > found[order_id] + by_staff:
            codes = [_rejection(event) for event in told]
            what = f"it told of rejections as {codes}, PaymentSvc and staff rejected {found[order_id] + by_staff}"
            yield Violation("L14", order_id, what)
        for event in events:
            if event.notice_body is not None and _rejection(event) == NEVER_MADE:
                yield from _never_made(order_id, event, events, evidence)


def _never_made(
    order_id: str, event: StoredEvent, events: list[StoredEvent], evidence: Evidence
) -> Iterator[Violation]:
    known = _known(events)
    for charge in evidence.ledger.charges:
        had_it = charge["order_id"] == order_id and "at_ms" in charge and _at(charge["at_ms"]) < event.at
        if had_it and not _is_over(charge, event.at, known):
            what = f"a payment counted as never made, PaymentSvc had {charge['payment_id']} as {charge['status']}"
            yield Violation("L14", order_id, what)


def _rejection(event: StoredEvent) -> str:
    """The code of the rejection that an event tells of; empty where it tells of none."""
    data = json.loads(event.notice_body or b"{}").get("data", {})
    return str(data["params"]["code"]) if data.get("template") == "payment_rejected" else ""


def _entered_as_in_the_books(evidence: Evidence) -> Iterator[Violation]:
    """Each charge and refund that is entered is the partner's, to the cent, and none of the partner's is missing."""
    orders = {charge["payment_id"]: charge["order_id"] for charge in evidence.ledger.charges}
    books: dict[tuple[str, str], tuple[str, int, str]] = {}
    for charge in evidence.ledger.charges:
        if charge["status"] == "confirmed":
            money = charge["amount"]
            books["charge", charge["payment_id"]] = charge["order_id"], money["amount"], money["currency"]
    for refund in evidence.ledger.refunds:
        if refund["status"] == "refunded":
            books["refund", refund["refund_id"]] = orders[refund["payment_id"]], refund["amount"], refund["currency"]
    entered = {
        (row["type"], row["refund_id"] if row["type"] == "refund" else row["payment_id"]): (
            row["order_id"],
            row["amount"],
            row["currency"],
        )
        for row in evidence.transactions
    }
    for name in sorted(books.keys() | entered.keys()):
        ours, theirs = entered.get(name), books.get(name)
        order_id = (ours or theirs or ("",))[0]
        if ours != theirs and order_id not in evidence.restless:
            yield Violation("L14", order_id, f"{name[0]} {name[1]} is entered as {ours}, the partner has {theirs}")


def _at(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
