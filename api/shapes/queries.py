"""The parameters of lists, statistics and cancellations, as FastAPI reads them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.access.cursors import Cursor
from api.shapes.fields import AS_QUERY_NUMBER, Identifier, Note, QueryTime
from domain.limits import AMOUNT_MAX_MINOR
from domain.order import Status
from domain.payments import OrderPaymentStatus
from storage.reads.order_filters import Sort
from storage.reads.order_queries import Bucket, GroupBy

PAGE_MAX_ROWS = 200
PAGE_DEFAULT_ROWS = 50
DEAD_LETTERS_MAX = 200
DEAD_LETTERS_DEFAULT = 50

Total = Annotated[int, Field(ge=0, le=AMOUNT_MAX_MINOR), AS_QUERY_NUMBER]
PageLimit = Annotated[int, Field(ge=1, le=PAGE_MAX_ROWS), AS_QUERY_NUMBER]

_LIMIT = "How many a page has at most."
_CURSOR = "The `next_cursor` of the page before, with the same filters."


class _Query(BaseModel):
    """What all queries have in common: no parameter that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OrderQuery(_Query):
    """ObtenerHistorialDePedidos. ``created_from`` is included, ``created_to`` is not; totals are, both."""

    customer_id: Identifier | None = Field(default=None, description="The orders of this customer.")
    status: list[Status] = Field(default=[], max_length=len(Status), description="Orders in one of these statuses.")
    payment_status: OrderPaymentStatus | None = Field(default=None, description="Orders with this payment status.")
    number: Annotated[str, StringConstraints(pattern=r"^ORD-[0-9]{9,12}$")] | None = Field(
        default=None, description="The order with this number."
    )
    sku: Identifier | None = Field(default=None, description="Orders that have a line of this.")
    created_from: QueryTime | None = Field(default=None, description="Orders created then or later.")
    created_to: QueryTime | None = Field(default=None, description="Orders created before.")
    total_min: Total | None = Field(default=None, description="Orders of this total or more, in minor units.")
    total_max: Total | None = Field(default=None, description="Orders of this total or less, in minor units.")
    needs_attention: bool | None = Field(default=None, description="Orders that need attention, or those that do not.")
    sort: Sort = Field(default=Sort.NEWEST_FIRST, description="What comes first.")
    limit: PageLimit = Field(default=PAGE_DEFAULT_ROWS, description=_LIMIT)
    cursor: Cursor | None = Field(default=None, description=_CURSOR)


class StatisticsQuery(_Query):
    """ObtenerEstadísticasPedidos. ``from`` left out: the beginning of the day 30 days before ``to``; ``to`` left out: now."""

    since: QueryTime | None = Field(
        default=None,
        alias="from",
        description="Orders created then or later; left out: the day 30 days before `to` begins.",
    )
    until: QueryTime | None = Field(default=None, alias="to", description="Orders created before; left out: now.")
    bucket: Bucket | None = Field(default=None, description="Figures for each hour, day or month besides.")
    group_by: GroupBy | None = Field(default=None, description="Figures for each status, currency or sku besides.")


class CancelQuery(_Query):
    """``reason`` is a note for people."""

    reason: Note | None = Field(default=None, description="Why, in words for people.")


class PromotionsQuery(_Query):
    """A page of promotions."""

    limit: PageLimit = Field(default=PAGE_DEFAULT_ROWS, description=_LIMIT)
    cursor: Cursor | None = Field(default=None, description=_CURSOR)


class DeadLettersQuery(_Query):
    """How many are shown."""

    limit: Annotated[int, Field(ge=1, le=DEAD_LETTERS_MAX), AS_QUERY_NUMBER] = Field(
        default=DEAD_LETTERS_DEFAULT, description="How many are shown at most."
    )
