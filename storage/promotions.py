"""Promotions as staff see them: making, changing, listing. Uses are claimed and given back by flushes, not here.

A code that was deleted and is made again goes on counting the uses it had: its limits hold for the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from domain.promotions import Promotion, PromotionKind
from storage.answers import ANSWER_IS_ONE, KeptAnswer, arguments_of, keeping
from storage.errors import Unwritable
from storage.postgres import Database, Record, committing

NAMES = tuple(field.name for field in fields(Promotion))
WIDTH = len(NAMES)
FIND = "select * from promotions where code = any($1::text[]) order by code"
PAGE = "select * from promotions where code > $1 order by code limit $2"
DELETE = keeping("delete from promotions where code = $1 returning code", 2)
USED = "select code, used from promotions where code = any($1::text[])"
# Only names of columns go into the texts; values are arguments. The code is the first of both lists.
CREATE = keeping(
    f"""
insert into promotions ({", ".join(NAMES)}, used)
values ({", ".join(f"${i + 1}" for i in range(WIDTH))}, (select count(*) from promotion_uses where code = $1))
on conflict (code) do nothing returning code
""",  # noqa: S608
    WIDTH + 1,
)
CHANGE = keeping(
    f"""
update promotions set {", ".join(f"{name} = ${i + 1}" for i, name in enumerate(NAMES))}, updated_at = clock_timestamp()
where {" and ".join(f"{name} is not distinct from ${i + 1 + WIDTH}" for i, name in enumerate(NAMES))} returning code
""",  # noqa: S608
    2 * WIDTH + 1,
)


class Promotions:
    """The table of promotions. Every method raises ``StorageUnavailable``, and those that write ``CommitUnknown``.

    ``kept`` is what the change was answered, written with it or not at all; a repeat is answered so again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, code: str) -> Promotion | None:
        """A promotion, or None."""
        found = await find_promotions(self._database, (code,))
        return found[0] if found else None

    async def list(self, *, limit: int, after: str | None = None) -> tuple[Promotion, ...]:
        """Up to ``limit`` promotions by their codes, those after the code ``after``."""
        return tuple(promotion_of(row) for row in await self._database.fetch(PAGE, after or "", limit))

    async def used(self, codes: Sequence[str]) -> dict[str, int]:
        """How many orders use each of the promotions now; one that does not exist is absent."""
        return {row["code"]: row["used"] for row in await self._database.fetch(USED, codes)}

    async def create(self, promotion: Promotion, kept: KeptAnswer | None = None) -> bool:
        """Make a promotion; False, and nothing is changed, where its code is taken."""
        return await self._write(CREATE, *_values(promotion), *arguments_of(kept))

    async def change(self, before: Promotion, after: Promotion, kept: KeptAnswer | None = None) -> bool:
        """Put ``after`` in the place of ``before``, of the same code; False where it is not ``before`` any more, or
        gone.

        Orders keep the definition they were given. A limit may be set below what is used already.
        """
        return await self._write(CHANGE, *_values(after), *_values(before), *arguments_of(kept))

    async def delete(self, code: str, kept: KeptAnswer | None = None) -> bool:
        """Delete a promotion; False where there is none. Orders that have it keep it."""
        return "\0" not in code and await self._write(DELETE, code, *arguments_of(kept))

    async def _write(self, statement: str, *arguments: object) -> bool:
        try:
            async with self._database.connection() as lent:
                with committing():
                    return bool(await lent.fetch(statement, *arguments))
        except Unwritable as error:
            if error.constraint != ANSWER_IS_ONE:
                raise
            return False  # Another request with the same key was faster.


async def find_promotions(database: Database, codes: Sequence[str]) -> tuple[Promotion, ...]:
    """The promotions that exist among ``codes``, by code. Raises ``StorageUnavailable``."""
    storable = [code for code in codes if "\0" not in code]  # PostgreSQL's texts have no NUL, so no code has one
    return tuple(promotion_of(row) for row in await database.fetch(FIND, storable))


def promotion_of(row: Record) -> Promotion:
    """A row of ``promotions`` as a value."""
    values = {name: row[name] for name in NAMES}
    return Promotion(**values | {"kind": PromotionKind(row["kind"]), "skus": tuple(row["skus"])})


def _values(promotion: Promotion) -> Sequence[object]:
    return [[*value] if isinstance(value := getattr(promotion, name), tuple) else value for name in NAMES]
