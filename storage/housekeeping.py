"""What is forgotten by age, in bounded steps."""

from __future__ import annotations

from storage.postgres import Database

# By pages, so that a whole pass reads the table once, however much of it is kept for good.
PAGES = "select pg_relation_size('inbox') / current_setting('block_size')::bigint"
FORGET = """
delete from inbox
where ctid >= $1::text::tid and ctid < $2::text::tid
    and at < statement_timestamp() - make_interval(days => $3) and not is_creation
returning 1
"""


class InboxPruning:
    """Forgets messages that were handled long ago; the answer of a creation is kept as long as the order (spec.md, "The
    fine print").
    """

    def __init__(self, database: Database, *, keep_days: int, pages_at_once: int = 1000) -> None:
        self._database = database
        self._keep_days = keep_days
        self._pages_at_once = pages_at_once
        self._next_page = 0

    async def step(self) -> tuple[int, bool]:
        """Look through the next pages: how many messages were forgotten, and whether this pass goes on. Raises
        ``StorageUnavailable``.
        """
        first = self._next_page
        end = first + self._pages_at_once
        pages: int = await self._database.fetchval(PAGES)
        forgotten = await self._database.fetch(FORGET, f"({first},0)", f"({end},0)", self._keep_days)
        self._next_page = end if end < pages else 0
        return len(forgotten), end < pages
