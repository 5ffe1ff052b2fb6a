"""Tables as they are after years, or after a night without a broker: nearly all orders closed, and a backlog of events beside them.

Made by SQL alone, in seconds for some hundred thousand rows and in minutes for ten million; nothing in it decodes.
"""

from __future__ import annotations

import asyncpg

SECONDS_BETWEEN_ORDERS = 0.25
OPEN_ORDERS = 1_000
PER_OTHER = 100  # rows of what is rarer than orders: products, customers, answers

INDEXES = """
select indexname, indexdef from pg_indexes i where schemaname = 'public' and tablename in ('orders', 'unpublished_events', 'inbox')
    and not exists (select from pg_constraint c where c.conname = i.indexname)
"""
# An order every so often back from now. The first are open: some are due, some have a check that their deadline left behind, some
# wait for a partner. All others are closed, one in fifty cancelled.
ORDERS = """
insert into orders (id, created_at, updated_at, deadline, check_at, total, paid, refunded, validated_at, paid_at, confirmed_at,
    prepared_at, shipped_at, delivered_at, cancelled_at, version, event_seq, slice, schema_number, attempts, rejected,
    needs_attention, is_open, is_running, currency, status, payment_status, fulfillment_status, customer_id, cancel_reason, number,
    skus, snapshot)
select ('00000000-0000-8000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, at, at,
    case when is_open then case n % 4 when 0 then past else coming end end,
    case when is_open then case when n % 4 < 2 then past else coming end end,
    1000 + n % 9000, 1000, 0, at, at, at, at, at,
    case when not is_open and n % 50 > 0 then least(at + interval '20 minutes', now()) end,
    case when not is_open and n % 50 = 0 then least(at + interval '10 minutes', now()) end,
    9, 9, (hashint8(n) & 1023)::smallint, 1, 1, 0, false, is_open, is_open and n % 10 = 0, 'EUR',
    case when is_open then 'validated' when n % 50 = 0 then 'cancelled' else 'delivered' end,
    'paid', case when is_open then 'unfulfilled' else 'delivered' end, 'c-' || n % 10000,
    case when not is_open and n % 50 = 0 then 'customer' end, 'ORD-' || lpad(n::text, 9, '0'), '{sku-1}', 'x'
from (
    select n, n < $1 as is_open, clock_timestamp() - make_interval(secs => n * $2::float8) as at,
        now() - interval '1 minute' as past, now() + make_interval(secs => 60 + n % 1800) as coming
    from generate_series($3::bigint, $4::bigint) n
) made
"""
# One event of each order waits, older than any sweep asks for.
EVENTS = """
insert into order_events (order_id, at, seq, version, type, actor_type, actor_id, body)
select id, now() - interval '1 hour', 1, 1, 'PedidoCreado', 'client', 'c', 'x' from orders
"""
UNPUBLISHED = """
insert into unpublished_events (order_id, at, seq, slice) select id, now() - interval '1 hour', 1, slice from orders
"""
# The answer of each creation is kept; other messages of the last seven days are, and a few are due to be forgotten.
INBOX = """
insert into inbox (order_id, at, is_creation, message_id, fingerprint, reply)
select id, created_at, true, 'creation', 'f', 'x'::bytea from orders
union all
select id, created_at, false, 'later', 'f', 'x'::bytea from orders where created_at > now() - interval '7 days'
union all
select id, now() - interval '8 days', false, 'old', 'f', 'x'::bytea from orders where is_open
"""
OTHERS = (
    """insert into reference_versions (kind, key, version)
    select 'product', 'sku-' || n, 1 from generate_series(1, $1::integer) n""",
    """insert into answers (id, fingerprint, answer, at)
    select gen_random_uuid(), 'f', 'x'::bytea, now() - make_interval(mins => n) from generate_series(1, $1::integer) n""",
)
# Four shards, of which this one has a lease; the partitions are spread over them.
PROCESS, TOKEN = "00000000-0000-8000-9000-000000000000", "00000000-0000-8000-a000-000000000000"
OWNERS = (
    """insert into processes (process, name, kind, cell, node, release, host, port, pid, state)
    select ('00000000-0000-8000-9000-' || lpad(k::text, 12, '0'))::uuid, 'order-shard-' || k,
        'shard', 'main', 'n', '1', 'h', 1, 7, 'serving'
    from generate_series(0, 3) k""",
    """update partitions set process = ('00000000-0000-8000-9000-' || lpad((partition::integer % 4)::text, 12, '0'))::uuid""",
)


async def grow(sql: asyncpg.Connection[asyncpg.Record], orders: int, *, chunk_orders: int = 1_000_000) -> None:
    """Store so many orders, each with an unpublished event; the indexes are made afterwards, which is faster."""
    indexes = await sql.fetch(INDEXES)
    for row in indexes:
        await sql.execute(f"drop index {row['indexname']}")
    for first in range(0, orders, chunk_orders):
        last = min(first + chunk_orders, orders) - 1
        await sql.execute(ORDERS, OPEN_ORDERS, SECONDS_BETWEEN_ORDERS, first, last, timeout=600)
    for statement in (EVENTS, UNPUBLISHED, INBOX, *(row["indexdef"] for row in indexes)):
        await sql.execute(statement, timeout=600)
    for statement in OTHERS:
        await sql.execute(statement, orders // PER_OTHER)
    for statement in OWNERS:
        await sql.execute(statement)
    await sql.execute("insert into leases (process, token) values ($1, $2)", PROCESS, TOKEN)
    await sql.execute("vacuum analyze", timeout=600)
