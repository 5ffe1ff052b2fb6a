"""L2, L3 and L4: money and stock, by the partners' own books.

The books are the authority on what was taken and held; our tables have to agree with them, not the other way round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.faults.evidence import Evidence
from tests.faults.laws import Violation

TAKING = frozenset(("held", "committed"))
HAS_ITS_GOODS = frozenset(("prepared", "shipped", "delivered"))


@dataclass(slots=True)
class Account:
    """One order's money at the partner, by currency, and how often it was taken."""

    taken: Counter[str] = field(default_factory=Counter)
    given_back: Counter[str] = field(default_factory=Counter)

    def kept(self) -> dict[str, int]:
        """What the partner took and did not give back, where that is not nothing."""
        return {currency: kept for currency in self.taken if (kept := self.taken[currency] - self.given_back[currency])}


def accounts(evidence: Evidence) -> dict[str, Account]:
    """Each order's account, from the partner's book."""
    found: dict[str, Account] = {}
    owner: dict[str, str] = {}
    for charge in evidence.ledger.charges:
        owner[charge["payment_id"]] = charge["order_id"]
        if charge["status"] == "confirmed":
            money = charge["amount"]
            found.setdefault(charge["order_id"], Account()).taken[money["currency"]] += money["amount"]
    for refund in evidence.ledger.refunds:
        if refund["status"] == "refunded":
            account = found.setdefault(owner[refund["payment_id"]], Account())
            account.given_back[refund["currency"]] += refund["amount"]
    return found


def charged_once(evidence: Evidence) -> Iterator[Violation]:
    """L2: one charge a payment; what is kept never exceeds the total at rest, equals it at delivery, and is what we say."""
    books = accounts(evidence)
    for charge in evidence.ledger.charges:
        document = evidence.documents.get(charge["order_id"])
        if document is not None and charge["payment_id"] not in {
            payment["payment_id"] for payment in document["payments"]
        }:
            yield Violation(
                "L2", charge["order_id"], f"the partner charged {charge['payment_id']}, which the order does not know"
            )
    for order_id, document in evidence.documents.items():
        yield from _agree(order_id, document, books.get(order_id, Account()), evidence)
    entered = Counter((row["order_id"], row["payment_id"]) for row in evidence.transactions if row["type"] == "charge")
    for (order_id, payment_id), times in entered.items():
        if times > 1:
            yield Violation("L2", order_id, f"payment {payment_id} is entered {times} times in our ledger")
    yield from _entries_add_up(evidence)


def _entries_add_up(evidence: Evidence) -> Iterator[Violation]:
    """Our ledger has every charge and refund that the orders count, and no other."""
    sums: dict[str, Counter[str]] = {}
    for row in evidence.transactions:
        sums.setdefault(row["order_id"], Counter())[row["type"]] += row["amount"]
    for order_id, document in evidence.documents.items():
        entered = sums.get(order_id, Counter())
        counted = document["totals"]["paid"], document["totals"]["refunded"]
        if counted != (entered["charge"], entered["refund"]):
            yield Violation("L2", order_id, f"it counts {counted} as paid and refunded, our ledger has {dict(entered)}")
    for order_id in sums.keys() - evidence.orders.keys():
        yield Violation("L2", order_id, "our ledger has entries for an order that does not exist")


def _agree(order_id: str, document: dict[str, Any], account: Account, evidence: Evidence) -> Iterator[Violation]:
    currency, totals = document["currency"], document["totals"]
    kept = account.kept().get(currency, 0)
    if order_id not in evidence.restless:
        if kept > totals["total"]:
            yield Violation("L2", order_id, f"the partner keeps {kept} of an order of {totals['total']}")
        if (totals["paid"], totals["refunded"]) != (account.taken[currency], account.given_back[currency]):
            said = f"we say {totals['paid']} was paid and {totals['refunded']} refunded"
            yield Violation(
                "L2", order_id, f"{said}, the partner {account.taken[currency]} and {account.given_back[currency]}"
            )
        if foreign := {name: amount for name, amount in account.kept().items() if name != currency}:
            yield Violation("L2", order_id, f"the partner keeps money of another currency: {foreign}")
    if document["status"] == "delivered" and kept != totals["total"]:
        yield Violation("L2", order_id, f"delivered for {totals['total']}, and {kept} is what was paid")


def cancelled_holds_nothing(evidence: Evidence) -> Iterator[Violation]:
    """L3: a cancelled order holds no money and no stock, late successes included; so is one of which we know nothing."""
    books = accounts(evidence)
    holds = {hold["order_id"]: hold for hold in evidence.ledger.holds}
    for order_id, document in evidence.documents.items():
        if document["status"] != "cancelled" or order_id in evidence.restless:
            continue
        if (account := books.get(order_id)) is not None and account.kept():
            yield Violation("L3", order_id, f"it is cancelled, and the partner keeps {account.kept()}")
        if (hold := holds.get(order_id)) is not None and hold["state"] in TAKING:
            yield Violation("L3", order_id, f"it is cancelled, and its stock is still {hold['state']}")
    for order_id in (books.keys() | holds.keys()) - evidence.orders.keys():
        yield Violation("L3", order_id, "a partner has money or stock for an order that does not exist")


def never_oversold(evidence: Evidence) -> Iterator[Violation]:
    """L4: what we promise is held in full, and what is held is there."""
    for sku, count in evidence.ledger.stock.items():
        if count["available"] < 0:
            yield Violation("L4", None, f"{-count['available']} more of {sku} are promised than there are")
    holds = {hold["order_id"]: hold for hold in evidence.ledger.holds}
    for order_id, document in evidence.documents.items():
        if document["status"] not in HAS_ITS_GOODS:
            continue
        promised: Counter[str] = Counter()
        for item in document["items"]:
            promised[item["sku"]] += item["quantity"]
        hold = holds.get(order_id)
        if hold is None or hold["state"] != "committed" or Counter(hold["lines"]) != promised:
            found = None if hold is None else (hold["state"], hold["lines"])
            yield Violation(
                "L4", order_id, f"it is {document['status']} with {dict(promised)}, and the partner holds {found}"
            )
