"""Figures over many orders: reckoned a few at a time, remembered for a while, and once for all that ask the same meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from api.access.fair_slots import FairSlots, SlotLimits
from api.access.security import Caller
from api.ports import QueriesPort, RememberPort
from api.problems import Problem
from api.shapes.queries import StatisticsQuery
from api.shapes.responses import encode
from domain.errors import FieldError
from domain.times import FIRST
from storage.reads.order_queries import Bucket
from supervised import awaited

BUCKETS_MAX = 5000
DEFAULT_SPAN = timedelta(days=30)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class StatisticsReader:
    """Gives the statistics. What it gives may be as old as it says in ``as_of``."""

    def __init__(self, queries: QueriesPort, memory: RememberPort, *, cache_s: float, slots: SlotLimits) -> None:
        """``cache_s``: how long figures are remembered; ``slots``: how many are reckoned at once, and wait for it."""
        self._queries = queries
        self._memory = memory
        self._cache_s = cache_s
        self._slots = FairSlots(slots)
        self._under_way: dict[str, asyncio.Task[bytes]] = {}

    async def document(self, caller: Caller, query: StatisticsQuery) -> bytes:
        """Give the encoded figures of the orders that the caller may see; raises ``Problem`` for a span that can't be shown."""
        name = "statistics:" + encode([caller.customer_id, query.model_dump(mode="json")]).decode()
        remembered = await self._memory.recall(name)
        if remembered is not None:
            return remembered
        under_way = self._under_way.get(name)
        if under_way is None:
            under_way = awaited("statistics", self._reckon(name, query, caller))
            self._under_way[name] = under_way
            under_way.add_done_callback(lambda _: self._under_way.pop(name, None))
        # All that ask the same meanwhile get the same; one that goes away takes it from no other.
        return await asyncio.shield(under_way)

    async def _reckon(self, name: str, query: StatisticsQuery, caller: Caller) -> bytes:
        until = query.until or datetime.now(UTC)
        since = query.since or (max(FIRST + DEFAULT_SPAN, until) - DEFAULT_SPAN).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        _check_span(since, until, query.bucket)
        async with self._slots.slot(caller.customer_id or caller.subject):
            document: dict[str, Any] = await self._queries.statistics(
                since=since, until=until, bucket=query.bucket, group_by=query.group_by, customer_id=caller.customer_id
            )
        encoded = encode(document)
        await self._memory.remember(name, encoded, keep_s=self._cache_s)
        return encoded


def _check_span(since: datetime, until: datetime, bucket: Bucket | None) -> None:
    if since > until:
        fault = FieldError("/from", "invalid_parameter", "Later than to")
        raise Problem("invalid_parameter", "from is later than to.", errors=(fault,))
    if bucket is not None and buckets_between(since, until, bucket) > BUCKETS_MAX:
        fault = FieldError("/bucket", "too_many_buckets", f"More than {BUCKETS_MAX} of them between from and to")
        raise Problem("too_many_buckets", f"That would be more than {BUCKETS_MAX} buckets.", errors=(fault,))


def buckets_between(since: datetime, until: datetime, bucket: Bucket) -> int:
    """How many buckets the time from ``since`` until before ``until`` touches."""
    if since == until:
        return 0
    last = until - _MICROSECOND
    if bucket is Bucket.MONTH:
        return 12 * (last.year - since.year) + last.month - since.month + 1
    length = timedelta(hours=1) if bucket is Bucket.HOUR else timedelta(days=1)
    return (last - _EPOCH) // length - (since - _EPOCH) // length + 1
