"""The one door: whatever may change an order goes through ``ask``, to the shard that owns it now.

The router sends messages in micro-batches, a queue a group of orders, to the owner that ``ownership.py`` finds. When an owner dies or
hangs it sends the unanswered messages, with their ids, to the next one; ids make that harmless.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog
from msgspec.structs import replace

from actors.batching import MicroBatcher
from actors.mailbox import Asked
from actors.ownership import Owner, Ownership
from actors.peers import PeerGone
from actors.replies import Reply
from actors.wire import Encoded, Moved, Told, Unencodable, decode_told, encode_letter, join
from domain.commands import Message
from domain.errors import OutcomeUnknown, RefusalKind, Refused, Unavailable
from domain.slices import DEDICATED

log = structlog.get_logger()

INVALID_TEXT = "invalid_text"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterLimits:
    """Bounds, unit last. ``nowhere_s``: how long a message waits while no shard at all is up, before it is refused."""

    ask_timeout_s: float = 10.0
    queue_max_messages: int = 4096
    batch_max_messages: int = 256
    calls_in_flight: int = 2
    calls_in_flight_max: int = 16
    nowhere_s: float = 3.0
    moved_wait_s: float = 0.02
    watch_again_max_s: float = 0.5


class Shards(Protocol):
    """How shards are reached (``peers.py``, or a test's own)."""

    async def deliver(
        self, name: str, group: str, batch: bytes, *, take: bool, early: Callable[[bytes], None]
    ) -> bytes: ...
    async def watch(self, name: str, order_id: str, until: str) -> bytes | None: ...


@dataclass(slots=True, eq=False)
class _Pending(Asked):
    encoded: Encoded
    group: str = ""
    may_be_done: bool = False


class Router:
    """Finds the owner of an order and asks it."""

    def __init__(self, ownership: Ownership, shards: Shards, limits: RouterLimits) -> None:
        self._ownership = ownership
        self._shards = shards
        self._limits = limits
        self._queues: dict[str, MicroBatcher[_Pending]] = {}
        self._waits: set[asyncio.Timeout] = set()
        self._waits_end_s = math.inf

    async def start(self) -> None:
        """Read the owners, and go on reading them now and then."""
        await self._ownership.start()

    async def stop(self) -> None:
        """Stop reading owners; what is under way goes on until its deadline."""
        await self._ownership.stop()

    def hurry(self, wait_max_s: float) -> None:
        """Let no ``wait`` last longer than that from now on: the process is asked to end."""
        self._waits_end_s = asyncio.get_running_loop().time() + wait_max_s
        for wait in self._waits:
            ends_s = wait.when()
            if ends_s is not None and ends_s > self._waits_end_s:
                wait.reschedule(self._waits_end_s)

    @property
    def queued(self) -> int:
        """Messages that wait to be sent."""
        return sum(len(queue) for queue in self._queues.values())

    async def ask(self, order_id: str, message: Message, *, timeout_s: float | None = None) -> Reply:
        """Deliver a message to its order and wait for what it is told, at most ``timeout_s`` seconds.

        Raises ``Refused`` (``invalid_text``: it can't be encoded, and was not sent); ``Unavailable`` (certainly nothing changed);
        ``OutcomeUnknown`` (ask again with the same id).
        """
        if not message.keyed and message.actor.reads_answers:
            # A command may be delivered twice when a shard dies; being remembered makes the second harmless.
            message = replace(message, keyed=True)
        try:
            encoded = encode_letter(order_id, message)
        except Unencodable as error:
            raise Refused(RefusalKind.UNPROCESSABLE, INVALID_TEXT, str(error)) from error
        loop = asyncio.get_running_loop()
        group = self._ownership.group_of(order_id)
        wait_s = self._limits.ask_timeout_s if timeout_s is None else timeout_s
        pending = _Pending(order_id, message, loop.create_future(), encoded, group)
        self._queue(group).put(pending)
        timer = loop.call_later(wait_s, pending.expire)
        told: Told | None = None
        try:
            told = await pending.told
            if isinstance(told, Reply):
                return told
            if isinstance(told, Moved):
                raise Unavailable("moving", "the order is changing hands")
            raise told
        finally:
            timer.cancel()
            # The traceback of what is raised leads to this frame: holding it here would leave all that the callers hold, request
            # and connection among it, to the garbage collector.
            del pending
            told = None

    async def wait(self, order_id: str, until: str, seconds: float) -> Reply | None:
        """Return when the order is ``validated`` (or cancelled) or ``payment:<id>`` is settled, or after ``seconds``.

        Gives what a command that is answered now would tell: the order, or that payment. None where it has to be read from the
        database: the order was there before, or the time is over.
        """
        ends_s = min(asyncio.get_running_loop().time() + seconds, self._waits_end_s)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(ends_s) as wait:
                self._waits.add(wait)
                try:
                    return await self._watch(order_id, until)
                finally:
                    self._waits.discard(wait)
        return None

    async def _watch(self, order_id: str, until: str) -> Reply | None:
        """Watch the order at its owner, at the next one when it moves or its shard is gone."""
        pause_s = self._limits.moved_wait_s
        while True:
            owner = self._ownership.owner_of(order_id)
            if owner is not None:
                with suppress(PeerGone):
                    seen = await self._shards.watch(owner.process, order_id, until)
                    told = None if seen is None else decode_told(seen)[0][1]
                    if not isinstance(told, Moved):
                        return told if isinstance(told, Reply) else None
                    self._ownership.not_owner(order_id, owner, told.group)
            await self._ownership.refresh()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._limits.watch_again_max_s)

    def _queue(self, group: str) -> MicroBatcher[_Pending]:
        queue = self._queues.get(group)
        if queue is None:
            for idle in [g for g, q in self._queues.items() if q.is_idle and g.startswith(DEDICATED)]:
                del self._queues[idle]

            async def send(batch: list[_Pending]) -> None:
                await self._send(group, batch)

            limits = self._limits
            queue = self._queues[group] = MicroBatcher(
                send,
                queue_max_items=limits.queue_max_messages,
                batch_max_items=limits.batch_max_messages,
                calls_in_flight=limits.calls_in_flight,
                calls_in_flight_max=limits.calls_in_flight_max,
            )
        return queue

    async def _send(self, group: str, batch: list[_Pending]) -> None:
        batch = [p for p in batch if not p.told.done()]
        if not batch:
            return
        owner = self._ownership.owner_of_group(group)
        if owner is None:
            await self._nowhere(batch)
            return
        moved: list[_Pending] = []

        def hear(data: bytes) -> None:
            moved.extend(batch[at] for at, told in decode_told(data) if not self._settle(batch[at], told, owner))

        letters = join(p.encoded for p in batch)
        try:
            hear(await self._shards.deliver(owner.process, group, letters, take=owner.take, early=hear))
        except PeerGone as gone:
            log.warning("shard_gone", shard=owner.process, group=group, messages=len(batch), why=str(gone))
            for p in batch:
                p.may_be_done = p.may_be_done or gone.sent
            await self._ownership.refresh()
            self._again(batch)
            return
        except Exception as error:
            log.exception("shard_failed", shard=owner.process, group=group, error=str(error))
            for p in batch:
                p.tell(OutcomeUnknown("the shard failed; asking again with the same key tells"))
            return
        if moved:
            await self._ownership.refresh()
            await asyncio.sleep(self._limits.moved_wait_s)
            self._again(moved)

    def _settle(self, pending: _Pending, told: Told, owner: Owner) -> bool:
        """Tell the caller; False when the message has to be sent again, elsewhere."""
        if not isinstance(told, Moved):
            self._ownership.is_owner(owner)
            _tell(pending, told)
            return True
        pending.may_be_done = True  # A commit whose answer was lost when the owner changed may stand.
        self._ownership.not_owner(pending.order_id, owner, told.group)
        pending.group = self._ownership.group_of(pending.order_id)
        return False

    def _again(self, batch: list[_Pending]) -> None:
        by_group: dict[str, list[_Pending]] = {}
        for p in batch:
            if not p.told.done():
                by_group.setdefault(p.group, []).append(p)
        for group, pendings in by_group.items():
            self._queue(group).put_back(pendings)

    async def _nowhere(self, batch: list[_Pending]) -> None:
        """No shard is up: wait a little for one, then say so."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + self._limits.nowhere_s
        while loop.time() < give_up_s:
            await asyncio.sleep(0.05)
            if self._ownership.owner_of_group(batch[0].group) is not None:
                self._again(batch)
                return
        for p in batch:
            _tell(p, Unavailable("no_shard", "no order shard is up", retry_after_s=2.0))


def _tell(pending: _Pending, told: Told) -> None:
    """Tell the caller. "Not now" means "certainly not done" only where nobody was asked before who may have done it."""
    if isinstance(told, Unavailable) and pending.may_be_done:
        told = OutcomeUnknown(f"{told.code} after its owner changed; asking again with the same key tells")
    pending.tell(told)
