"""L9, L10 and L13: whether clients were told the truth, by the history alone and by what the orders have become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.faults.evidence import Evidence
from tests.faults.history import Outcome, Told
from tests.faults.laws import Violation

# What an order may be at rest of which one of these was done.
ENDS_AS = {
    "cancel": {"cancelling", "cancelled"},
    "deliver": {"delivered"},
    "ship": {"prepared", "shipped", "delivered"},
}
EDITS = frozenset(("add", "quantity", "remove"))
# Rejections that are not PaymentSvc's word: what comes after them is late money (docs/contract.md, "Payments").
NOT_A_WORD = frozenset(("never_made", "settled_outside"))


def keys_act_once(evidence: Evidence) -> Iterator[Violation]:
    """L9: a key changes something at most once and answers the same ever after; with other content it is refused."""
    for (_, path, key), tries in evidence.history.by_key().items():
        done = [told for told in tries if told.outcome is Outcome.DONE]
        if not done:
            continue
        first = min(done, key=lambda told: told.told_s)
        for later in done:
            if later.versions.keys() != first.versions.keys() or later.payments.keys() != first.payments.keys():
                yield Violation("L9", first.order_id, f"{path} key {key} made something else the second time")
            elif not first.wish.waits and (later.status, later.digest) != (first.status, first.digest):
                yield Violation("L9", first.order_id, f"{path} key {key} was answered differently the second time")
        for refused in (told for told in tries if told.outcome is Outcome.REFUSED and told.asked_s > first.told_s):
            yield Violation("L9", first.order_id, f"done before, and then refused: {refused}")
    for told in evidence.history.told:
        if told.is_reuse and told.outcome in (Outcome.DONE, Outcome.REFUSED) and told.code != "idempotency_key_reused":
            yield Violation("L9", told.order_id, f"a key was used for something else: {told}")
    yield from _effects(evidence)


def _effects(evidence: Evidence) -> Iterator[Violation]:
    """Each order's lines are exactly what its wishes that were done make of them."""
    lines: dict[str, dict[str, int]] = {}
    uncertain: set[str] = set()
    for (_, _path, _key), tries in evidence.history.wishes():
        wish, order_id = tries[0].wish, next((told.order_id for told in tries if told.order_id), None)
        if order_id is None or wish.action not in EDITS | {"create"}:
            continue
        outcomes = {told.outcome for told in tries}
        if Outcome.DONE in outcomes:
            _apply(lines.setdefault(order_id, {}), wish.action, wish.lines)
        elif Outcome.UNKNOWN in outcomes and Outcome.REFUSED not in outcomes:
            uncertain.add(order_id)
    for order_id, expected in lines.items():
        document = evidence.documents.get(order_id)
        if document is None or order_id in uncertain:
            continue
        found: dict[str, int] = {}
        for item in document["items"]:
            found[item["sku"]] = found.get(item["sku"], 0) + item["quantity"]
        if found != expected:
            yield Violation("L9", order_id, f"its lines should be {expected} by what was told, and are {found}")


def _apply(lines: dict[str, int], action: str, of: Mapping[str, int]) -> None:
    for sku, quantity in of.items():
        if action == "remove":
            lines.pop(sku, None)
        elif action == "quantity":
            lines[sku] = quantity
        else:
            lines[sku] = lines.get(sku, 0) + quantity


def reads_see_what_was_told(evidence: Evidence) -> Iterator[Violation]:
    """L10: whatever was answered is seen by every reading, and by every command, that was asked for later."""
    for order_id in evidence.orders.keys() - evidence.documents.keys():
        yield Violation("L10", order_id, "it is in the tables at rest, and the API does not show it")
    known = _Known()
    for told in sorted(evidence.history.told, key=lambda told: told.told_s):
        known.add(told)
    for told in evidence.history.told:
        if told.outcome is not Outcome.DONE:
            continue
        yield from _stands(told, evidence)
        if told.is_replayed and not told.wish.is_reading:
            continue  # a repeat is answered as the first time, however long ago that was
        for order_id, version in told.versions.items():
            least = known.before(order_id, told.asked_s)
            if version < least:
                yield Violation("L10", order_id, f"version {version} was shown after {least} was told: {told}")
        if told.wish.action == "list" and told.customer_id is not None:
            for missing in known.created_before(told.customer_id, told.asked_s) - told.versions.keys():
                yield Violation("L10", missing, f"its creation was answered before, and it is not in the list: {told}")
        if told.wish.action == "create" and told.key is not None:
            document = evidence.documents.get(told.order_id or "")
            if document is not None and document["metadata"].get("ref") != told.key:
                yield Violation("L10", told.order_id, f"it is not what was created: {told}")


def _stands(told: Told, evidence: Evidence) -> Iterator[Violation]:
    """What an answer shows was committed, and what it says was done is still so at rest."""
    for order_id, version in told.versions.items():
        changes = evidence.changes.get(order_id, [])
        statuses = [change.status for change in changes if change.version == version]
        if not statuses:
            yield Violation("L10", order_id, f"version {version} was told, and was never committed: {told}")
        elif told.order_status is not None and told.order_status not in statuses:
            yield Violation(
                "L10", order_id, f"it was told as {told.order_status}, version {version} was {statuses[0]}: {told}"
            )
    document = evidence.documents.get(told.order_id or "")
    if document is None:
        return
    for payment_id in told.payments.keys() - {payment["payment_id"] for payment in document["payments"]}:
        yield Violation("L10", told.order_id, f"payment {payment_id} was told, and the order has not got it: {told}")
    if document["status"] not in ENDS_AS.get(told.wish.action, {document["status"]}):
        yield Violation("L10", told.order_id, f"it was told so, and the order is {document['status']}: {told}")


class _Known:
    """What had been told of orders by a time: their versions, and that they exist."""

    def __init__(self) -> None:
        self._versions: dict[str, list[tuple[float, int]]] = {}
        self._created: dict[str, list[tuple[float, str]]] = {}

    def add(self, told: Told) -> None:
        """Take in an answer; they come in the order of their times."""
        if told.outcome is not Outcome.DONE:
            return
        for order_id, version in told.versions.items():
            timed = self._versions.setdefault(order_id, [])
            if not timed or version > timed[-1][1]:
                timed.append((told.told_s, version))
        if told.wish.action == "create" and told.customer_id is not None and told.order_id is not None:
            self._created.setdefault(told.customer_id, []).append((told.told_s, told.order_id))

    def before(self, order_id: str, at_s: float) -> int:
        """The highest version that was told before."""
        return max((version for told_s, version in self._versions.get(order_id, ()) if told_s < at_s), default=0)

    def created_before(self, customer_id: str, at_s: float) -> set[str]:
        """The customer's orders of which somebody was told before."""
        return {order_id for told_s, order_id in self._created.get(customer_id, ()) if told_s < at_s}


def unknown_is_not_told_as_known(evidence: Evidence) -> Iterator[Violation]:
    """L13: nobody is told success or failure of what is not known, and "not now" means that nothing happened."""
    charges = {charge["payment_id"]: charge for charge in evidence.ledger.charges}
    for told in evidence.history.told:
        if told.status == 500:
            yield Violation("L13", told.order_id, f"an error that nobody foresaw: {told}")
        for payment_id, (status, amount, code) in told.payments.items():
            charge = charges.get(payment_id)
            if status == "confirmed" and (charge is None or charge["status"] != "confirmed"):
                yield Violation(
                    "L13", told.order_id, f"payment {payment_id} was told as confirmed, and the partner took nothing"
                )
            elif status == "confirmed" and charge is not None and charge["amount"]["amount"] != amount:
                yield Violation(
                    "L13",
                    told.order_id,
                    f"payment {payment_id} was told as {amount}, the partner took {charge['amount']}",
                )
            elif (
                status == "rejected"
                and code not in NOT_A_WORD
                and charge is not None
                and charge["status"] == "confirmed"
            ):
                yield Violation(
                    "L13", told.order_id, f"payment {payment_id} was told as rejected, and the partner took the money"
                )
    existing = {document["metadata"].get("ref") for document in evidence.documents.values()}
    for (_, _path, key), tries in evidence.history.wishes():
        is_for_sure = all(told.outcome in (Outcome.NOT_NOW, Outcome.REFUSED) for told in tries)
        if tries[0].wish.action == "create" and is_for_sure and key in existing:
            yield Violation("L13", None, f"it was told that nothing happened, and an order exists: {tries[-1]}")
