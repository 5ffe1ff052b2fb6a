"""Reading back what a shard needs of its orders: states, remembered messages, what is due and what is not yet
published.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from domain.slices import DEDICATED, PARTITIONS, slices_of
from storage.errors import UndecodableSnapshot
from storage.postgres import Database, Record
from storage.unreadable import clamped_time, tell_unreadable
from storage.writes.commits import Loaded, StoredEvent
from storage.writes.order_codec import decode_order

LOAD = """
select o.id::text as id, o.snapshot, o.schema_number, o.dedicated_group, i.ids, i.fingerprints,
    exists (select from unpublished_events u where u.order_id = o.id) as has_unpublished
from orders o
left join lateral (
    select array_agg(message_id) as ids, array_agg(fingerprint) as fingerprints from inbox where order_id = o.id
) i on true
where o.id = any($1::uuid[])
"""
UNPUBLISHED = f"""
select e.order_id::text as order_id, e.seq, e.type, e.version, {clamped_time("e.at")} as at, e.actor_type, e.actor_id, e.body, e.notice
from unpublished_events u join order_events e on e.order_id = u.order_id and e.seq = u.seq
where u.order_id = any($1::uuid[]) order by u.order_id, u.seq
"""  # noqa: S608
# The oldest events of each of the slices, and of these the orders: it reads no more however many wait, its own or others'.
UNPUBLISHED_ORDERS = """
select order_id::text from (
    select oldest.order_id, min(oldest.at) as since
    from unnest($1::smallint[]) as own (slice), lateral (
        select order_id, at from unpublished_events u
        where u.slice = own.slice and u.at < statement_timestamp() - make_interval(secs => $2)
        order by u.at limit $4
    ) oldest
    group by oldest.order_id
) late order by since limit $3
"""
PUBLISHED = """
delete from unpublished_events where (order_id, seq) in (
    select u.order_id, u.seq from unpublished_events u join unnest($1::uuid[], $2::integer[]) as p (order_id, seq)
    on p.order_id = u.order_id and p.seq = u.seq order by u.order_id, u.seq for update of u skip locked)
"""
# The orders of partitions: those of slices, by their remainders ($1), and those that have a partition to themselves ($2).
OWN = f"(slice % {PARTITIONS} = any($1::integer[]) and dedicated_group is null or dedicated_group = any($2::text[]))"
REPLY = "select reply from inbox where order_id = $1 and message_id = $2"
# check_at is never later than the deadline. First it is put right where it has come although the deadline has not.
CORRECT = f"""
update orders set check_at = deadline where id in (
    select id from orders
    where check_at <= statement_timestamp() + make_interval(secs => $3)
        and (deadline is null or deadline > statement_timestamp() + make_interval(secs => $3))
        and {OWN}
    order by check_at, id limit $4 for no key update skip locked)
"""  # noqa: S608
DUE = f"""
select id::text, {clamped_time("deadline")} as deadline from orders
where check_at <= statement_timestamp() + make_interval(secs => $3)
    and deadline <= statement_timestamp() + make_interval(secs => $3)
    and {OWN} and set_aside is null
order by check_at, id limit $4
"""  # noqa: S608
RUNNING = f"""
select id::text, {clamped_time("check_at")} from orders
where check_at is not null and is_running
    and {OWN} and set_aside is null
    and (check_at, id) > ($3, $4::uuid)
order by check_at, id limit $5
"""  # noqa: S608
CORRECTED_AT_ONCE_MAX_ORDERS = 2000
SWEPT_AT_ONCE_MAX_EVENTS = 8192
BEFORE_ALL = (datetime(1970, 1, 1, tzinfo=UTC), "00000000-0000-0000-0000-000000000000")


class ShardReads:
    """Reads for shards. Every method raises ``StorageUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, order_ids: Sequence[str]) -> dict[str, Loaded]:
        """What is stored of the orders, by id; one that does not exist is absent."""
        rows = await self._database.fetch(LOAD, order_ids)
        waiting = [row["id"] for row in rows if row["has_unpublished"]]
        unpublished = await self.unpublished(waiting) if waiting else {}
        return {row["id"]: _loaded(row, unpublished.get(row["id"], ())) for row in rows}

    async def reply(self, order_id: str, message_id: str) -> bytes | None:
        """The remembered reply of a message, or None where it is not known or not kept any more."""
        remembered: bytes | None = await self._database.fetchval(REPLY, order_id, message_id)
        return remembered

    async def due(self, partitions: frozenset[str], ahead_s: float, limit: int) -> list[tuple[str, datetime]]:
        """Orders whose deadline has passed or comes within ``ahead_s`` seconds, with it; the most overdue come
        first.
        """
        own = _own(partitions)
        await self._database.fetch(CORRECT, *own, ahead_s, CORRECTED_AT_ONCE_MAX_ORDERS)
        return [(row[0], row[1]) for row in await self._database.fetch(DUE, *own, ahead_s, limit)]

    async def running(
        self, partitions: frozenset[str], after: tuple[datetime, str] | None, limit: int
    ) -> list[tuple[str, datetime]]:
        """A page of the orders that wait for a partner's answer, with the time that ``after`` takes for the next
        page.
        """
        rows = await self._database.fetch(RUNNING, *_own(partitions), *(after or BEFORE_ALL), limit)
        return [(row[0], row[1]) for row in rows]

    async def unpublished_orders(self, partitions: frozenset[str], older_than_s: float, limit: int) -> list[str]:
        """Orders that have had an unpublished event for longer than ``older_than_s`` seconds, the oldest first. Where many
        events wait they are those of the oldest ``SWEPT_AT_ONCE_MAX_EVENTS``, a like number of each slice.
        """
        slices = slices_of(partitions)
        of_each_slice = max(1, SWEPT_AT_ONCE_MAX_EVENTS // max(1, len(slices)))
        rows = await self._database.fetch(UNPUBLISHED_ORDERS, slices, older_than_s, limit, of_each_slice)
        return [row[0] for row in rows]

    async def unpublished(self, order_ids: Sequence[str]) -> dict[str, tuple[StoredEvent, ...]]:
        """The unpublished events of orders, by sequence; an order without any is absent."""
        found: dict[str, list[StoredEvent]] = {}
        for row in await self._database.fetch(UNPUBLISHED, order_ids):
            found.setdefault(row["order_id"], []).append(stored_event(row))
        return {order_id: tuple(events) for order_id, events in found.items()}

    async def mark_published(self, events: Sequence[tuple[str, int]]) -> None:
        """The broker has confirmed these (order id, sequence). One marked already is no error."""
        if events:
            await self._database.fetch(PUBLISHED, [order_id for order_id, _ in events], [seq for _, seq in events])


def _own(partitions: frozenset[str]) -> tuple[list[int], list[str]]:
    """Give the arguments of ``OWN``."""
    dedicated = [name for name in partitions if name.startswith(DEDICATED)]
    return [int(name) for name in partitions if not name.startswith(DEDICATED)], dedicated


def stored_event(row: Record) -> StoredEvent:
    """A row of ``order_events`` as a value."""
    return StoredEvent(
        sequence=row["seq"],
        type=row["type"],
        version=row["version"],
        at=row["at"],
        actor_type=row["actor_type"],
        actor_id=row["actor_id"],
        body=row["body"],
        notice=row["notice"],
    )


def _loaded(row: Record, unpublished: tuple[StoredEvent, ...]) -> Loaded:
    order = undecodable = None
    try:
        order = decode_order(row["snapshot"], row["schema_number"])
    except UndecodableSnapshot as error:
        undecodable = str(error)
        tell_unreadable("orders", row["id"], undecodable)
    return Loaded(
        order=order,
        undecodable=undecodable,
        dedicated_group=row["dedicated_group"],
        keys=dict(zip(row["ids"] or (), row["fingerprints"] or (), strict=True)),
        unpublished=unpublished,
    )
