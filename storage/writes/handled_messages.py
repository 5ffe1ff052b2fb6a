"""What is forgotten by age, in bounded steps."""

from __future__ import annotations

from storage.postgres import Database

# The oldest that may go, by an index that has nothing else: what is kept for good is never read.
FORGET = """
with gone as (
    delete from inbox where ctid = any(array(
        select ctid from inbox where not is_creation and at < statement_timestamp() - make_interval(days => $1)
        order by at limit $2))
    returning 1
)
select count(*) from gone
"""


class HandledMessages:
    """Forgets messages that were handled long ago; the answer of a creation is kept as long as the order (docs/contract.md,
    "Conventions").
    """

    def __init__(self, database: Database, *, keep_days: int, messages_at_once: int = 5000) -> None:
        self._database = database
        self._keep_days = keep_days
        self._messages_at_once = messages_at_once

    async def step(self) -> tuple[int, bool]:
        """Forget the oldest messages: how many, and whether there are more to forget. Raises ``StorageUnavailable``."""
        forgotten: int = await self._database.fetchval(FORGET, self._keep_days, self._messages_at_once)
        return forgotten, forgotten == self._messages_at_once
