"""The shards of all cells, for those who look after them: what each does and is to do, and the way to change that."""

from __future__ import annotations

from dataclasses import dataclass

from storage.postgres import Database
from storage.processes import ProcessState

# The latest incarnation of each shard, and the shards that are to be there and are not.
LISTED = """
with latest as (
    select distinct on (cell, name) cell, name, node, process, state as own_state,
        extract(epoch from clock_timestamp() - seen_at)::float8 as seen_s
    from processes where name like 'order-shard-%' order by cell, name, started_at desc
)
select cell, name, coalesce(node, '') as node, role, seen_s,
    case when own_state is null or own_state = 'starting' then own_state else coalesce(role, own_state) end as state,
    (select count(*) from partitions p where p.process = latest.process) as partitions
from latest full join shard_roles using (cell, name) order by cell, length(name), name
"""
# Another one may have got it meanwhile: what another has asked for stays.
ADD = """
insert into shard_roles (cell, name, role) values ($1, $2, $3)
on conflict (cell, name) do update set role = excluded.role where shard_roles.role = 'draining' returning name
"""
ASSIGN = """
insert into shard_roles (cell, name, role) values ($1, $2, $3) on conflict (cell, name) do update set role = excluded.role
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedShard:
    """A shard. ``state``: what it does, None where there is no process of it; ``role``: what it is to do, None for what the settings
    of its cell say. ``seen_s``: seconds since it last said that it lives.
    """

    cell: str
    name: str
    node: str
    state: str | None
    role: str | None
    seen_s: float | None
    partitions: int


class Shards:
    """The rows of ``processes`` and ``shard_roles`` about shards. Every method raises ``StorageUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def listed(self) -> list[ListedShard]:
        """All shards, by cell and number."""
        return [ListedShard(**row) for row in await self._database.fetch(LISTED)]

    async def add(self, cell: str, name: str, role: str) -> bool:
        """Have a shard started that was not asked for, or was drained; False where another has asked for it."""
        return await self._database.fetchval(ADD, cell, name, role) is not None

    async def drain(self, cell: str, name: str) -> None:
        """Have a shard give away what it owns, and end."""
        await self._database.fetch(ASSIGN, cell, name, ProcessState.DRAINING)
