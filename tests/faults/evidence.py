"""Everything the laws are checked against, as plain values: our tables, the partners' ledgers, what was heard, what was told.

It is gathered once, when the service is at rest. The laws read nothing else, so that the evidence of any other run, with other
clients or other partners, can be judged by them as well.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
import asyncpg

from tests.faults.asking import Asker, Request
from tests.faults.audit_trigger import Heard
from tests.faults.history import History, Wish

READ_AT_ONCE = 16
STATEMENT_LIMIT_S = 60.0

ORDERS = """
select id::text, version, event_seq, status, total, paid, refunded, needs_attention, is_open, is_running, deadline, customer_id,
    created_at, cancel_reason, number, set_aside from orders
"""
EVENTS = "select order_id::text, seq, version, type, at, body, notice from order_events order by order_id, seq"
CHANGES = (
    "select order_id::text, before, version, was, status, at, writer, writes_by, dedicated, owner, owner_process::text, owner_node,"
    " owner_pid from witness.changes order by n"
)
UNPUBLISHED = "select order_id::text, seq from unpublished_events"
TRANSACTIONS = "select order_id::text, type, payment_id::text, refund_id::text, amount, currency from transactions"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the events' table. ``id``, ``notice_id`` and ``notice_sequence`` are those of the envelopes."""

    order_id: str
    sequence: int
    version: int
    type: str
    at: datetime
    id: str
    body: bytes
    notice_body: bytes | None
    notice_id: str | None
    notice_sequence: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """A committed change of an order, as the database's trigger saw it. ``writes_by`` is the connection of its commit. ``owner``,
    ``owner_process`` (its id in ``processes``), ``owner_node`` and ``owner_pid`` tell which process owned the order's partition; None:
    nobody did.
    """

    order_id: str
    before: int
    version: int
    was: str | None
    status: str
    at: datetime
    writer: str
    writes_by: str
    dedicated: str | None
    owner: str | None
    owner_process: str | None
    owner_node: str | None
    owner_pid: int | None


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The partners' own books. ``charges``: ``{payment_id, order_id, status, amount{amount, currency}, refunded{}, asked{}, at_ms}``;
    ``refunds``: ``{refund_id, payment_id, amount, currency, status}``; ``holds``: ``{order_id, state, lines{sku: n}}``;
    ``stock``: sku -> ``{stock, available, held, committed}``; ``conflicts``: ids that came again with other content;
    ``refusals``: what they themselves refused, ``{operation, subject, order_id}``, where ``subject`` is the id of what was
    asked for: a sku, a customer, an order's hold, a payment, a refund.
    """

    charges: list[dict[str, Any]]
    refunds: list[dict[str, Any]]
    holds: list[dict[str, Any]]
    stock: dict[str, dict[str, int]]
    conflicts: list[str]
    refusals: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Bounds:
    """The highest figures that were seen: database connections, resident bytes of a process, messages in our inbox."""

    connections: int = 0
    connections_max: int = 95
    resident_bytes: int = 0
    resident_max_bytes: int = 1_000_000_000
    inbox_messages: int = 0
    inbox_max_messages: int = 20_000


@dataclass(slots=True, kw_only=True)
class Evidence:
    """All of it. ``orders`` are rows, ``documents`` what the API shows of them, both at rest. ``restless``: order id -> why it
    was not at rest at the limit. ``processes``: connection -> the pid of its process, where that is known. ``quiet_from``: the
    database's time from which on no fault was at work.
    """

    history: History
    heard: list[Heard]
    unreadable: list[bytes]
    ledger: Ledger
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, list[StoredEvent]] = field(default_factory=dict)
    changes: dict[str, list[Change]] = field(default_factory=dict)
    transactions: list[dict[str, Any]] = field(default_factory=list)
    unpublished: list[tuple[str, int]] = field(default_factory=list)
    restless: dict[str, str] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)
    bounds: Bounds = field(default_factory=Bounds)
    quiet_from: datetime | None = None

    def processes_of(self, change: Change) -> tuple[int, int] | None:
        """The pids of the process that wrote it and of the one that owned the order then; None where one is not known."""
        wrote, owned = self.processes.get(change.writes_by), change.owner_pid
        return None if wrote is None or owned is None else (wrote, owned)


async def read_tables(evidence: Evidence, database_url: str) -> None:
    """Read our tables into the evidence."""
    connection: Any = await asyncpg.connect(database_url, command_timeout=STATEMENT_LIMIT_S)
    try:
        evidence.orders = {row["id"]: dict(row) for row in await connection.fetch(ORDERS)}
        for row in await connection.fetch(EVENTS):
            evidence.events.setdefault(row["order_id"], []).append(_event(row))
        for row in await connection.fetch(CHANGES):
            evidence.changes.setdefault(row["order_id"], []).append(Change(*row))
        evidence.unpublished = [(row[0], row[1]) for row in await connection.fetch(UNPUBLISHED)]
        evidence.transactions = [dict(row) for row in await connection.fetch(TRANSACTIONS)]
    finally:
        await connection.close()


async def read_documents(evidence: Evidence, asker: Asker) -> None:
    """Ask the API for every order that is in the tables; the answers are a part of the history too."""
    waiting = list(evidence.orders)

    async def read() -> None:
        while waiting:
            order_id = waiting.pop()
            wish = Wish("show")
            answer = await asker.ask(
                Request(wish=wish, method="GET", path=f"/api/orders/{order_id}", order_id=order_id)
            )
            if answer.is_done:
                evidence.documents[order_id] = answer.document

    await asyncio.gather(*(read() for _ in range(READ_AT_ONCE)))


async def read_sandbox_ledger(session: aiohttp.ClientSession, sandbox_url: str) -> Ledger:
    """The books of the sandbox that plays the partners."""
    async with session.get(f"{sandbox_url}/sandbox/ledger") as answer:
        book = await answer.json()
    return Ledger(
        charges=book["charges"],
        refunds=book["refunds"],
        holds=book["holds"],
        stock=book["stock"],
        conflicts=book["conflicts"],
        refusals=book["refusals"],
    )


def _event(row: Any) -> StoredEvent:
    body = json.loads(row["body"])
    notice = json.loads(row["notice"]) if row["notice"] else None
    return StoredEvent(
        order_id=row["order_id"],
        sequence=row["seq"],
        version=row["version"],
        type=row["type"],
        at=row["at"],
        id=body["id"],
        body=bytes(row["body"]),
        notice_body=bytes(row["notice"]) if notice else None,
        notice_id=notice["id"] if notice else None,
        notice_sequence=int(notice["sequence"]) if notice else None,
    )
