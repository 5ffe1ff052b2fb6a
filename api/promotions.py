"""Promotions as staff see them: making, changing, ending and listing them.

What a promotion takes off an order is reckoned by the order, not here.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from msgspec.structs import replace
from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict

from api.auth import PROMOTIONS_WRITE
from api.cursors import Cursor, Cursors
from api.door import Door
from api.exchange import Answer, Incoming, json_answer
from api.lists import PAGE_DEFAULT_ROWS, PageLimit
from api.parameters import read_query
from api.ports import PromotionsPort
from api.problems import Problem
from api.promotion_schemas import SCHEMA_OF, NewPromotion, OneKind, PromotionChange
from api.reading import encode
from api.replays import Keep, Replays
from domain.document import time_text
from domain.errors import FieldError, RefusalKind, Refused
from domain.promotions import Promotion, PromotionKind
from storage.promotions import NAMES, StoredPromotion, UnreadablePromotion

CHANGE_MAX_ATTEMPTS = 3
UNREADABLE = Counter("ordersvc_unreadable_promotions", "Promotions that were met and could not be read")


class PromotionsQuery(BaseModel):
    """A page of promotions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: PageLimit = PAGE_DEFAULT_ROWS
    cursor: Cursor | None = None


class PromotionEndpoints:
    """The handlers of ``/api/promotions``."""

    def __init__(self, door: Door, promotions: PromotionsPort, cursors: Cursors, replays: Replays) -> None:
        self._door = door
        self._promotions = promotions
        self._cursors = cursors
        self._replays = replays

    async def list_all(self, asked: Incoming) -> Answer:
        """Every promotion, by code."""
        await self._door.admit(asked, PROMOTIONS_WRITE)
        query = read_query(PromotionsQuery, asked)
        after = None if query.cursor is None else self._cursors.open("promotions", query.cursor)[1]
        found = await self._promotions.list(limit=query.limit + 1, after=after)
        page = found[: query.limit]
        has_more = len(found) > query.limit
        cursor = self._cursors.seal("promotions", (0, page[-1].code)) if has_more else None
        document = {
            "data": [represent_promotion(promotion) for promotion in page],
            "page": {"next_cursor": cursor, "has_more": has_more},
        }
        return json_answer(200, encode(document))

    async def show(self, asked: Incoming) -> Answer:
        """Show one."""
        await self._door.admit(asked, PROMOTIONS_WRITE)
        return _promotion_answer(200, await self._find(asked.param("code")))

    async def create(self, asked: Incoming) -> Answer:
        """Make one."""
        wish, body = await self._door.wish_with(asked, NewPromotion, PROMOTIONS_WRITE)
        return await self._replays.once(asked, wish, partial(self._create, _promotion(body.root)))

    async def _create(self, promotion: Promotion, keep: Keep) -> Answer:
        answer = _promotion_answer(201, promotion)
        answer.headers.append((b"location", b"/api/promotions/" + promotion.code.encode()))
        if not await self._promotions.create(promotion, keep(answer)):
            raise Problem("promotion_exists", f"The code {promotion.code} is taken.")
        return answer

    async def change(self, asked: Incoming) -> Answer:
        """Change what the body names. Orders that have the promotion keep it as it was."""
        wish, change = await self._door.wish_with(asked, PromotionChange, PROMOTIONS_WRITE)
        return await self._replays.once(asked, wish, partial(self._change, asked.param("code"), change))

    async def _change(self, code: str, change: PromotionChange, keep: Keep) -> Answer:
        for _ in range(CHANGE_MAX_ATTEMPTS):
            before = await self._find(code)
            after = _changed(before, change)
            answer = _promotion_answer(200, after)
            if await self._promotions.change(before, after, keep(answer)):
                return answer
        raise Problem("promotion_changing", "Others are changing the promotion at the same time.")

    async def delete(self, asked: Incoming) -> Answer:
        """End one for good. Orders that have it keep it."""
        wish = await self._door.wish(asked, PROMOTIONS_WRITE)
        return await self._replays.once(asked, wish, partial(self._delete, asked.param("code")))

    async def _delete(self, code: str, keep: Keep) -> Answer:
        answer = Answer(204)
        if not await self._promotions.delete(code, keep(answer)):
            raise _not_found()
        return answer

    async def _find(self, code: str) -> StoredPromotion:
        promotion = await self._promotions.find(code)
        if promotion is None:
            raise _not_found()
        return promotion


def represent_promotion(promotion: StoredPromotion) -> dict[str, Any]:
    """Give a promotion's document; what it does not use is absent, and so is what can't be read, which ``unreadable`` names."""
    if isinstance(promotion, UnreadablePromotion):
        UNREADABLE.inc()
        return {**represent_promotion(promotion.readable), "unreadable": promotion.fields}
    document: dict[str, Any] = {}
    for name in NAMES:
        value = getattr(promotion, name)
        if value is None:
            continue
        document[name] = time_text(value) if isinstance(value, datetime) else value
    return document


def _promotion_answer(status: int, promotion: StoredPromotion) -> Answer:
    return json_answer(status, encode(represent_promotion(promotion)))


def _promotion(body: OneKind) -> Promotion:
    """Raises ``Problem`` ``invalid_promotion`` where it would end before it begins."""
    values = {name: getattr(body, name) for name in type(body).model_fields}
    return _fitting(Promotion(**values | {"kind": PromotionKind(body.kind), "skus": tuple(body.skus)}))


def _changed(before: StoredPromotion, change: PromotionChange) -> StoredPromotion:
    """Put what the change names on the promotion, and nothing else; raises ``Problem`` ``invalid_promotion`` where the
    result would be none. What can't be read is as if it were absent, and stays so until it is named.
    """
    readable, unreadable = (before.readable, before.fields) if isinstance(before, UnreadablePromotion) else (before, ())
    named = {name: getattr(change, name) for name in change.model_fields_set}
    of_kind = SCHEMA_OF[readable.kind].model_fields
    faults = []
    for name, value in named.items():
        if value is not None and name not in of_kind:
            faults.append(FieldError(f"/{name}", "unknown_field", f"A promotion of kind {readable.kind} has none"))
        elif value is None and name in of_kind and of_kind[name].is_required():
            faults.append(FieldError(f"/{name}", "required", f"A promotion of kind {readable.kind} has one"))
    if faults:
        raise Problem("invalid_promotion", f"{faults[0].pointer}: {faults[0].message}.", errors=tuple(faults))
    if "skus" in named:
        named["skus"] = tuple(named["skus"])
    after = replace(readable, **named)
    if {"starts_at", "ends_at"} & named.keys():
        _fitting(after)
    still = tuple(name for name in unreadable if name not in named)
    return UnreadablePromotion(after, still) if still else after


def _fitting(promotion: Promotion) -> Promotion:
    starts_at, ends_at = promotion.starts_at, promotion.ends_at
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        fault = FieldError("/ends_at", "invalid_window", "Not after starts_at")
        raise Problem("invalid_promotion", "ends_at is not after starts_at.", errors=(fault,))
    return promotion


def _not_found() -> Refused:
    return Refused(RefusalKind.NOT_FOUND, "promotion_not_found", "There is no such promotion.")
