"""What keyed requests were answered that no order's actor owns, so that a repeat is answered alike after any crash.

A change writes its answer in the same statement, by ``KEEP``; the table is bounded by age.
"""

from __future__ import annotations

import msgspec

from storage.postgres import Database

FORGOTTEN_AT_ONCE_MAX = 100
ANSWER_IS_ONE = "a_key_is_answered_once"  # the constraint
FIND = "select fingerprint, answer from answers where id = $1::text::uuid"
KEEP_ALONE = "insert into answers (id, fingerprint, answer) values ($1::text::uuid, $2, $3) on conflict (id) do nothing"
FORGET = """
delete from answers where id in
    (select id from answers where at < statement_timestamp() - make_interval(days => $1) order by at limit $2)
"""


class KeptAnswer(msgspec.Struct, frozen=True):
    """``id``: a UUID that follows from the caller and the key. ``fingerprint``: a digest of what was asked."""

    id: str
    fingerprint: str
    answer: bytes


def keeping(statement: str, first: int) -> str:
    """Let a statement that returns a row for what it did keep an answer as well, if it did anything.

    Three arguments follow those of the statement, from the number ``first`` on: see ``arguments_of``. A key that stands
    for another answer already makes the whole fail.
    """
    return f"""
with done as ({statement}), kept as (
    insert into answers (id, fingerprint, answer)
    select ${first}::text::uuid, ${first + 1}, ${first + 2} from done where ${first}::text is not null
)
select * from done
"""  # noqa: S608 - the statement is one of ours


def arguments_of(kept: KeptAnswer | None) -> tuple[str | None, str | None, bytes | None]:
    """The arguments that ``keeping`` wants: none are kept of a request without a key."""
    return (None, None, None) if kept is None else (kept.id, kept.fingerprint, kept.answer)


class KeptAnswers:
    """The table of answers. Every method raises ``StorageUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, answer_id: str) -> KeptAnswer | None:
        """An answer that was kept, or None."""
        row = await self._database.fetchrow(FIND, answer_id)
        return None if row is None else KeptAnswer(answer_id, row["fingerprint"], row["answer"])

    async def keep(self, kept: KeptAnswer) -> None:
        """Keep an answer beside which nothing is written here. The first one kept under an id stays."""
        await self._database.fetch(KEEP_ALONE, *arguments_of(kept))

    async def forget(self, keep_days: int) -> None:
        """Delete some of those that are older than so many days, if there are any."""
        await self._database.fetch(FORGET, keep_days, FORGOTTEN_AT_ONCE_MAX)
