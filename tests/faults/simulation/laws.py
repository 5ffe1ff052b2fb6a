"""The laws of the service (L1 to L14), checked as things happen and once everything has come to rest.

They look at what is stored, at the partners' own books, at what arrived on the broker, and at what clients were told; never
at what a process thinks. Each broken law is a line that begins with its name.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from yarl import URL

from domain.order import CancelReason, Order, Status
from domain.payments import TransactionType
from domain.totals_and_statuses import totals
from local.sandbox.records import PaymentRecord, RefundRecord
from messaging import topology
from partners.resilient_client import CIRCUIT_OPEN
from storage.writes.commits import Commit
from storage.writes.order_codec import decode_order
from tests.faults.simulation.database import Row
from tests.faults.simulation.words import Words
from tests.unit.sagas.invariants import LEGAL

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

WAITS_FOR_SOMEBODY = (Status.PREPARED, Status.SHIPPED)
COMMITS_A_SECOND_MAX = 20
CLIENTS_KEY = "key-"
_envelope = msgspec.json.Decoder(dict[str, Any])

WELL_SEEN_S = 3.0  # a statement may have been under way since before


class Laws:
    """What was seen of a run, and what was against a law."""

    def __init__(self, world: World, settle_s: float) -> None:
        """``settle_s``: after which time a payment that PaymentSvc does not know counts as never made."""
        self.broken: list[str] = []
        self.requests = 0
        self.words = Words(world, settle_s)
        self._world = world
        self._committed_s: dict[str, deque[float]] = {}
        self._hasty: set[str] = set()
        self._statuses: dict[str, str | None] = {}
        self._published: dict[str, int] = {}
        self._ids: dict[str, bytes] = {}
        self._told: dict[str, int] = {}

    def breaks(self, law: str, what: str) -> None:
        """Note that a law is broken."""
        self.broken.append(f"{law}: {what} ({self._world.loop.time():.3f} s)")

    # As it happens.

    def taken(self, process: str, former: str | None) -> None:
        """A shard takes partitions: not from one that it sees, and that is well."""
        taker, owner = self._world.process_of(process), self._world.process_of(former)
        if taker is None or owner is None or owner.process.is_dead or owner.process.is_stopped:
            return
        if self._world.is_superseded(owner):
            return
        if self._world.loop.time() - taker.seen_since_s(owner) > WELL_SEEN_S:
            self.breaks("L8", f"{process} took the partitions of {former}, which it sees")

    def committed(self, commit: Commit, before: Row | None, *, is_owner: bool) -> None:
        """One order was written."""
        order = commit.order
        if not is_owner:
            self.breaks("L8", f"{order.id} was written by an owner that was replaced")
        was = None if before is None else decode_order(before.snapshot, before.schema_number)
        if order == was:
            if commit.events or commit.ledger or commit.message_id is None:
                self.breaks("L6", f"{order.id} changed nothing and told of something")
            return
        if order.version != (0 if was is None else was.version) + 1:
            self.breaks("L6", f"{order.id} went to version {order.version}")
        self._check_events(commit)
        if was is None:
            return
        self._check_pace(commit)
        for what in self.words.outdated(order, was):
            self.breaks("versions", f"{order.id}: {what}")
        for what in self.words.unfounded(order, was):
            self.breaks("L14", f"{order.id}: {what}")
        expired = order.cancel_reason is CancelReason.EXPIRED and was.cancel_reason is None
        if expired and self._world.now() < was.expires_at:
            self.breaks("L11", f"{order.id} expired {was.expires_at - self._world.now()} early")
        for step in order.steps:
            former = next((each for each in was.steps if each.key == step.key), None)
            if former is None or former.state == "running" or step.state != "running":
                continue
            may_come_early = commit.message_id is not None or former.last_error == CIRCUIT_OPEN.detail
            if self._world.now() < former.next_try_at and not may_come_early:
                self.breaks("L11", f"{order.id} tried {step.key} {former.next_try_at - self._world.now()} early")

    def _check_pace(self, commit: Commit) -> None:
        """What an order does by itself it does with waits between, however partners answer (L12)."""
        is_clients = commit.message_id is not None and commit.message_id.startswith(CLIENTS_KEY)
        if is_clients or commit.order.id in self._hasty:
            return
        now_s = self._world.loop.time()
        committed_s = self._committed_s.setdefault(commit.order.id, deque(maxlen=COMMITS_A_SECOND_MAX + 1))
        committed_s.append(now_s)
        if len(committed_s) > COMMITS_A_SECOND_MAX and now_s - committed_s[0] < 1.0:
            committed_s.clear()
            self._hasty.add(commit.order.id)
            self.breaks("L12", f"{commit.order.id} committed more than {COMMITS_A_SECOND_MAX} times in a second")

    def _check_events(self, commit: Commit) -> None:
        order_id = commit.order.id
        for event in commit.events:
            data = _envelope.decode(event.body)["data"]
            status, previous = data["status"], data["previous_status"]
            if previous != self._statuses.get(order_id):
                self.breaks("L6", f"{order_id} came from {previous}, not from {self._statuses.get(order_id)}")
            if previous != status and (previous, status) not in LEGAL:
                self.breaks("L6", f"{order_id} went from {previous} to {status}")
            self._statuses[order_id] = status
        if commit.events and self._statuses[order_id] != commit.order.status.value:
            self.breaks("L6", f"{order_id} became {commit.order.status.value} without an event")

    def published(self, exchange: str, routing_key: str, message_id: str, body: bytes) -> None:
        """A message arrived on the broker: as committed, and each for the first time in its order."""
        envelope = _envelope.decode(body)
        order_id, sequence = str(envelope["subject"]), int(envelope["sequence"])
        if message_id != envelope["id"] or routing_key != envelope["type"]:
            self.breaks("L7", f"{message_id} was sent as something else")
        tables = self._world.database.tables
        stored = [e for (owner, _), e in tables.events.items() if owner == order_id]
        bodies = [e.body if exchange == topology.EVENTS else e.notice for e in stored]
        if body not in bodies:
            self.breaks("L7", f"{message_id} of {order_id} was never committed")
        source = str(envelope["source"])
        highest = self._published.get(source, 0)
        if sequence > highest + 1:
            self.breaks("L7", f"{source} {sequence} arrived before {highest + 1}")
        self._published[source] = max(highest, sequence)
        if self._ids.setdefault(message_id, body) != body:
            self.breaks("L7", f"{message_id} came again with other content")

    def asked(self, method: str, url: URL, body: bytes | None) -> None:
        """A process sends a request to a partner."""
        self.requests += 1
        for what in self.words.asked(method, url, body):
            self.breaks("L14", what)

    def acknowledged(self, body: bytes) -> None:
        """A partner's event is acknowledged."""
        event = _envelope.decode(body)
        self.words.acknowledged(str(event["type"]), event["data"])

    def told(self, order_id: str, version: int) -> None:
        """A client was told of a version: it is stored, and every later read shows it or more."""
        row = self._world.database.tables.rows.get(order_id)
        if row is None or row.version < version:
            self.breaks("L10", f"version {version} of {order_id} was told and is not there")
        self._told[order_id] = max(version, self._told.get(order_id, 0))

    # At rest.

    def orders(self) -> dict[str, Order]:
        """Every order as it is stored."""
        rows = self._world.database.tables.rows
        return {order_id: decode_order(row.snapshot, row.schema_number) for order_id, row in rows.items()}

    def check_at_rest(self) -> None:
        """Everything has been given time: what must hold now, holds."""
        orders = self.orders()
        for order_id in self._told:
            if order_id not in orders:
                self.breaks("L1", f"{order_id} was told of and does not exist")
        for order_id, order in orders.items():
            self._check_rest(order_id, order)
            self._check_money(order)
            self._check_stock(order)
        self._check_totals()
        self._check_published()
        for body, reason in self._world.inbox.dead:
            self.breaks("L5", f"a partner's event was set aside: {reason} {body!r}")
        for refused in self._world.partners.payments.conflicts:
            self.breaks("L2", f"{refused} was asked for again with other content")

    def _check_rest(self, order_id: str, order: Order) -> None:
        row = self._world.database.tables.rows[order_id]
        if row.set_aside is not None:
            self.breaks("L5", f"{order_id} is set aside: {row.set_aside}")
        if order.is_closed:
            return
        if order.status not in WAITS_FOR_SOMEBODY or order.steps:
            keys = [(step.key, step.state.value, step.attempts, step.last_error) for step in order.steps]
            attention = [note.reason for note in order.attention]
            self.breaks("L5", f"{order_id} stands still: {order.status.value} {keys} {attention}")

    def _check_money(self, order: Order) -> None:
        """The order's ledger says what PaymentSvc's books say."""
        books = self._world.partners.payments
        charges, refunds = {}, {}
        for record in books.records():
            if isinstance(record, PaymentRecord):
                if record.order_id == order.id and record.status == "confirmed":
                    charges[record.payment_id] = record.amount
            elif isinstance(record, RefundRecord) and record.status == "refunded":
                payment = books.payment(record.payment_id)
                if payment is not None and payment.order_id == order.id:
                    refunds[record.refund_id] = record.amount
        entered = {e.payment_id: e.amount for e in order.ledger if e.type is TransactionType.CHARGE}
        given_back = {e.refund_id: e.amount for e in order.ledger if e.type is TransactionType.REFUND}
        if entered != charges:
            self.breaks("L2", f"{order.id} has {entered}, PaymentSvc took {charges}")
        if given_back != refunds:
            self.breaks("L2", f"{order.id} has given back {given_back}, PaymentSvc {refunds}")
        kept = sum(charges.values()) - sum(refunds.values())
        sums = totals(order)
        if order.status is Status.CANCELLED and kept:
            self.breaks("L3", f"{order.id} is cancelled and holds {kept}")
        if order.status is not Status.CANCELLED and kept != sums.total:
            self.breaks("L2", f"{order.id} is {order.status.value}, costs {sums.total} and holds {kept}")

    def _check_stock(self, order: Order) -> None:
        holds = self._world.partners.stock.holds(order.id)
        taken = {
            sku: quantity
            for hold in holds
            if hold["state"] in ("held", "committed")
            for sku, quantity in hold["lines"].items()
        }
        if order.status is Status.CANCELLED and taken:
            self.breaks("L3", f"{order.id} is cancelled and has {taken}")
        wanted = {line.sku: line.quantity for line in order.lines}
        if order.status is not Status.CANCELLED and taken != wanted:
            self.breaks("L4", f"{order.id} is {order.status.value} with {taken} of {wanted}")

    def _check_totals(self) -> None:
        for sku, counts in self._world.partners.stock.totals().items():
            if counts["available"] < 0:
                self.breaks("L4", f"{sku} is oversold: {counts}")
        tables = self._world.database.tables
        using = {
            (discount.code, order.id)
            for order in self.orders().values()
            if order.status is not Status.CANCELLED
            for discount in order.discounts
        }
        if using != set(tables.uses):
            self.breaks("L3", f"promotion uses are {sorted(tables.uses)}, should be {sorted(using)}")
        for code, promotion in tables.promotion.items():
            used = sum(1 for each, _ in tables.uses if each == code)
            if promotion.max_uses is not None and used > promotion.max_uses:
                self.breaks("L4", f"{code} is used {used} times")

    def _check_published(self) -> None:
        tables = self._world.database.tables
        for (order_id, sequence), event in tables.events.items():
            for body in (event.body, event.notice):
                if body is not None and _envelope.decode(body)["id"] not in self._ids:
                    self.breaks("L7", f"event {sequence} of {order_id} never arrived")
        if tables.unpublished_since:
            self.breaks("L7", f"{sorted(tables.unpublished_since)} count as unpublished")
        for order_id, row in tables.rows.items():
            order = decode_order(row.snapshot, row.schema_number)
            if order.event_seq != sum(1 for owner, _ in tables.events if owner == order_id):
                self.breaks("L6", f"{order_id} says {order.event_seq} events")

    def overdue(self, older_than_s: float) -> list[tuple[str, datetime]]:
        """Orders whose deadline passed so long ago that somebody forgot them."""
        return self._world.database.tables.overdue(older_than_s, 100)
