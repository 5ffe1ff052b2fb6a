"""Promotions as staff see them: making, changing, listing. Uses are claimed and given back by flushes, not here.

A code that was deleted and is made again goes on counting the uses it had: its limits hold for the code. Codes are compared
without case (``code_key``); a promotion keeps its own as it was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.money import fraction
from domain.promotions import Promotion, PromotionKind, code_key
from domain.stored import Stored
from storage.errors import Unwritable
from storage.postgres import Database, Record, committing
from storage.unreadable import is_readable_time, tell_unreadable
from storage.writes.kept_answers import ANSWER_IS_ONE, KeptAnswer, arguments_of, keeping

NAMES = tuple(name for name in Promotion.__struct_fields__ if name not in Stored.__struct_fields__)
WIDTH = len(NAMES)
TIMES = ("starts_at", "ends_at")
# A time that can't be read is distinct from one that is absent (``unreadable.py``).
_COLUMNS = ", ".join(
    f"case when {is_readable_time(name)} then {name} end as {name}, not {is_readable_time(name)} as {name}_is_unreadable"
    if name in TIMES
    else name
    for name in NAMES
)
# Only names of columns go into the texts; values are arguments. The code is the first of both lists.
FIND = f'select {_COLUMNS} from promotions where lower(code collate "C") = any($1::text[]) order by code'  # noqa: S608
PAGE = f"select {_COLUMNS} from promotions where code > $1 order by code limit $2"  # noqa: S608
DELETE = keeping('delete from promotions where lower(code collate "C") = $1 returning code', 2)
USED = 'select code, used from promotions where lower(code collate "C") = any($1::text[])'
CREATE = keeping(
    f"""
insert into promotions ({", ".join(NAMES)}, used)
values ({", ".join(f"${i + 1}" for i in range(WIDTH))},
    (select count(*) from promotion_uses where lower(code collate "C") = lower($1 collate "C")))
on conflict do nothing returning code
""",  # noqa: S608
    WIDTH + 1,
)


@dataclass(frozen=True, slots=True)
class UnreadablePromotion:
    """A promotion of which the stored ``fields`` can't be read (a time that is infinite, a fraction that is none): it is shown to
    staff, who may put them right, and takes nothing off any order. ``readable`` has the others; those are None there.
    """

    readable: Promotion
    fields: tuple[str, ...]

    @property
    def code(self) -> str:
        """The promotion's code."""
        return self.readable.code


StoredPromotion = Promotion | UnreadablePromotion


class Promotions:
    """The table of promotions. Every method raises ``StorageUnavailable``, and those that write ``CommitUnknown``.

    ``kept`` is what the change was answered, written with it or not at all; a repeat is answered so again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, code: str) -> StoredPromotion | None:
        """A promotion, or None."""
        found = await _find(self._database, (code,))
        return found[0] if found else None

    async def list(self, *, limit: int, after: str | None = None) -> tuple[StoredPromotion, ...]:
        """Up to ``limit`` promotions by their codes, those after the code ``after``."""
        return tuple(promotion_of(row) for row in await self._database.fetch(PAGE, after or "", limit))

    async def used(self, codes: Sequence[str]) -> dict[str, int]:
        """How many orders use each of the promotions now, by their own codes; one that does not exist is absent."""
        return {row["code"]: row["used"] for row in await self._database.fetch(USED, list(map(code_key, codes)))}

    async def create(self, promotion: Promotion, kept: KeptAnswer | None = None) -> bool:
        """Make a promotion; False, and nothing is changed, where its code is taken."""
        return await self._write(CREATE, *_values(promotion).values(), *arguments_of(kept))

    async def change(self, before: StoredPromotion, after: StoredPromotion, kept: KeptAnswer | None = None) -> bool:
        """Make ``after`` of ``before``, of the same code; False where it is not ``before`` any more, or gone.

        What is alike in both is not written. Orders keep the definition they were given. A limit may be set below what is
        used already.
        """
        was, becomes = _values(before), _values(after)
        changed = [name for name in becomes if name not in was or was[name] != becomes[name]]
        places = iter(range(1, len(changed) + len(was) + 1))
        statement = f"""
update promotions set {"".join(f"{name} = ${next(places)}, " for name in changed)}updated_at = clock_timestamp()
where {" and ".join(f"{name} is not distinct from ${next(places)}" for name in was)} returning code
"""  # noqa: S608
        arguments = (*(becomes[name] for name in changed), *was.values())
        return await self._write(keeping(statement, len(arguments) + 1), *arguments, *arguments_of(kept))

    async def delete(self, code: str, kept: KeptAnswer | None = None) -> bool:
        """Delete a promotion; False where there is none. Orders that have it keep it."""
        return "\0" not in code and await self._write(DELETE, code_key(code), *arguments_of(kept))

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
    """The promotions among ``codes`` that exist and can be read, by code. Raises ``StorageUnavailable``."""
    return tuple(found for found in await _find(database, codes) if isinstance(found, Promotion))


async def _find(database: Database, codes: Sequence[str]) -> list[StoredPromotion]:
    storable = [
        code_key(code) for code in codes if "\0" not in code
    ]  # PostgreSQL's texts have no NUL, so no code has one
    return [promotion_of(row) for row in await database.fetch(FIND, storable)]


def promotion_of(row: Record) -> StoredPromotion:
    """A row of ``promotions`` as a value."""
    unreadable = [name for name in TIMES if row[f"{name}_is_unreadable"]]
    values = {name: row[name] for name in NAMES} | {"kind": PromotionKind(row["kind"])}
    if not _is_fraction(row["fraction"]):
        unreadable.append("fraction")
        values["fraction"] = None
    values["skus"] = tuple(row["skus"])
    if None in values["skus"]:
        unreadable.append("skus")
        values["skus"] = ()
    promotion = Promotion(**values)
    if not unreadable:
        return promotion
    tell_unreadable("promotions", promotion.code, ", ".join(unreadable))
    return UnreadablePromotion(promotion, tuple(unreadable))


def _is_fraction(text: str | None) -> bool:
    try:
        return text is None or fraction(text) is not None
    except ValueError:
        return False


def _values(promotion: StoredPromotion) -> dict[str, object]:
    """What is stored of a promotion, by column, without what can't be read."""
    unreadable = promotion.fields if isinstance(promotion, UnreadablePromotion) else ()
    readable = promotion.readable if isinstance(promotion, UnreadablePromotion) else promotion
    values = {name: getattr(readable, name) for name in NAMES if name not in unreadable}
    return {name: [*value] if isinstance(value, tuple) else value for name, value in values.items()}
