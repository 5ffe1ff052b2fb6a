"""A database that has seen years of business: many copies of one order that went through the real rules and the real store.

The copies are made by SQL, with their own ids, slices, numbers and times; their snapshots decode, with id, number and
customer put in place (all three have a fixed length). Event bodies are left out: what costs a query is their number.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
from msgspec.structs import replace

from actors.order.commit_of import commit_of
from benchmarks.partners import answer_at_once
from domain.calls import Call
from domain.commands import (
    Actor,
    ActorType,
    Body,
    CallAnswered,
    CreateOrder,
    Deliver,
    Lookups,
    Message,
    NewLine,
    Pay,
    Ship,
    Wake,
)
from domain.order import Order
from sagas.decide import decide
from sagas.decision import Decision, OrderRules
from storage.writes.commits import Commit
from storage.writes.order_store import OrderStore

CUSTOMER = "load-customer-1000000"
SKUS = ("load-sku-1", "load-sku-2", "load-sku-3")
NUMBER = "100000000"
EVENTS_STORED_MAX = 3
# How far an order got: nothing has answered it yet, or so many commands of its life are done.
BEGUN = -1
VALIDATED = 0
PREPARED = 1
DELIVERED = 3
ORDERS_A_CUSTOMER = 25
CHUNK_ORDERS = 50_000
LIFE: tuple[Body, ...] = (Pay("card", "tok_visa"), Ship(carrier="Correos", tracking_number="PQ4F6P"), Deliver())

# Whoever writes has a lease, and for that a row among the processes.
REGISTER = """
insert into processes (process, name, kind, cell, node, pid, release, state)
values (gen_random_uuid(), 'fill', 'fill', 'fill', '', 0, '', 'starting') returning process::text
"""
UNREGISTER = "delete from processes where process = $1"
COLUMNS = """
select column_name from information_schema.columns
where table_name = 'orders' and is_generated = 'NEVER' order by ordinal_position"""
OVERRIDES = {
    "id": "made.id",
    "slice": "(crc32(convert_to(made.id::text, 'UTF8')) & 1023)::smallint",
    "number": "case when o.number is null then null else made.number end",
    "customer_id": "made.customer_id",
    "created_at": "made.at",
    "updated_at": "made.at",
    "snapshot": "overlay(overlay(overlay(o.snapshot "
    "placing convert_to(made.id::text, 'UTF8') from position(convert_to(o.id::text, 'UTF8') in o.snapshot)) "
    "placing convert_to(made.customer_id, 'UTF8') from position(convert_to(o.customer_id, 'UTF8') in o.snapshot)) "
    "placing convert_to(coalesce(made.number, ''), 'UTF8') "
    "from greatest(1, position(convert_to(coalesce(o.number, '-'), 'UTF8') in o.snapshot)))",
}
MADE = """
made as materialized (
    select gen_random_uuid() as id, n, 'load-customer-' || (1000000 + n % $6) as customer_id,
        case when (select number from orders where id = $1) is null then null
            else 'ORD-' || (200000000 + n)::text end as number,
        clock_timestamp() - make_interval(secs => n * 30) as at
    from generate_series($2::bigint, $3::bigint) n
)"""


def order_in(last: int, now: datetime) -> Order:
    """Take one order of three lines through its life up to the ``last``-th command of ``LIFE``, or to ``BEGUN``."""
    order_id = str(uuid4())
    create = CreateOrder(
        order_id=order_id, customer_id=CUSTOMER, currency="EUR", lines=tuple(NewLine(sku, 2) for sku in SKUS)
    )
    order: Order | None = None
    for turn, body in enumerate((create, *LIFE[: max(last, 0)])):
        message = Message(
            id=f"command-{turn}", body=body, actor=Actor(ActorType.STAFF, "bench"), lookups=Lookups(number=1)
        )
        waiting: list[Message] = [message]
        while waiting:
            decision = decide(order, replace(waiting.pop(0), lookups=Lookups(number=int(NUMBER))), now, OrderRules())
            order = decision.order or order
            if last != BEGUN:
                waiting += [_answered(call) for call in decision.calls]
    if order is None:
        raise AssertionError("no order came of it")
    return order


def _answered(call: Call) -> Message:
    body = CallAnswered(call.key, call.attempt, answer_at_once(call))
    return Message(id=f"{call.key}:{call.attempt}", body=body, actor=Actor(ActorType.PARTNER, "instant"))


async def fill(dsn: str, orders: int, *, last: int, at: datetime | None = None) -> None:
    """Store ``orders`` orders that got as far as ``last`` says at the time ``at`` (now). The schema must be there."""
    template = await store_template(dsn, last, at)
    connection = await asyncpg.connect(dsn)
    try:
        columns = [row["column_name"] for row in await connection.fetch(COLUMNS)]
        chosen = ", ".join(OVERRIDES.get(name, f"o.{name}") for name in columns)
        copy = f"""
with {MADE}, kept as (
    insert into orders ({", ".join(columns)}) select {chosen} from orders o cross join made where o.id = $1
), sold as (
    insert into order_skus (sku, created_at, order_id)
    select sku, made.at, made.id from made, unnest($4::text[]) sku
)
insert into order_events (order_id, at, seq, version, type, actor_type, actor_id, body)
select made.id, made.at, seq, seq, 'PedidoActualizado', 'saga', 'fill', '\\x7b7d' from made,
    generate_series(1, (select least($5, event_seq) from orders where id = $1)) seq
"""  # noqa: S608  names of columns only
        customers = max(1, orders // ORDERS_A_CUSTOMER)
        for first in range(0, orders, CHUNK_ORDERS):
            until = min(first + CHUNK_ORDERS, orders) - 1
            await connection.execute(copy, template.id, first, until, list(SKUS), EVENTS_STORED_MAX, customers)
        await connection.execute("delete from unpublished_events")
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


async def store_template(dsn: str, last: int, at: datetime | None = None) -> Order:
    """Store the one order that others are copied from, which got as far as ``last`` says at the time ``at`` (now)."""
    template = order_in(last, at or datetime.now(UTC))
    store = await OrderStore.open(dsn, application_name="fill")
    try:
        process = await store.database.fetchval(REGISTER)
        await store.flush(process, await store.renew(process), [_commit(template)])
        await store.database.fetch(UNREGISTER, process)
    finally:
        await store.close()
    return template


def _commit(order: Order) -> Commit:
    message = Message(id="fill", body=Wake(), actor=Actor(ActorType.TIMER, "fill"))
    return commit_of(None, message, Decision(order=order))[0]
