"""How simulated processes see and call each other: links that are lost late, cut though nobody died, or found again.

It has the shape of ``actors.rpc.clients``: ``is_up``, ``get(name).call(…)``, and ``ProcessGone`` at once when a link goes.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from actors.rpc.connection import CallFailed, ProcessGone
from actors.rpc.server import AnsweredLater
from tests.faults.simulation.chaos import NETWORK_MS
from tests.faults.simulation.loop import Process

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

SILENCE_S = 2.0


class PeersDouble:
    """The other processes as one sees them. ``serves`` is what it offers to them itself, once it has started."""

    def __init__(self, world: World, process: Process) -> None:
        self.process = process
        self.serves: Any = None
        self.on_found: Callable[[str], None] | None = None
        self.on_lost: Callable[[str, str], None] | None = None
        self._world = world
        self._links: dict[str, PeersDouble] = {}
        self._since_s: dict[str, float] = {}
        self._events: dict[str, asyncio.Event] = {}
        self._waiting: dict[asyncio.Future[Any], PeersDouble] = {}

    def is_up(self, name: str) -> bool:
        """Whether the link to it stands, as far as is known here."""
        return name in self._links

    def get(self, name: str) -> PeerDouble:
        """The peer of that name, up or not."""
        return PeerDouble(self, name)

    def found(self, other: PeersDouble) -> None:
        """The link to another process stands now."""
        if other.process.is_dead or self._links.get(other.process.name) is other:
            return
        former = self._links.get(other.process.name)
        if former is not None:
            if former.process.number > other.process.number:
                return
            self.lost(former, "ended")
        self._links[other.process.name] = other
        self._since_s[other.process.name] = self._world.loop.time()
        self.event_of(other.process.name).set()
        if self.on_found is not None:
            self.on_found(other.process.name)

    def lost(self, other: PeersDouble, why: str) -> None:
        """The link to another process is gone: whoever waits for its answers hears so."""
        if self._links.get(other.process.name) is not other:
            return
        del self._links[other.process.name]
        self.event_of(other.process.name).clear()
        for answer in [answer for answer, callee in self._waiting.items() if callee is other]:
            if not answer.done():
                answer.set_exception(ProcessGone(other.process.name, why, sent=True))
        if self.on_lost is not None:
            self.on_lost(other.process.name, why)

    def seen_since_s(self, other: PeersDouble) -> float:
        """Since when the link to another process stands; the end of time where it does not."""
        is_there = self._links.get(other.process.name) is other
        return self._since_s[other.process.name] if is_there else float("inf")

    def up(self) -> list[str]:
        """The names of those that are up and give figures: the shards, which have some that matter."""
        return [name for name in self._links if name.startswith("order-")]

    def forget(self, name: str) -> None:
        """Links are looked for by the world, so that there is nothing to forget."""

    def event_of(self, name: str) -> asyncio.Event:
        """Set while the link to it stands."""
        return self._events.setdefault(name, asyncio.Event())

    async def call(self, name: str, method: str, *arguments: object, ends_s: float | None = None) -> Any:
        """Call a method of another process. Raises ``ProcessGone``, ``TimeoutError``, or ``CallFailed`` for what the method raised."""
        async with asyncio.timeout_at(ends_s):
            return await self.send(name, method, *arguments)

    def notify(self, name: str, method: str, *arguments: object) -> None:
        """Call a method without waiting for it."""
        with suppress(ProcessGone):
            self.send(name, method, *arguments).add_done_callback(lambda done: done.exception())

    def send(self, name: str, method: str, *arguments: object) -> asyncio.Future[Any]:
        """Send a call, and give the future of its result. Raises ``ProcessGone``: nothing was sent."""
        callee = self._links.get(name)
        if callee is None:
            raise ProcessGone(name, "not there", sent=False)
        result: asyncio.Future[Any] = self._world.loop.create_future()
        self._waiting[result] = callee
        result.add_done_callback(lambda done: self._waiting.pop(done, None))
        way_s = self._world.chaos.among(NETWORK_MS)
        callee.process.later(way_s, self._arrive, callee, result, method, arguments)
        return result

    def _arrive(self, callee: PeersDouble, result: asyncio.Future[Any], name: str, arguments: Any) -> None:
        """In the process that is called."""
        method = callee.serves.methods()[name]
        arguments = msgspec.to_builtins(arguments, builtin_types=(bytes,))
        if isinstance(method, AnsweredLater):
            method.begin(partial(self._send_back, result, None), *arguments)
        elif inspect.iscoroutinefunction(method):
            task = self._world.loop.create_task(method(*arguments))
            task.add_done_callback(partial(self._task_done, result))
        else:
            self._send_back(result, None, method(*arguments))

    def _task_done(self, result: asyncio.Future[Any], task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if not task.cancelled() and (error is None or isinstance(error, Exception)):
            self._send_back(result, error, None if error is not None else task.result())

    def _send_back(self, result: asyncio.Future[Any], error: BaseException | None, value: object) -> None:
        self.process.later(self._world.chaos.among(NETWORK_MS), _settle, result, error, value)


class PeerDouble:
    """One named process."""

    def __init__(self, clients: PeersDouble, name: str) -> None:
        self._clients = clients
        self.name = name

    @property
    def found(self) -> asyncio.Event:
        """Set while it is up."""
        return self._clients.event_of(self.name)

    async def call(self, method: str, *arguments: object, ends_s: float | None = None) -> Any:
        """Call a method of it."""
        return await self._clients.call(self.name, method, *arguments, ends_s=ends_s)

    def send(self, method: str, *arguments: object) -> asyncio.Future[Any]:
        """Send a call of a method of it."""
        return self._clients.send(self.name, method, *arguments)


def _settle(answer: asyncio.Future[Any], error: BaseException | None, result: object) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(CallFailed(f"{type(error).__name__}: {error}"))
