"""How orders come into memory: letters wait for their order here, and what is asked for meanwhile is the next batch read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from actors.mailbox import Letter
from domain.errors import Unavailable
from storage.errors import CommitUnknown, StorageUnavailable
from storage.snapshots import Loaded
from supervised import supervised_once

log = structlog.get_logger()

Load = Callable[[Sequence[str]], Awaitable[dict[str, Loaded]]]
Arrive = Callable[[str, Loaded | None, list[Letter]], None]


class Loading:
    """Letters whose orders are being read. ``arrive(order id, what is stored or None, letters)`` gets each order once."""

    def __init__(
        self, name: str, load: Load, arrive: Arrive, *, queue_max_messages: int, batch_max_orders: int
    ) -> None:
        self._name = name
        self._load = load
        self._arrive = arrive
        self._queue_max_messages = queue_max_messages
        self._batch_max_orders = batch_max_orders
        self._waiting: dict[str, list[Letter]] = {}
        self._letters = 0
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return self._letters

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._waiting

    def wait(self, letter: Letter) -> None:
        """Let a letter wait for its order, or tell its sender that there is no room."""
        if self._letters >= self._queue_max_messages:
            letter.tell(Unavailable("overloaded", f"{self._letters} messages wait for their orders", overloaded=True))
            return
        self._waiting.setdefault(letter.order_id, []).append(letter)
        self._letters += 1
        if self._task is None:
            self._task = supervised_once("load", self._run(), group=self._name)

    def empty(self) -> list[Letter]:
        """Give back every letter that waits; what is being read arrives nowhere."""
        return [letter for order_id in list(self._waiting) for letter in self._take(order_id)]

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._read(list(self._waiting)[: self._batch_max_orders])
        finally:
            self._task = None

    async def _read(self, ids: list[str]) -> None:
        try:
            loaded = await self._load(ids)
        except Exception as error:  # whatever it is, those who wait are told, and the next batch is read
            if not isinstance(error, StorageUnavailable | CommitUnknown):
                log.exception("orders_not_loaded", group=self._name, orders=len(ids))
            self._fail(ids, Unavailable("database_unavailable", str(error)))
            return
        for order_id in ids:
            letters = self._take(order_id)
            if not letters:
                continue
            try:
                self._arrive(order_id, loaded.get(order_id), letters)
            except Exception as error:
                log.exception("order_not_hosted", group=self._name, order_id=order_id)
                for letter in letters:
                    letter.tell(Unavailable("order_failed", f"the order can't be hosted: {error}"))

    def _fail(self, ids: list[str], told: Unavailable) -> None:
        for order_id in ids:
            for letter in self._take(order_id):
                letter.tell(told)

    def _take(self, order_id: str) -> list[Letter]:
        letters = self._waiting.pop(order_id, [])
        self._letters -= len(letters)
        return letters
