"""The one statement that commits a batch: many orders of one shard, each as a whole or not at all, under its lease.

Its laws: the lease's row is locked ``for share where token = mine``, and without it nothing happens; each order is
locked in sorted order, at the version that was decided on; and everything else is inserted from the rows which that
changed, never beside it. An order that is judged by a product or a customer of which an event announced a newer version,
before the statement began, is left out. It knows neither promotions nor what to do when it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any
from uuid import UUID

from domain.order import Order, Status, StepState
from domain.payments import PaymentStatus
from domain.slices import slice_of
from storage.closed_order_counts import MARKED_AFTER_S
from storage.postgres import Connection
from storage.writes.commits import Commit
from storage.writes.order_codec import SCHEMA_NUMBER, encode_order

SKU_SEPARATOR = chr(31)
NOBODY = "00000000-0000-0000-0000-000000000000"
OPEN_TO_EDITS = (Status.CREATED, Status.VALIDATED)

_RUNNING = StepState.RUNNING
_REJECTED = PaymentStatus.REJECTED


def _skus(commit: Commit) -> str:
    return SKU_SEPARATOR.join(sorted({line.sku for line in commit.order.lines}))


def _is_running(order: Order) -> bool:
    return any(step.state is _RUNNING for step in order.steps)


# Column of orders, its type, and where it comes from: an attribute of the commit, or a function of it. The first two are asked for by
# the statement itself.
COLUMNS: tuple[tuple[str, str, str | Callable[[Commit], Any]], ...] = (
    ("id", "uuid", "order.id"),
    ("base_version", "integer", "base_version"),
    ("version", "integer", "order.version"),
    ("slice", "smallint", lambda c: slice_of(c.order.id)),
    ("schema_number", "smallint", lambda _: SCHEMA_NUMBER),
    ("created_at", "timestamptz", "order.created_at"),
    ("updated_at", "timestamptz", "order.updated_at"),
    ("deadline", "timestamptz", "deadline"),
    ("total", "bigint", "total"),
    ("paid", "bigint", "paid"),
    ("refunded", "bigint", "refunded"),
    ("validated_at", "timestamptz", "order.validated_at"),
    ("paid_at", "timestamptz", "order.paid_at"),
    ("confirmed_at", "timestamptz", "order.confirmed_at"),
    ("prepared_at", "timestamptz", "order.prepared_at"),
    ("shipped_at", "timestamptz", "order.shipped_at"),
    ("delivered_at", "timestamptz", "order.delivered_at"),
    ("cancelled_at", "timestamptz", "order.cancelled_at"),
    ("event_seq", "integer", "order.event_seq"),
    ("attempts", "smallint", lambda c: len(c.order.payments)),
    ("rejected", "smallint", lambda c: sum(p.status is _REJECTED for p in c.order.payments)),
    ("needs_attention", "boolean", lambda c: bool(c.order.attention)),
    ("is_open", "boolean", lambda c: not c.order.is_closed),
    ("is_running", "boolean", lambda c: _is_running(c.order)),
    ("currency", "text", "order.currency"),
    ("status", "text", "order.status"),
    ("payment_status", "text", "payment_status"),
    ("fulfillment_status", "text", "fulfillment_status"),
    ("customer_id", "text", "order.customer_id"),
    ("cancel_reason", "text", "order.cancel_reason"),
    ("number", "text", "order.number"),
    ("skus", "text", _skus),
    ("has_new_skus", "boolean", lambda c: c.base_version == 0 or c.order.status in OPEN_TO_EDITS),
    ("snapshot", "bytea", lambda c: encode_order(c.order)),
    ("message_id", "text", "message_id"),
    ("fingerprint", "text", "fingerprint"),
    ("reply", "bytea", "reply"),
)
NOT_STORED = {"base_version", "has_new_skus", "message_id", "fingerprint", "reply"}
FIXED = {"id", "slice", "created_at", "customer_id", "currency"}
EVENT_COLUMNS = "order_id, seq, version, at, type, actor_type, actor_id, body, notice"
LEDGER_COLUMNS = "order_id, transaction_id, payment_id, refund_id, amount, at, type, currency"
EVENT_TYPES = ("uuid", "integer", "integer", "timestamptz", "text", "text", "text", "bytea", "bytea")
VERSION_TYPES = ("uuid", "text", "text", "bigint")
LEDGER_TYPES = ("uuid", "uuid", "uuid", "uuid", "bigint", "timestamptz", "text", "text")


def _arrays(types: Sequence[str], first: int) -> str:
    return ", ".join(f"${first + i}::{name}[]" for i, name in enumerate(types))


def _value(column: str) -> str:
    return "string_to_array(g.skus, chr(31))" if column == "skus" else f"g.{column}"


def _statement() -> str:
    stored = [name for name, _, _ in COLUMNS if name not in NOT_STORED]
    updated = ", ".join(f"{name} = {_value(name)}" for name in stored if name not in FIXED)
    first_column = 3
    first_event = first_column + len(COLUMNS)
    first_entry = first_event + len(EVENT_TYPES)
    first_version = first_entry + len(LEDGER_TYPES)
    # Only names of this file go into the text; values are arguments.
    return f"""
with lease as materialized (
    select from leases where process = $1 and token = $2 for share
), outdated as materialized (
    select distinct u.order_id
    from unnest({_arrays(VERSION_TYPES, first_version)}) as u (order_id, kind, key, version)
    join reference_versions v on v.kind = u.kind and v.key = u.key and v.version > u.version
), given as materialized (
    select * from unnest({_arrays([kind for _, kind, _ in COLUMNS], first_column)})
        as g ({", ".join(name for name, _, _ in COLUMNS)})
    where exists (select from lease) and not exists (select from outdated o where o.order_id = g.id)
), locked as materialized (
    select g.* from given g cross join lateral (
        select from orders o
        where o.id = g.id and o.version = g.base_version
        for no key update
    ) own
), updated as (
    update orders o set {updated},
        set_aside = null,
        check_at = case
            when not g.is_open then null
            when o.check_at is null or g.deadline < o.check_at then g.deadline
            -- These have an index, so the row is entered anew in all of them, whatever check_at is.
            when (g.total, g.number) is distinct from (o.total, o.number) then g.deadline
            else o.check_at end
    from locked g where o.id = g.id
    returning o.id
), inserted as (
    insert into orders ({", ".join(stored)}, check_at)
    select {", ".join(_value(name) for name in stored)}, g.deadline from given g
    where g.base_version = 0 order by g.id
    on conflict (id) do nothing
    returning id
), changed as materialized (
    select id from updated union all select id from inserted
), written as materialized (
    select g.* from given g join changed c on c.id = g.id
), events as (
    insert into order_events ({EVENT_COLUMNS})
    select e.* from unnest({_arrays(EVENT_TYPES, first_event)}) as e ({EVENT_COLUMNS})
    where e.order_id in (select id from changed)
    returning order_id, seq, at
), outbox as (
    insert into unpublished_events (order_id, seq, at, slice)
    select e.order_id, e.seq, e.at, w.slice from events e join written w on w.id = e.order_id
), remembered as (
    insert into inbox (order_id, message_id, fingerprint, reply, at, is_creation)
    select id, message_id, fingerprint, reply, updated_at, base_version = 0 from written where message_id is not null
), entered as (
    insert into transactions ({LEDGER_COLUMNS})
    select t.* from unnest({_arrays(LEDGER_TYPES, first_entry)}) as t ({LEDGER_COLUMNS})
    where t.order_id in (select id from changed)
), sold as (
    insert into order_skus (sku, created_at, order_id)
    select s.sku, w.created_at, w.id from written w, unnest(string_to_array(w.skus, chr(31))) as s (sku)
    where w.has_new_skus
    on conflict do nothing
), stale as (
    insert into figures_stale (day)
    select distinct date_trunc('day', created_at, 'UTC') as day from written
    where not is_open and coalesce(delivered_at, cancelled_at, 'infinity') < clock_timestamp() - interval '{MARKED_AFTER_S} s'
    order by day
    on conflict (day) do update set day = excluded.day
)
select exists (select from lease), array(select id from changed), array(select order_id from outdated)
"""  # noqa: S608


FLUSH = _statement()


async def flush_once(
    connection: Connection, process: str, token: str, commits: Sequence[Commit]
) -> tuple[bool, frozenset[str], frozenset[str]]:
    """Run the statement: does the lease stand, which orders were committed, and which are outdated. Errors are the driver's."""
    ordered = sorted(commits, key=lambda each: each.order.id)
    events = [
        (c.order.id, e.sequence, e.version, e.at, e.type, e.actor_type, e.actor_id, e.body, e.notice)
        for c in ordered
        for e in c.events
    ]
    ledger = [
        (c.order.id, t.transaction_id, t.payment_id, t.refund_id, t.amount, t.at, t.type, t.currency)
        for c in ordered
        for t in c.ledger
    ]
    versions = [(c.order.id, v.kind.value, v.key, v.version) for c in ordered for v in c.reference_versions]
    row = await connection.fetchrow(
        FLUSH,
        process,
        token,
        *_columns(ordered),
        *turned(events, len(EVENT_TYPES)),
        *turned(ledger, len(LEDGER_TYPES)),
        *turned(versions, len(VERSION_TYPES)),
    )
    if row is None:
        raise AssertionError("a select without from gives one row")
    committed: list[UUID] = row[1]
    outdated: list[UUID] = row[2]
    return row[0], frozenset(map(str, committed)), frozenset(map(str, outdated))


async def warm_flush(connection: Connection) -> None:
    """Let a new connection parse and plan the statement, by a batch of no orders."""
    await flush_once(connection, NOBODY, NOBODY, ())


_read_attributes = attrgetter(*(source for *_, source in COLUMNS if isinstance(source, str)))


def _columns(commits: Sequence[Commit]) -> Iterator[Sequence[Any]]:
    """Give what goes into each of ``COLUMNS``: attributes are read all at once, which is most of them."""
    attributes = zip(*map(_read_attributes, commits), strict=True) if commits else repeat(())
    for *_, source in COLUMNS:
        yield next(attributes) if isinstance(source, str) else [source(commit) for commit in commits]


def turned(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    """Give the ``width`` columns of rows: what ``unnest`` makes rows of again."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
