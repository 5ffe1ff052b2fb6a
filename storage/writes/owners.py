"""Who owns which orders: the leases of shards, and the partitions.

A shard writes under its lease, whose token every flush locks. A partition changes hands in two ways only. Its owner gives it away,
in a statement that holds its lease as a flush does. Or another shard takes it, in a transaction that first replaces the token of
the owner: that waits for a flush of the owner which is under way, and a later one finds its token gone and writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID, uuid4

import msgspec

from domain.slices import DEDICATED, dedicated_partition
from storage.postgres import Database, certain

RENEW = """
insert into leases (process, token) values ($1, $2) on conflict (process) do update set token = excluded.token
"""
OWNED = "select partition from partitions where process = $1"
OWNERS = "select partition, process::text as process from partitions"
OWNER_NAMES = "select p.partition, r.name from partitions p left join processes r using (process)"
ROLES = "select name, role from shard_roles where cell = $1"
LISTED = f"""
select p.process::text as process, p.name, p.started_at, extract(epoch from clock_timestamp() - p.started_at)::float8 as started_s,
    extract(epoch from clock_timestamp() - p.seen_at)::float8 as seen_s,
    case when p.state = 'starting' then p.state else coalesce(r.role, p.state) end as state
from processes p left join shard_roles r on r.cell = p.cell and r.name = p.name where p.name like '{DEDICATED}%'
"""  # noqa: S608
FENCE = "update leases set token = gen_random_uuid() where process = $1"
TAKE = """
update partitions set process = $1 where partition = any($3::text[]) and process is not distinct from $2::uuid returning partition
"""
UNDER_LEASE = "with lease as materialized (select from leases where process = $1 and token = $2 for share)"
GIVE = f"""
{UNDER_LEASE}
update partitions set process = $4 where partition = $3 and process = $1 and exists (select from lease) returning partition
"""  # noqa: S608
SPLIT = f"""
{UNDER_LEASE}, marked as (
    update orders set dedicated_group = $3
    where id = $4 and is_open and dedicated_group is null and exists (select from lease) returning id
)
insert into partitions (partition, process) select $3, $1 from marked returning partition
"""  # noqa: S608
MERGE = f"""
{UNDER_LEASE}, merged as (
    delete from partitions where partition = $3 and process = $1 and exists (select from lease) returning partition
), unmarked as (
    update orders set dedicated_group = null from merged where id = $4 and dedicated_group = merged.partition
)
select partition from merged
"""  # noqa: S608
CLOSED = "select dedicated_group from orders where dedicated_group = any($1::text[]) and not is_open"


class ListedProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A shard as its row in ``processes`` shows it. ``state``: what it is to do (``shard_roles``), once it has started.

    By the database's clock: ``started_s``: seconds since its start began; ``seen_s``: since it renewed its row.
    """

    process: str
    name: str
    state: str
    seen_s: float
    started_s: float
    started_at: datetime


class Owners:
    """The rows of ``leases`` and ``partitions``. A process is named by its id in ``processes``.

    Every method raises ``StorageUnavailable``: whether the statement is still to take effect is not known then. Where it may have
    been ``give``, ``split`` or ``merge``, the shard renews its lease before it goes by what it reads.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def renew(self, process: str) -> str:
        """Give the process' lease a new token, which waits for or defeats any write under the old one: the token."""
        # A new one for each try: one that arrives late must not make an older token valid again.
        token = str(uuid4())
        await self._database.fetch(RENEW, process, token)
        return token

    async def owned(self, process: str) -> frozenset[str]:
        """The partitions of a process."""
        return frozenset(row["partition"] for row in await self._database.fetch(OWNED, process))

    async def owners(self) -> dict[str, str | None]:
        """The process that owns each partition."""
        return {row["partition"]: row["process"] for row in await self._database.fetch(OWNERS)}

    async def take(self, process: str, former: str | None, partitions: Collection[str]) -> frozenset[str]:
        """Take those of ``partitions`` that are still the former owner's (None: without an owner): the ones taken."""
        async with self._database.connection() as lent:
            with certain():
                async with lent.transaction():
                    if former is not None:
                        await lent.execute(FENCE, former)
                    rows = await lent.fetch(TAKE, process, former, sorted(partitions))
        return frozenset(row["partition"] for row in rows)

    async def give(self, process: str, token: str, partition: str, to: str) -> bool:
        """Give a partition of one's own to another process; False where the lease or the partition is lost already."""
        return await self._database.fetchval(GIVE, process, token, partition, to) is not None

    async def split(self, process: str, token: str, order_id: str) -> bool:
        """Make an open order of one's own a partition of one; False where that can't be."""
        partition = dedicated_partition(order_id)
        return await self._database.fetchval(SPLIT, process, token, partition, UUID(order_id)) is not None

    async def merge(self, process: str, token: str, order_id: str) -> bool:
        """Give an order that is a partition of one, and one's own, back to the partition of its slice; False where it is lost."""
        partition = dedicated_partition(order_id)
        return await self._database.fetchval(MERGE, process, token, partition, UUID(order_id)) is not None

    async def closed(self, partitions: Collection[str]) -> list[str]:
        """Which of these partitions of one order have an order that is closed."""
        return [row["dedicated_group"] for row in await self._database.fetch(CLOSED, sorted(partitions))]

    async def owner_names(self) -> dict[str, str | None]:
        """The name of the process that owns each partition; several processes may have had it, one after the other."""
        return {row["partition"]: row["name"] for row in await self._database.fetch(OWNER_NAMES)}

    async def shard_roles(self, cell: str) -> dict[str, str]:
        """What shards of a cell are to do (``serving``, ``standby``, ``draining``) where that is not what its settings say."""
        return {row["name"]: row["role"] for row in await self._database.fetch(ROLES, cell)}

    async def listed(self) -> list[ListedProcess]:
        """All shards that have a row, those of one order too."""
        return [ListedProcess(**row) for row in await self._database.fetch(LISTED)]
