"""The parameters of lists, statistics and cancellations, as FastAPI reads them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.access.cursors import Cursor
from api.shapes.fields import AS_QUERY_NUMBER, Identifier, Note, QueryTime
from domain.money import AMOUNT_MAX_MINOR
from domain.order import Status
from storage.reads.order_filters import Sort
from storage.reads.order_queries import Bucket, GroupBy

PAGE_MAX_ROWS = 200
PAGE_DEFAULT_ROWS = 50
DEAD_LETTERS_MAX = 200
DEAD_LETTERS_DEFAULT = 50

Total = Annotated[int, Field(ge=0, le=AMOUNT_MAX_MINOR), AS_QUERY_NUMBER]
PageLimit = Annotated[int, Field(ge=1, le=PAGE_MAX_ROWS), AS_QUERY_NUMBER]
PaymentStatusName = Literal["unpaid", "pending", "in_doubt", "partially_paid", "paid", "refunded", "partially_refunded"]


class _Query(BaseModel):
    """What all queries have in common: no parameter that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OrderQuery(_Query):
    """ObtenerHistorialDePedidos. ``created_from`` is included, ``created_to`` is not; totals are, both."""

    customer_id: Identifier | None = None
    status: list[Status] = Field(default=[], max_length=len(Status))
    payment_status: PaymentStatusName | None = None
    number: Annotated[str, StringConstraints(pattern=r"^ORD-[0-9]{9,12}$")] | None = None
    sku: Identifier | None = None
    created_from: QueryTime | None = None
    created_to: QueryTime | None = None
    total_min: Total | None = None
    total_max: Total | None = None
    needs_attention: bool | None = None
    sort: Sort = Sort.NEWEST_FIRST
    limit: PageLimit = PAGE_DEFAULT_ROWS
    cursor: Cursor | None = None


class StatisticsQuery(_Query):
    """ObtenerEstadísticasPedidos. ``from`` left out: the beginning of the day 30 days before ``to``; ``to`` left out: now."""

    since: QueryTime | None = Field(default=None, alias="from")
    until: QueryTime | None = Field(default=None, alias="to")
    bucket: Bucket | None = None
    group_by: GroupBy | None = None


class CancelQuery(_Query):
    """``reason`` is a note for people."""

    reason: Note | None = None


class PromotionsQuery(_Query):
    """A page of promotions."""

    limit: PageLimit = PAGE_DEFAULT_ROWS
    cursor: Cursor | None = None


class DeadLettersQuery(_Query):
    """How many are shown."""

    limit: Annotated[int, Field(ge=1, le=DEAD_LETTERS_MAX), AS_QUERY_NUMBER] = DEAD_LETTERS_DEFAULT
