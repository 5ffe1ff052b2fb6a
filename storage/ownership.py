"""Who owns which orders: the epochs of groups, and the orders that have a process to themselves.

An epoch comes from one sequence, so it is unique for ever over all groups. Taking a group waits for a flush of its
old owner that is under way, because that flush holds the row; a flush that comes after it finds its epoch gone.
"""

from __future__ import annotations

from domain.slices import dedicated_group
from storage.commits import Owner
from storage.postgres import Database, certain

TAKE = """
insert into owners (grp, epoch, shard, taken_at) values ($1, nextval('epochs'), $2, clock_timestamp())
on conflict (grp) do update set epoch = nextval('epochs'), shard = excluded.shard, taken_at = excluded.taken_at
returning epoch
"""
RENEW = "update owners set epoch = nextval('epochs') where grp = $1 and epoch = $2 returning epoch"
OWNERS = "select grp, epoch, shard from owners"
DEDICATE = "update orders set dedicated_group = $2 where id = $1 and dedicated_group is null"
UNDEDICATE = "update orders set dedicated_group = null where id = $1 and dedicated_group = $2"
FORGET = "delete from owners where grp = $1"
DEDICATED = "select id::text, is_open from orders where dedicated_group is not null"


class Ownership:
    """The rows of ``owners``. Every method raises ``StorageUnavailable``; all but ``renew`` may simply be asked
    again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, group: str, shard: str) -> int:
        """Become the owner of a group: the new epoch. Waits for an open flush of the old owner."""
        epoch: int = await self._database.fetchval(TAKE, group, shard)
        return epoch

    async def renew(self, group: str, epoch: int) -> int | None:
        """Bump one's own epoch, which waits for or defeats a commit whose outcome is unknown. None: somebody else
        owns it.
        """
        renewed: int | None = await self._database.fetchval(RENEW, group, epoch)
        return renewed

    async def owners(self) -> dict[str, Owner]:
        """Who owns each group."""
        return {row["grp"]: Owner(row["epoch"], row["shard"]) for row in await self._database.fetch(OWNERS)}

    async def dedicate(self, order_id: str, shard: str) -> int:
        """Make ``order-<id>`` the owner of an order, run by ``shard``: its epoch. The order's slices stop owning it."""
        group = dedicated_group(order_id)
        async with self._database.connection() as lent:
            with certain():
                async with lent.transaction():
                    epoch: int = await lent.fetchval(TAKE, group, shard)
                    await lent.execute(DEDICATE, order_id, group)
        return epoch

    async def dedicated(self) -> dict[str, bool]:
        """The orders that have a process to themselves, by id; False for one that is closed and should have it no more."""
        return {row["id"]: row["is_open"] for row in await self._database.fetch(DEDICATED)}

    async def undedicate(self, order_id: str) -> None:
        """Give an order back to its slices; the group it had for itself is gone, with its epoch."""
        group = dedicated_group(order_id)
        async with self._database.connection() as lent:
            with certain():
                async with lent.transaction():
                    await lent.execute(FORGET, group)
                    await lent.execute(UNDEDICATE, order_id, group)
