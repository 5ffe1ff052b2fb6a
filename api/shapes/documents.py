"""The other shapes that are answered: lists, figures, promotions, dead letters, health, problems.

For the OpenAPI document alone; a test compares them with what is answered.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.shapes.order_documents import Amount, Document, OrderDocument
from api.shapes.promotion_schemas import PromotionFields


class PageDocument(Document):
    """``next_cursor`` goes into ``cursor`` of the next request, with the same filters."""

    next_cursor: str | None
    has_more: bool


class OrdersDocument(Document):
    """A page of orders."""

    data: list[OrderDocument]
    page: PageDocument


class PaymentFiguresDocument(Document):
    """``failure_rate`` is rejected over attempted."""

    attempts: int
    rejected: int
    failure_rate: float


class StageFiguresDocument(Document):
    """Of ``n`` orders, in milliseconds."""

    n: int
    p50_ms: int
    p95_ms: int
    p99_ms: int


class BucketDocument(Document):
    """The orders created in an hour, day or month of UTC."""

    start: datetime
    orders: int
    revenue: dict[str, Amount]


class GroupDocument(Document):
    """The orders of one status, currency or sku; ``key`` null: of all beyond the 1,000 of the most revenue."""

    key: str | None
    orders: int
    revenue: dict[str, Amount]


class StatisticsDocument(Document):
    """Figures as of ``as_of``; revenue is what was paid less what was refunded, by currency."""

    as_of: datetime
    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    orders: int
    revenue: dict[str, Amount]
    average_value: dict[str, Amount]
    by_status: dict[str, int]
    cancelled: dict[str, int]
    payments: PaymentFiguresDocument
    stages: dict[str, StageFiguresDocument]
    buckets: list[BucketDocument]
    groups: list[GroupDocument]


class PromotionDocument(PromotionFields):
    """A promotion; the fields that its kind does not use are absent."""


class PromotionsDocument(Document):
    """A page of promotions, by code."""

    data: list[PromotionDocument]
    page: PageDocument


class DeadLetterDocument(Document):
    """A message that could not be handled. ``id`` stands for its content; ``body`` is cut at 8 KiB."""

    id: str
    message_id: str | None
    reason: str
    detail: str
    attempts: int
    exchange: str
    routing_key: str
    first_received: str
    size_bytes: int
    body: str


class DeadLettersDocument(Document):
    """The oldest dead letters."""

    data: list[DeadLetterDocument]


class LiveDocument(Document):
    """The process answers."""

    status: Literal["ok"]


class DependencyDocument(Document):
    """``detail`` is there where it is down."""

    status: Literal["ok", "down"]
    latency_ms: float
    detail: str | None = None


class ReadyDocument(Document):
    """``degraded``: Redis, RabbitMQ or a partner is away. ``unavailable``: PostgreSQL or every shard is."""

    status: Literal["ok", "degraded", "unavailable"]
    dependencies: dict[str, DependencyDocument]


class FieldErrorDocument(Document):
    """One fault; ``pointer`` is an RFC 6901 JSON pointer into the body, or names a parameter."""

    pointer: str
    code: str
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[FieldErrorDocument]
    trace_id: str
    allowed: list[str] | None = None
    current_version: int | None = None
