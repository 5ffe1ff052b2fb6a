"""How orders come into memory: envelopes wait for their order here, and what is asked for meanwhile is the next batch read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from actors.order.mailbox import Envelope
from domain.errors import Unavailable
from storage.errors import CommitUnknown, StorageUnavailable
from storage.writes.order_store import Loaded
from supervised import supervised_once

log = structlog.get_logger()

Load = Callable[[Sequence[str]], Awaitable[dict[str, Loaded]]]
Arrive = Callable[[str, Loaded | None, list[Envelope]], None]


class OrderLoading:
    """Envelopes whose orders are being read. ``arrive(order id, what is stored or None, envelopes)`` gets each order once."""

    def __init__(self, load: Load, arrive: Arrive, *, queue_max_messages: int, batch_max_orders: int) -> None:
        self._load = load
        self._arrive = arrive
        self._queue_max_messages = queue_max_messages
        self._batch_max_orders = batch_max_orders
        self._waiting: dict[str, list[Envelope]] = {}
        self._reading: set[str] = set()
        self._envelopes = 0
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return self._envelopes

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._waiting

    def wait(self, envelope: Envelope) -> None:
        """Let an envelope wait for its order, or reply that there is no room."""
        if self._envelopes >= self._queue_max_messages:
            envelope.reply(
                Unavailable("overloaded", f"{self._envelopes} messages wait for their orders", overloaded=True)
            )
            return
        self._waiting.setdefault(envelope.order_id, []).append(envelope)
        self._envelopes += 1
        if self._task is None:
            self._task = supervised_once("load", self._run())

    def empty(self, is_lost: Callable[[str], bool]) -> list[Envelope]:
        """Give back every envelope that waits for a lost order; what is being read of it arrives nowhere."""
        lost = [order_id for order_id in self._waiting if is_lost(order_id)]
        self._reading.difference_update(lost)
        return [envelope for order_id in lost for envelope in self._take(order_id)]

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._read(list(self._waiting)[: self._batch_max_orders])
        finally:
            self._task = None

    async def _read(self, ids: list[str]) -> None:
        self._reading = set(ids)
        try:
            loaded = await self._load(ids)
        except Exception as error:  # any error: the senders that wait get it, and the next batch is read
            if not isinstance(error, StorageUnavailable | CommitUnknown):
                log.exception("orders_not_loaded", orders=len(ids))
            self._fail(ids, Unavailable("database_unavailable", str(error)))
            return
        for order_id in ids:
            if order_id not in self._reading:
                continue  # it was lost meanwhile, and who waits for it since then needs what is stored by now
            envelopes = self._take(order_id)
            if not envelopes:
                continue
            try:
                self._arrive(order_id, loaded.get(order_id), envelopes)
            except Exception as error:
                log.exception("order_not_hosted", order_id=order_id)
                for envelope in envelopes:
                    envelope.reply(Unavailable("order_failed", f"the order can't be hosted: {error}"))

    def _fail(self, ids: list[str], outcome: Unavailable) -> None:
        for order_id in ids:
            for envelope in self._take(order_id):
                envelope.reply(outcome)

    def _take(self, order_id: str) -> list[Envelope]:
        envelopes = self._waiting.pop(order_id, [])
        self._envelopes -= len(envelopes)
        return envelopes
