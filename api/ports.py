"""What the HTTP API asks of the rest of the service; tests hand in fakes.

Only shapes: the real ones are in ``actors``, ``storage`` and ``messaging``, and ``composition.py`` puts them in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from actors.order.replies import Reply
from domain.commands import Message
from domain.order import Order
from domain.promotions import Promotion
from messaging.consuming.dead_letters import DeadLetter
from storage.reads.order_filters import OrderFilters, PageKey, Sort
from storage.reads.order_queries import Bucket, GroupBy, OrderPage
from storage.writes.commits import StoredEvent
from storage.writes.kept_answers import KeptAnswer
from storage.writes.promotions import StoredPromotion


class RouterPort(Protocol):
    """``actors.routing.router.Router``."""

    async def ask(self, order_id: str, message: Message, *, timeout_s: float | None = None) -> Reply:
        """Deliver a message and give its answer; raises ``Refused``, ``Unavailable``, ``OutcomeUnknown``."""
        ...

    async def wait(self, order_id: str, until: str, seconds: float) -> Reply | None:
        """Return when ``until`` (``validated``, ``payment:<id>``) is reached, or after ``seconds``: the reply on the order or
        the payment, or None where that has to be read.
        """
        ...


class QueriesPort(Protocol):
    """``storage.reads.order_queries.Queries``. Every method raises ``StorageUnavailable``."""

    async def order(self, order_id: str) -> Order | None:
        """Give an order as it is committed."""
        ...

    async def orders(
        self, filters: OrderFilters, *, sort: Sort = ..., limit: int, after: PageKey | None = None
    ) -> OrderPage:
        """Give a page of orders."""
        ...

    async def timeline(self, order_id: str) -> tuple[StoredEvent, ...]:
        """Give every event of an order, oldest first."""
        ...

    async def statistics(
        self,
        *,
        since: datetime,
        until: datetime,
        bucket: Bucket | None = None,
        group_by: GroupBy | None = None,
        customer_id: str | None = None,
    ) -> dict[str, Any]:
        """Give the figures of the orders created from ``since`` until before ``until``."""
        ...


class PromotionsPort(Protocol):
    """Promotions as staff see them; ``kept`` is written with a change or not at all.

    Every method raises ``StorageUnavailable``, and those that write ``CommitUnknown``.
    """

    async def find(self, code: str) -> StoredPromotion | None:
        """Give a promotion, or None; codes are compared without case."""
        ...

    async def list(self, *, limit: int, after: str | None = None) -> Sequence[StoredPromotion]:
        """Give promotions by their codes, those after ``after``."""
        ...

    async def create(self, promotion: Promotion, kept: KeptAnswer | None = None) -> bool:
        """Make a promotion; False, and nothing is changed, where its code exists."""
        ...

    async def change(self, before: StoredPromotion, after: StoredPromotion, kept: KeptAnswer | None = None) -> bool:
        """Make ``after`` of ``before``; False where it is not ``before`` any more (or is gone)."""
        ...

    async def delete(self, code: str, kept: KeptAnswer | None = None) -> bool:
        """Delete a promotion; False where there is none. Orders that have it keep it."""
        ...


class AnswersPort(Protocol):
    """Answers to keyed requests. Every method raises ``StorageUnavailable``."""

    async def find(self, answer_id: str) -> KeptAnswer | None:
        """Give an answer that was kept, or None."""
        ...

    async def keep(self, kept: KeptAnswer) -> None:
        """Keep an answer beside which nothing is written."""
        ...

    async def forget(self, keep_days: int) -> None:
        """Delete some of those that are older than so many days."""
        ...


class RateCounterPort(Protocol):
    """Counts in Redis."""

    async def count(self, name: str, amount: int, *, keep_s: int) -> int | None:
        """Add ``amount`` to a counter that lives ``keep_s`` seconds and give the sum, or None when Redis is away."""
        ...


class RememberPort(Protocol):
    """Short-lived copies in Redis; it never raises."""

    async def recall(self, name: str) -> bytes | None:
        """Give what is remembered under a name, or None (also when Redis is away)."""
        ...

    async def remember(self, name: str, value: bytes, *, keep_s: float) -> None:
        """Remember something for a while."""
        ...


class DeadLettersPort(Protocol):
    """The dead letters of RabbitMQ. Every method raises ``Unavailable`` when RabbitMQ is away."""

    async def list(self, *, limit: int) -> Sequence[DeadLetter]:
        """Give the oldest dead letters; they stay."""
        ...

    async def find(self, key: str) -> DeadLetter | None:
        """Give one, or None."""
        ...

    async def resend(self, key: str) -> bool:
        """Send one to the inbox again, and take it away then; False where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """``status``: ``ok`` or ``down``; ``latency_ms`` of asking; ``detail`` where it is down."""

    status: str
    latency_ms: float
    detail: str = ""


class HealthPort(Protocol):
    """Asks each dependency how it is."""

    async def check(self) -> Mapping[str, Health]:
        """Give the health of ``postgresql``, ``shards``, ``redis``, ``rabbitmq`` and each partner; never raises."""
        ...


class ServiceMetricsPort(Protocol):
    """The metrics."""

    async def text(self, accept: str = "") -> tuple[bytes, str]:
        """Give them in the form that ``accept`` names, else as Prometheus text, and the content type; never raises."""
        ...
