"""Promotions as staff see them: making, changing, ending and listing them.

What a promotion takes off an order is reckoned by the order, not here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from msgspec.structs import replace
from prometheus_client import Counter
from starlette.responses import Response

from api.access.contexts import PromotionsReader, PromotionsWriter, ReaderContext
from api.access.replays import Keep, once
from api.openapi.described import UNCHANGED, Success, described
from api.problems import Problem
from api.shapes import documents as doc
from api.shapes.ids import PromotionCode
from api.shapes.promotion_schemas import SCHEMA_OF, NewPromotion, OneKind, PromotionChange
from api.shapes.queries import PromotionsQuery
from api.shapes.responses import encode, json_response, page_of, tagged_response
from domain.errors import FieldError, RefusalKind, Refused
from domain.promotions import Promotion, PromotionKind
from domain.representation import time_text
from storage.writes.promotions import NAMES, StoredPromotion, UnreadablePromotion

CHANGE_MAX_ATTEMPTS = 3
UNREADABLE = Counter("ordersvc_unreadable_promotions", "Promotions that were met and could not be read")


_THE_PROMOTION = Success("The promotion", doc.PromotionDocument)
_OF_TERMS = ("invalid_currency", "invalid_amount", "invalid_quantity", "invalid_promotion", "time_out_of_range")

router = APIRouter(prefix="/api/promotions", tags=["promotions"])


@router.get(
    "",
    operation_id="ListarPromociones",
    summary="List promotions",
    **described(
        {200: Success("A page of promotions", doc.PromotionsDocument, ("ETag",)), 304: UNCHANGED},
        "invalid_cursor",
        query=True,
        if_none_match=True,
    ),
)
async def list_promotions(ctx: PromotionsReader, query: Annotated[PromotionsQuery, Query()]) -> Response:
    """A page of promotions, by code; `page.next_cursor` leads on."""
    cursors = ctx.services.cursors
    after = None if query.cursor is None else cursors.open("promotions", query.cursor)[1]
    found = await ctx.services.promotions.list(limit=query.limit + 1, after=after)
    page = found[: query.limit]
    cursor = cursors.seal("promotions", (0, page[-1].code)) if len(found) > query.limit else None
    document = page_of([represent_promotion(promotion) for promotion in page], cursor)
    return tagged_response(ctx.header(b"if-none-match"), document)


@router.post(
    "",
    operation_id="CrearPromocion",
    summary="Make a promotion",
    status_code=201,
    **described(
        {201: Success("It is made", doc.PromotionDocument, ("Location",))},
        "promotion_exists",
        *_OF_TERMS,
        body=NewPromotion,
        key="optional",
    ),
)
async def create_promotion(ctx: PromotionsWriter) -> Response:
    """A promotion of one of four kinds; the fields that its kind does not use are absent."""
    promotion = _promotion((await ctx.body(NewPromotion)).root)

    async def create(keep: Keep) -> Response:
        response = _promotion_response(201, promotion)
        response.raw_headers.append((b"location", b"/api/promotions/" + promotion.code.encode()))
        if not await ctx.services.promotions.create(promotion, keep(response)):
            raise Problem("promotion_exists", f"The code {promotion.code} is taken.")
        return response

    return await once(ctx, create)


@router.get(
    "/{code:path}",
    operation_id="ObtenerPromocion",
    summary="Show a promotion",
    **described(
        {200: Success("The promotion", doc.PromotionDocument, ("ETag",)), 304: UNCHANGED},
        "promotion_not_found",
        if_none_match=True,
    ),
)
async def show_promotion(ctx: PromotionsReader, code: PromotionCode) -> Response:
    """The promotion; codes are compared without case."""
    document = encode(represent_promotion(await _find(ctx, code)))
    return tagged_response(ctx.header(b"if-none-match"), document)


@router.patch(
    "/{code:path}",
    operation_id="CambiarPromocion",
    summary="Change a promotion",
    **described(
        {200: _THE_PROMOTION},
        "promotion_not_found",
        "promotion_changing",
        *_OF_TERMS,
        body=PromotionChange,
        key="optional",
    ),
)
async def change_promotion(ctx: PromotionsWriter, code: PromotionCode) -> Response:
    """What the body names is changed. Orders that have the promotion keep it as it was."""
    named = await ctx.body(PromotionChange)

    async def change(keep: Keep) -> Response:
        for _ in range(CHANGE_MAX_ATTEMPTS):
            before = await _find(ctx, code)
            after = _changed(before, named)
            response = _promotion_response(200, after)
            if await ctx.services.promotions.change(before, after, keep(response)):
                return response
        raise Problem("promotion_changing", "Others are changing the promotion at the same time.")

    return await once(ctx, change)


@router.delete(
    "/{code:path}",
    operation_id="BorrarPromocion",
    summary="End a promotion for good",
    status_code=204,
    **described({204: Success("It is gone; orders that have it keep it")}, "promotion_not_found", key="optional"),
)
async def delete_promotion(ctx: PromotionsWriter, code: PromotionCode) -> Response:
    """The promotion is gone. Orders that have it keep it."""

    async def delete(keep: Keep) -> Response:
        response = Response(status_code=204)
        if not await ctx.services.promotions.delete(code, keep(response)):
            raise _not_found()
        return response

    return await once(ctx, delete)


async def _find(ctx: ReaderContext, code: str) -> StoredPromotion:
    promotion = await ctx.services.promotions.find(code)
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


def _promotion_response(status: int, promotion: StoredPromotion) -> Response:
    return json_response(status, encode(represent_promotion(promotion)))


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
