"""The store of orders, as a shard sees it: group commit, loading, ownership, deadlines, the outbox.

Here a flush is run until each of its orders has a fate: a batch that the data of one order makes fail is halved
until that order is alone. What a flush is made of is in ``flush_statement.py`` and ``promotion_uses.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog

from domain.promotions import Promotion
from storage.errors import CommitUnknown, StorageUnavailable, Unwritable
from storage.postgres import Database, PoolLimits, committing, open_database
from storage.writes.commits import Commit, FlushResult, Loaded, StoredEvent
from storage.writes.flush_statement import flush_once, warm_flush
from storage.writes.owners import Owners
from storage.writes.promotion_uses import flush_with_promotion_uses
from storage.writes.promotions import find_promotions
from storage.writes.shard_reads import ShardReads

__all__ = ["Commit", "FlushResult", "Loaded", "OrderStore", "StoredEvent"]

log = structlog.get_logger()

HOLDS = "select exists (select from leases where process = $1 and token = $2)"
TAKE_NUMBERS = "update order_numbers set next = next + $1 returning next - $1"
# Nothing is checked of an order that is set aside: it would stay at the head of what polls read.
SET_ASIDE = """
update orders set set_aside = $2, needs_attention = true, check_at = null where id = $1 and set_aside is distinct from $2
"""
TAKE_UP_AGAIN = "update orders set set_aside = null, check_at = deadline where id = $1"
INBOX_CONSTRAINT = "message_has_effect_once"


class OrderStore(ShardReads, Owners):
    """What is kept of orders. Every method raises ``StorageUnavailable``; ``flush`` also ``CommitUnknown``."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)

    @classmethod
    async def open(cls, database_url: str, *, application_name: str, limits: PoolLimits | None = None) -> OrderStore:
        """A store with a pool of its own, ready to flush. Raises ``StorageUnavailable``."""
        return cls(
            await open_database(
                database_url, application_name=application_name, limits=limits, writer=True, warm=warm_flush
            )
        )

    async def close(self) -> None:
        """Close the pool, after what is under way."""
        await self._database.close()

    @property
    def database(self) -> Database:
        """The pool, for the other rooms of storage that the same process uses."""
        return self._database

    # Committing.

    async def flush(self, process: str, token: str, commits: Sequence[Commit]) -> FlushResult:
        """Commit a batch of different orders under the lease of a process; each has its fate in the result.

        An empty batch only asks whether the lease stands. Raises ``StorageUnavailable`` (nothing was
        committed of what the error interrupted) and ``CommitUnknown``.
        """
        if not commits:
            return FlushResult(owned=bool(await self._database.fetchval(HOLDS, process, token)))
        committed: set[str] = set()
        outdated: set[str] = set()
        refused: dict[str, str] = {}
        poisoned: dict[str, str] = {}
        parts = [list(commits)]
        while parts:
            part = parts.pop()
            try:
                owned, done, old, lost = await self._flush_part(process, token, part)
            except StorageUnavailable as error:
                if not committed:
                    raise
                raise CommitUnknown(f"a part of the batch was committed: {error}") from error
            except Unwritable as error:
                if len(part) > 1:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
                elif error.constraint != INBOX_CONSTRAINT:
                    poisoned[part[0].order.id] = str(error)
                continue
            if not owned:
                break
            committed |= done
            outdated |= old
            refused |= lost
        else:
            if poisoned:
                log.error("commits_poisoned", orders=poisoned)
            return FlushResult(
                owned=True,
                committed=frozenset(committed),
                refused=refused,
                outdated=frozenset(outdated),
                poisoned=poisoned,
            )
        return FlushResult(owned=False, committed=frozenset(committed))

    async def _flush_part(
        self, process: str, token: str, part: Sequence[Commit]
    ) -> tuple[bool, frozenset[str], frozenset[str], dict[str, str]]:
        async with self._database.connection() as lent:
            with committing():
                if any(commit.promotion_uses or commit.releases for commit in part):
                    return await flush_with_promotion_uses(lent, process, token, part)
                return *await flush_once(lent, process, token, part), {}

    # Small things.

    async def now(self) -> datetime:
        """The database's clock."""
        at: datetime = await self._database.fetchval("select clock_timestamp()")
        return at

    async def take_numbers(self, count: int) -> int:
        """Reserve ``count`` consecutive order numbers for ever: the first."""
        first: int = await self._database.fetchval(TAKE_NUMBERS, count)
        return first

    async def promotions(self, codes: Sequence[str]) -> tuple[Promotion, ...]:
        """The promotions that exist among ``codes``."""
        return await find_promotions(self._database, codes)

    async def set_aside(self, order_id: str, reason: str) -> None:
        """Mark an order that nothing can be done with: it needs attention, and is not woken."""
        await self._database.fetch(SET_ASIDE, order_id, reason)

    async def take_up_again(self, order_id: str) -> None:
        """Staff have mended it: it is woken again like any other."""
        await self._database.fetch(TAKE_UP_AGAIN, order_id)
