"""All that may change an order goes through ``ask``, to the process that owns it now.

Where the owner dies or hangs, or is the owner no more, the same message, with the same id, goes to the next one, until its time is
over; ids make that harmless.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from msgspec.structs import replace

from actors.order.messages import NotOwner, Unencodable, decode_outcome, encode_message
from actors.order.replies import Reply
from actors.routing.ownership import Ownership
from actors.rpc.connection import CallFailed, ProcessGone, TooManyCalls
from domain.commands import Message
from domain.errors import OutcomeUnknown, RefusalKind, Refused, Unavailable

log = structlog.get_logger()

INVALID_TEXT = "invalid_text"
NO_OWNER = ""  # no process has that name
_Final = Reply | Refused | Unavailable | OutcomeUnknown


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterLimits:
    """Bounds, unit last. ``no_owner_s``: how long a message waits for an owner that can be reached, before it is refused."""

    ask_timeout_s: float = 10.0
    no_owner_s: float = 3.0
    not_owner_wait_s: float = 0.02
    watch_again_max_s: float = 0.5


class OwnerClient(Protocol):
    """Another process (``clients.ProcessClient``)."""

    def call(self, method: str, *arguments: object, ends_s: float | None = None) -> Awaitable[Any]: ...


class OwnerClients(Protocol):
    """The other processes by name (``clients.ProcessClients``)."""

    def get(self, name: str) -> OwnerClient: ...


class Router:
    """Finds the owner of an order and asks it."""

    def __init__(self, ownership: Ownership, processes: OwnerClients, limits: RouterLimits) -> None:
        self._ownership = ownership
        self._processes = processes
        self._limits = limits
        self._waits: set[asyncio.Timeout] = set()
        self._waits_end_s = math.inf

    async def start(self) -> None:
        """Read the owners, and go on reading them now and then."""
        await self._ownership.start()

    async def stop(self) -> None:
        """Stop reading owners; what is under way goes on until its deadline."""
        await self._ownership.stop()

    def drain(self, wait_max_s: float) -> None:
        """Let no ``wait`` last longer than that from now on: the process is asked to end."""
        self._waits_end_s = asyncio.get_running_loop().time() + wait_max_s
        for wait in self._waits:
            ends_s = wait.when()
            if ends_s is not None and ends_s > self._waits_end_s:
                wait.reschedule(self._waits_end_s)

    async def ask(self, order_id: str, message: Message, *, timeout_s: float | None = None) -> Reply:
        """Deliver a message to its order and wait for the reply, at most ``timeout_s`` seconds.

        Raises ``Refused`` (``invalid_text``: it can't be encoded, and was not sent); ``Unavailable`` (certainly nothing changed);
        ``OutcomeUnknown`` (ask again with the same id).
        """
        if not message.keyed and message.actor.reads_answers:
            # A command may be delivered twice when a shard dies; being remembered makes the second harmless.
            message = replace(message, keyed=True)
        try:
            encoded = encode_message(order_id, message)
        except Unencodable as error:
            raise Refused(RefusalKind.UNPROCESSABLE, INVALID_TEXT, str(error)) from error
        ends_s = asyncio.get_running_loop().time() + (self._limits.ask_timeout_s if timeout_s is None else timeout_s)
        outcome: _Final | None = None
        try:
            outcome = await self._ask(order_id, encoded, ends_s)
            if isinstance(outcome, Reply):
                return outcome
            raise outcome
        except TimeoutError:
            raise OutcomeUnknown("no answer in time; asking again with the same key tells") from None
        finally:
            # The traceback of what is raised leads to this frame: holding it here would leave all that the callers hold, request
            # and connection among it, to the garbage collector.
            outcome = None

    async def _ask(self, order_id: str, encoded: bytes, ends_s: float) -> _Final:
        """Ask one owner after the other until one answers; raises ``TimeoutError`` at ``ends_s`` of the event loop's clock.

        ``may_have_run``: a former one may have committed the message.
        """
        may_have_run = False
        loop = asyncio.get_running_loop()
        away_since_s: float | None = None
        while True:
            try:
                owner = self._owner_of(order_id)
                answer = await self._processes.get(owner).call("deliver", encoded, ends_s=ends_s)
            except TooManyCalls as full:
                return _certain_outcome(
                    Unavailable("overloaded", str(full), retry_after_s=1.0, overloaded=True), may_have_run
                )
            except ProcessGone as gone:
                may_have_run = may_have_run or gone.sent
                away_since_s = loop.time() if away_since_s is None or gone.sent else away_since_s
                if loop.time() - away_since_s >= self._limits.no_owner_s:
                    away = Unavailable("no_shard", "the shard that has the order can't be reached", retry_after_s=2.0)
                    return _certain_outcome(away, may_have_run)
            except CallFailed:
                log.exception("shard_failed", shard=owner)
                return OutcomeUnknown("the shard failed; asking again with the same key tells")
            else:
                outcome = decode_outcome(answer)
                if not isinstance(outcome, NotOwner):
                    return _certain_outcome(outcome, may_have_run)
                may_have_run = True  # a commit whose answer was lost when the owner changed may stand
                away_since_s = None
            await self._recheck_owner(ends_s)

    def _owner_of(self, order_id: str) -> str:
        """Give the name of the order's owner; raises ``ProcessGone`` where none is known."""
        owner = self._ownership.owner_of(order_id)
        if owner is None:
            raise ProcessGone(NO_OWNER, "no owner is known", sent=False)
        return owner

    async def _recheck_owner(self, ends_s: float) -> None:
        async with asyncio.timeout_at(ends_s):
            await self._ownership.refresh()
            await asyncio.sleep(self._limits.not_owner_wait_s)

    async def wait(self, order_id: str, until: str, seconds: float) -> Reply | None:
        """Return when the order is ``validated`` (or cancelled) or ``payment:<id>`` is settled, or after ``seconds``.

        Gives the reply that a command would get now: the order, or that payment. None where it has to be read from the
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
        pause_s = self._limits.not_owner_wait_s
        while True:
            owner = self._ownership.owner_of(order_id)
            if owner is not None:
                with suppress(ProcessGone):
                    seen = await self._watch_at(owner, order_id, until)
                    if not isinstance(seen, NotOwner):
                        return seen
            await self._ownership.refresh()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._limits.watch_again_max_s)

    async def _watch_at(self, owner: str, order_id: str, until: str) -> Reply | NotOwner | None:
        with suppress(CallFailed, TooManyCalls):  # the waiter reads the order itself then
            seen = await self._processes.get(owner).call("watch", order_id, until)
            outcome = None if seen is None else decode_outcome(seen)
            return outcome if isinstance(outcome, Reply | NotOwner) else None
        return None


def _certain_outcome(outcome: _Final, may_have_run: bool) -> _Final:
    """Give the outcome as far as it is certain: ``Unavailable`` only where no former owner may have committed the message."""
    if may_have_run and isinstance(outcome, Unavailable):
        return OutcomeUnknown(f"{outcome.code} after its owner changed; asking again with the same key tells")
    return outcome
