"""Reading by key in batches: what is asked while queries are under way goes with the next one, in one round trip.

A question is never joined to a query that had begun before it was asked: the answer might be older than what the
caller has already seen (L10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from storage.errors import StorageUnavailable
from supervised import supervised_once

Value = TypeVar("Value")


class BatchedReader(Generic[Value]):
    """Gives values by key. ``read`` gets different keys and gives what it found."""

    def __init__(
        self,
        read: Callable[[Sequence[str]], Awaitable[Mapping[str, Value]]],
        *,
        batch_max_keys: int = 200,
        queries_in_flight_max: int = 2,
        waiting_max_keys: int = 4096,
    ) -> None:
        self._read = read
        self._batch_max_keys = batch_max_keys
        self._queries_in_flight_max = queries_in_flight_max
        self._waiting_max_keys = waiting_max_keys
        self._waiting: dict[str, asyncio.Future[Value | None]] = {}
        self._queries: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> Value | None:
        """The value as it is now or later, None where there is none. Raises what ``read`` raises, and
        ``StorageUnavailable`` when too many wait already.
        """
        answer = self._waiting.get(key)
        if answer is None:
            if len(self._waiting) >= self._waiting_max_keys:
                raise StorageUnavailable(f"{len(self._waiting)} reads wait already")
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
            self._start()
        return await asyncio.shield(answer)

    def _start(self) -> None:
        if self._waiting and len(self._queries) < self._queries_in_flight_max:
            query = supervised_once("batched-read", self._run())
            self._queries.add(query)
            query.add_done_callback(self._ended)

    def _ended(self, query: asyncio.Task[None]) -> None:
        self._queries.discard(query)
        self._start()

    async def _run(self) -> None:
        keys = list(self._waiting)[: self._batch_max_keys]
        answers = {key: self._waiting.pop(key) for key in keys}
        try:
            found = await self._read(keys)
        except BaseException as error:  # any error: the callers that wait must get it
            for answer in answers.values():
                answer.set_exception(error)
                answer.exception()  # there may be no caller left that waits
            if not isinstance(error, Exception):
                raise
            return
        for key, answer in answers.items():
            answer.set_result(found.get(key))
