"""A second owner: partitions of a shard that is alive and well are taken for another one, and neither of them is asked.

The owner's token is replaced, as by whoever takes a partition. What is bypassed is the question whether the owner is gone.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID, uuid4

import asyncpg

from actors.order.commit_of import commit_of
from domain.commands import Actor, ActorType, Message, Ship
from domain.slices import DEDICATED, PARTITIONS, partition_of
from sagas.decide import decide
from sagas.decision import OrderRules
from storage.postgres import PoolLimits
from storage.writes.order_store import OrderStore

STATEMENT_LIMIT_S = 5.0
SEEN_WITHIN_S = 5.0
# The latest incarnation of each shard that is there.
SHARDS = """
select process::text, name from (
    select distinct on (name) process, name, state, seen_at from processes where name like 'order-shard-%'
    order by name, started_at desc
) latest
where state in ('serving', 'standby') and seen_at > clock_timestamp() - make_interval(secs => $1) order by name
"""
OWNERS = "select partition, process::text from partitions"
WRITE = "update partitions set process = $2 where partition = any($1::text[])"
LEASE = """
select r.name, l.process::text, l.token::text from partitions p join processes r using (process) join leases l using (process)
where p.partition = $1
"""


class SecondOwner:
    """Takes partitions for shards that have no right to them, and acts in the name of these.

    Its methods raise ``StorageUnavailable``, ``asyncpg.PostgresError``, ``OSError`` (also where there is nobody to take from, or to
    take for) and ``TimeoutError``.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def take_any(self, pick: float) -> str:
        """Take all that the owner of some partition has, chosen by ``pick`` in 0..1: the name of who lost it."""
        owners = await self.owners()
        former = owners[str(int(pick * PARTITIONS))]
        own = [name for name, process in owners.items() if process == former and not name.startswith(DEDICATED)]
        return await self.take(own)

    async def owners(self) -> dict[str, str | None]:
        """The process that owns each partition."""
        return {row["partition"]: row["process"] for row in await self._ask(OWNERS)}

    async def take(self, partitions: Collection[str]) -> str:
        """Take partitions of one owner for the shard that comes after it: the name of who lost them."""
        former, other = await self._of_whom(partitions)
        store = await self._open("second-owner")
        try:
            await store.take(other["process"], former["process"], partitions)
        finally:
            await store.close()
        return str(former["name"])

    async def take_without_token(self, partitions: Collection[str]) -> None:
        """Do the same as no shard ever does it: the owner's token is not replaced."""
        _, other = await self._of_whom(partitions)
        await self._ask(WRITE, list(partitions), UUID(other["process"]))

    async def ship(self, order_id: str) -> int:
        """Note an order as shipped in the name of the shard that owns it by the tables: its version."""
        (owner,) = await self._ask(LEASE, partition_of(order_id))
        store = await self._open(owner["name"])
        try:
            order = (await store.load([order_id]))[order_id].order
            body = Ship(carrier="SEUR", tracking_number="second-owner")
            message = Message(id=str(uuid4()), body=body, actor=Actor(ActorType.STAFF, "second-owner"), keyed=True)
            commit, _ = commit_of(order, message, decide(order, message, await store.now(), OrderRules()))
            result = await store.flush(owner["process"], owner["token"], [commit])
            assert result.committed == {order_id}, result
            return commit.order.version
        finally:
            await store.close()

    async def _of_whom(self, partitions: Collection[str]) -> tuple[asyncpg.Record, asyncpg.Record]:
        """The owner of these partitions, and the shard that comes after it."""
        owners = await self.owners()
        (former,) = {owners[partition] for partition in partitions}
        shards = await self._ask(SHARDS, SEEN_WITHIN_S)
        at = next((n for n, row in enumerate(shards) if row["process"] == former), None)
        if at is None or len(shards) == 1:
            raise OSError(f"{former} is not there, or no other shard: {shards}")
        return shards[at], shards[(at + 1) % len(shards)]

    async def _open(self, name: str) -> OrderStore:
        limits = PoolLimits(max_connections=1)
        return await OrderStore.open(self._database_url, application_name=name, limits=limits)

    async def _ask(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        limit_s = STATEMENT_LIMIT_S
        connection = await asyncpg.connect(self._database_url, timeout=limit_s, command_timeout=limit_s)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
            return rows
        finally:
            await connection.close()
