"""One process's connections to the database: statements that are refused, slow, done without an answer, or never done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from domain.promotions import Promotion
from domain.reference_data import ReferenceVersion
from storage.errors import CommitUnknown, StorageUnavailable
from storage.writes.commits import Commit, FlushResult, Loaded, StoredEvent
from storage.writes.owners import ListedProcess
from tests.faults.simulation.chaos import STATEMENT_MS
from tests.faults.simulation.database import MemoryStore
from tests.faults.simulation.loop import Process

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

T = TypeVar("T")

STATEMENT_TIMEOUT_S = 1.0


class Database:
    """The server: it does statements when they arrive, unless it is down. What it did is looked at by the laws."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tables = MemoryStore(world.now)
        self.is_down = False

    def flush(self, process: str, token: str, commits: Sequence[Commit]) -> FlushResult:
        """Commit a batch, and let the laws see what it changed."""
        laws = self.world.laws
        before = {commit.order.id: self.tables.rows.get(commit.order.id) for commit in commits}
        result = self.tables.flush(process, token, commits)
        if commits:
            self.world.note("flush", process, token, sorted(result.committed), result.owned)
        for commit in commits:
            if commit.order.id in result.committed:
                is_owner = self.tables.owner_of_order(commit.order.id) == process
                laws.committed(commit, before[commit.order.id], is_owner=is_owner)
        return result

    def take(self, process: str, former: str | None, partitions: Collection[str]) -> frozenset[str]:
        """Let the laws see who takes what from whom."""
        self.world.laws.taken(process, former)
        return self.tables.take(process, former, partitions)


class StoreClient:
    """What ``storage.writes.order_store.OrderStore`` is to a process. Errors as there: ``CommitUnknown`` for flushes alone."""

    def __init__(self, database: Database, process: Process) -> None:
        self._database = database
        self._process = process
        self._chaos = database.world.chaos
        self._loop = database.world.loop

    async def flush(self, process: str, token: str, commits: Sequence[Commit]) -> FlushResult:
        """See ``MemoryStore.flush``; an empty batch is a question, and so never in doubt."""
        lost = CommitUnknown if commits else StorageUnavailable
        return await self._ask(lambda: self._database.flush(process, token, commits), lost)

    async def register(self, process: str, name: str, state: str) -> None:
        await self._ask(lambda: self._tables.register(process, name, state))

    async def seen(self, process: str) -> None:
        await self._ask(lambda: self._tables.seen(process))

    async def assign_state(self, process: str, state: str) -> None:
        await self._ask(lambda: self._tables.assign_state(process, state))

    async def listed(self) -> list[ListedProcess]:
        return await self._ask(self._tables.listed)

    async def renew(self, process: str) -> str:
        return await self._ask(lambda: self._tables.renew(process))

    async def owned(self, process: str) -> frozenset[str]:
        return await self._ask(lambda: self._tables.owned(process))

    async def owners(self) -> dict[str, str | None]:
        return await self._ask(self._tables.owners)

    async def owner_names(self) -> dict[str, str | None]:
        return await self._ask(self._tables.owner_names)

    async def take(self, process: str, former: str | None, partitions: Collection[str]) -> frozenset[str]:
        return await self._ask(lambda: self._database.take(process, former, partitions))

    async def give(self, process: str, token: str, partition: str, to: str) -> bool:
        return await self._ask(lambda: self._tables.give(process, token, partition, to))

    async def split(self, process: str, token: str, order_id: str) -> bool:
        return await self._ask(lambda: self._tables.split(process, token, order_id))

    async def merge(self, process: str, token: str, order_id: str) -> bool:
        return await self._ask(lambda: self._tables.merge(process, token, order_id))

    async def closed(self, partitions: Collection[str]) -> list[str]:
        return await self._ask(lambda: self._tables.closed(partitions))

    async def shard_roles(self, cell: str) -> dict[str, str]:
        return await self._ask(lambda: self._tables.shard_roles(cell))

    async def load(self, order_ids: Sequence[str]) -> dict[str, Loaded]:
        return await self._ask(lambda: self._tables.load(order_ids))

    async def reply(self, order_id: str, message_id: str) -> bytes | None:
        return await self._ask(lambda: self._tables.reply(order_id, message_id))

    async def promotions(self, codes: Sequence[str]) -> tuple[Promotion, ...]:
        return await self._ask(lambda: self._tables.promotions(codes))

    async def due(self, partitions: frozenset[str], ahead_s: float, limit: int) -> list[tuple[str, datetime]]:
        return await self._ask(lambda: self._tables.due(partitions, ahead_s, limit))

    async def running(
        self, partitions: frozenset[str], after: tuple[datetime, str] | None, limit: int
    ) -> list[tuple[str, datetime]]:
        return await self._ask(lambda: self._tables.running(partitions, after, limit))

    async def unpublished_orders(self, partitions: frozenset[str], older_than_s: float, limit: int) -> list[str]:
        return await self._ask(lambda: self._tables.unpublished_orders(partitions, older_than_s, limit))

    async def unpublished(self, order_ids: Sequence[str]) -> dict[str, tuple[StoredEvent, ...]]:
        return await self._ask(lambda: self._tables.unpublished(order_ids))

    async def mark_published(self, events: Sequence[tuple[str, int]]) -> None:
        await self._ask(lambda: self._tables.mark_published(events))

    async def take_numbers(self, count: int) -> int:
        return await self._ask(lambda: self._tables.take_numbers(count))

    async def raise_version(self, change: ReferenceVersion) -> None:
        await self._ask(lambda: self._tables.raise_version(change))

    async def set_aside(self, order_id: str, reason: str) -> None:
        await self._ask(lambda: self._tables.set_aside(order_id, reason))

    async def take_up_again(self, order_id: str) -> None:
        await self._ask(lambda: self._tables.take_up_again(order_id))

    async def now(self) -> datetime:
        return await self._ask(self._tables.now)

    @property
    def _tables(self) -> MemoryStore:
        return self._database.tables

    async def _ask(self, do: Callable[[], T], lost: type[Exception] = StorageUnavailable) -> T:
        """Send a statement. Its effect is the server's, so it comes about although the process that sent it is gone."""
        chaos, chances = self._chaos, self._chaos.chances
        if self._database.is_down:
            await asyncio.sleep(chaos.among(STATEMENT_MS))
            raise StorageUnavailable("the database is down")
        if chaos.strikes(chances.statement_refused):
            await asyncio.sleep(chaos.among(STATEMENT_MS))
            raise StorageUnavailable("refused by the weather")
        there_s = chaos.among(STATEMENT_MS)
        if chaos.strikes(chances.statement_slow):
            there_s += chaos.random.uniform(0.1, STATEMENT_TIMEOUT_S * 1.5)
        is_answer_lost = chaos.strikes(chances.answer_lost)
        if is_answer_lost and chaos.strikes(0.3):
            await asyncio.sleep(there_s)
            raise lost("the connection was lost before the statement arrived")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._loop.call_later(there_s, self._serve, do, answer, is_answer_lost, context=self._database.world.context)
        try:
            return await asyncio.wait_for(answer, STATEMENT_TIMEOUT_S)
        except TimeoutError:
            raise lost("no answer in time") from None
        except ConnectionError:
            raise lost("the connection was lost") from None

    def _serve(self, do: Callable[[], T], answer: asyncio.Future[T], is_answer_lost: bool) -> None:
        """The statement has arrived at the server."""
        back_s = self._chaos.among(STATEMENT_MS)
        if self._database.is_down:
            self._process.later(back_s, _fail, answer)
            return
        result = do()
        if is_answer_lost:
            self._process.later(back_s, _fail, answer)
        else:
            self._process.later(back_s, _tell, answer, result)


def _tell(answer: asyncio.Future[Any], result: object) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(ConnectionError("lost"))
        answer.exception()  # whoever asked may have given up meanwhile
