"""What is seen of the service from outside while it runs: each change of an order in the database, each message on RabbitMQ.

A trigger writes down every change of `orders` within its own transaction: the versions, the statuses, the database's time, by
which name and connection it was written, and which process owned the order's partition then. A durable queue takes everything that
is said, and each event is looked for in the database the moment it is heard. Nothing of the service's code is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

import aio_pika
import aio_pika.abc
import asyncpg

QUEUE = "faults.witness"
PREFETCH_MESSAGES = 500
RECONNECT_S = 0.3
STATEMENT_LIMIT_S = 5.0

TAP = """
create schema if not exists witness;
create table if not exists witness.changes (
    n bigserial primary key, order_id uuid not null, before integer not null, version integer not null, was text, status text not null,
    at timestamptz not null default clock_timestamp(), writer text not null, writes_by text not null, dedicated text,
    owner text, owner_process uuid, owner_node text, owner_pid integer
);
create or replace function witness.note() returns trigger language plpgsql as $$
begin
    insert into witness.changes (order_id, before, version, was, status, writer, writes_by, dedicated,
        owner, owner_process, owner_node, owner_pid)
    select
        new.id,
        case when tg_op = 'INSERT' then 0 else old.version end,
        new.version,
        case when tg_op = 'INSERT' then null else old.status end,
        new.status,
        current_setting('application_name'),
        pg_backend_pid()::text || ':' || coalesce(inet_client_port(), 0)::text,
        new.dedicated_group,
        r.name, r.process, r.node, r.pid
    from (select coalesce(new.dedicated_group, (new.slice % 64)::text)) as o (partition)
    left join partitions p using (partition) left join processes r using (process);
    return new;
end $$;
create or replace trigger witness_created after insert on orders for each row execute function witness.note();
create or replace trigger witness_changed after update on orders for each row
    when (old.version is distinct from new.version or old.status is distinct from new.status) execute function witness.note();
"""
STORED = """
select e.order_id::text, e.seq, clock_timestamp() from order_events e
join unnest($1::uuid[], $2::integer[]) as h (order_id, seq) on h.order_id = e.order_id and h.seq = e.seq
"""


@dataclass(slots=True)
class Heard:
    """A message as it was heard. ``was_committed``: whether its event was in the database at that moment; None where the
    database could not be asked then. ``is_notice``: a request to NotificationSvc.
    """

    id: str
    source: str
    order_id: str
    sequence: int
    type: str
    is_notice: bool
    body: bytes
    redelivered: bool
    was_committed: bool | None = None


async def tap(database_url: str) -> None:
    """Have the database write down each change of an order from now on."""
    connection = await asyncpg.connect(database_url, timeout=STATEMENT_LIMIT_S)
    try:
        await connection.execute(TAP)
    finally:
        await connection.close()


class Listener:
    """Hears everything from its start to its stop, through restarts of the broker and of the database."""

    def __init__(self, amqp_url: str, database_url: str) -> None:
        self._amqp_url = amqp_url
        self._database_url = database_url
        self._unasked: asyncio.Queue[Heard] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self.heard: list[Heard] = []
        self.unreadable: list[bytes] = []
        self.is_bound = asyncio.Event()

    async def start(self) -> None:
        """Return when the queue is bound: from then on nothing is missed."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._look_up())]
        await self.is_bound.wait()

    async def stop(self) -> None:
        """Listen no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(
                aio_pika.exceptions.AMQPError, OSError, RuntimeError, TimeoutError, asyncio.InvalidStateError
            ):
                connection = await aio_pika.connect(self._amqp_url, timeout=STATEMENT_LIMIT_S)
                async with connection:
                    await self._consume(connection)
            await asyncio.sleep(RECONNECT_S)

    async def _consume(self, connection: aio_pika.abc.AbstractConnection) -> None:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH_MESSAGES)
        queue = await channel.declare_queue(QUEUE, durable=True)
        await queue.bind(await channel.get_exchange("ordersvc.events"), "#")
        await queue.bind(await channel.get_exchange("notificationsvc.requests"), "SolicitudNotificacion")

        async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            self._note(message)
            await message.ack()

        await queue.consume(hear)
        self.is_bound.set()
        await channel.closed()

    def _note(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        try:
            event: dict[str, Any] = json.loads(message.body)
            heard = Heard(
                id=event["id"],
                source=event["source"],
                order_id=event["subject"],
                sequence=int(event["sequence"]),
                type=event["type"],
                is_notice=event["type"] == "SolicitudNotificacion",
                body=bytes(message.body),
                redelivered=bool(message.redelivered),
            )
        except (ValueError, KeyError, TypeError):
            self.unreadable.append(bytes(message.body))
            return
        self.heard.append(heard)
        if not heard.is_notice:
            self._unasked.put_nowait(heard)

    async def _look_up(self) -> None:
        """Ask the database for each event as soon as it is heard: at once, so that an early one is still early."""
        while True:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                connection = await asyncpg.connect(
                    self._database_url, timeout=STATEMENT_LIMIT_S, command_timeout=STATEMENT_LIMIT_S
                )
                try:
                    while True:
                        await self._look_up_some(connection)
                finally:
                    connection.terminate()
            while not self._unasked.empty():
                self._unasked.get_nowait()  # they could not be asked for in time, so nothing can be said of them
            await asyncio.sleep(RECONNECT_S)

    async def _look_up_some(self, connection: Any) -> None:
        some = [await self._unasked.get()]
        while not self._unasked.empty():
            some.append(self._unasked.get_nowait())
        rows = await connection.fetch(STORED, [heard.order_id for heard in some], [heard.sequence for heard in some])
        stored = {(row[0], row[1]) for row in rows}
        for heard in some:
            heard.was_committed = (heard.order_id, heard.sequence) in stored
