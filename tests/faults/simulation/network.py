"""How simulated processes see and call each other: links that are lost late, cut though nobody died, or found again.

It has the shape of ``actors.peers``: ``is_up``, ``get(name).call(…)``, and ``PeerGone`` at once when a link goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.link import CallFailed, Say
from actors.peers import PeerGone
from tests.faults.simulation.loop import Process
from tests.faults.simulation.weather import NETWORK_MS

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
                answer.set_exception(PeerGone(other.process.name, why, sent=True))
        if self.on_lost is not None:
            self.on_lost(other.process.name, why)

    def up(self) -> list[str]:
        """The names of those that are up and give figures: the shards, which have some that matter."""
        return [name for name in self._links if name.startswith("order-")]

    def forget(self, name: str) -> None:
        """Links are looked for by the world, so that there is nothing to forget."""

    def event_of(self, name: str) -> asyncio.Event:
        """Set while the link to it stands."""
        return self._events.setdefault(name, asyncio.Event())

    async def call(self, name: str, method: str, *arguments: object, early: Say | None = None) -> Any:
        """Call a method of another process. Raises ``PeerGone``, or ``CallFailed`` for what the method raised."""
        callee = self._links.get(name)
        if callee is None:
            raise PeerGone(name, "not there", sent=False)
        world = self._world
        answer: asyncio.Future[Any] = world.loop.create_future()
        self._waiting[answer] = callee
        callee.process.later(
            world.weather.among(NETWORK_MS), self._arrive, callee, _Call(answer, early), method, arguments
        )
        try:
            return await answer
        finally:
            del self._waiting[answer]

    def _arrive(self, callee: PeersDouble, call: _Call, method: str, arguments: Any) -> None:
        """In the process that is called."""
        more = {} if call.early is None else {"say": lambda part: self._say(call, part)}
        task = self._world.loop.create_task(getattr(callee.serves, method)(*arguments, **more))
        task.add_done_callback(lambda done: self._answer(call, done))

    def _say(self, call: _Call, part: Any) -> None:
        self.process.later(self._back_s(call), _hear, call, part)

    def _back_s(self, call: _Call) -> float:
        """How long the way back takes: nothing on it overtakes what was sent before."""
        now_s = self._world.loop.time()
        call.back_at_s = max(call.back_at_s, now_s + self._world.weather.among(NETWORK_MS))
        return call.back_at_s - now_s

    def _answer(self, call: _Call, done: asyncio.Task[Any]) -> None:
        back_s = self._back_s(call)
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or (error is not None and not isinstance(error, Exception)):
            return
        self.process.later(back_s, _settle, call.answer, error, None if error is not None else done.result())


@dataclass(slots=True)
class _Call:
    """A call under way: who hears what is said ahead, and when the last of what was said will have arrived."""

    answer: asyncio.Future[Any]
    early: Say | None
    back_at_s: float = 0.0


class PeerDouble:
    """One named process."""

    def __init__(self, peers: PeersDouble, name: str) -> None:
        self._peers = peers
        self.name = name

    @property
    def found(self) -> asyncio.Event:
        """Set while it is up."""
        return self._peers.event_of(self.name)

    async def call(self, method: str, *arguments: object, early: Say | None = None) -> Any:
        """Call a method of it."""
        return await self._peers.call(self.name, method, *arguments, early=early)


class ShardsDouble:
    """``actors.router.Shards`` over the links of one process."""

    def __init__(self, peers: PeersDouble) -> None:
        self._peers = peers

    def is_up(self, name: str) -> bool:
        return self._peers.is_up(name)

    async def deliver(self, name: str, group: str, batch: bytes, *, take: bool, early: Say) -> bytes:
        told: bytes = await self._peers.call(name, "handle", group, batch, take, early=early)
        return told

    async def watch(self, name: str, order_id: str, until: str) -> bytes | None:
        told: bytes | None = await self._peers.call(name, "watch", order_id, until)
        return told

    def forget(self, name: str) -> None:
        """Links are looked for by the world."""


def _hear(call: _Call, part: Any) -> None:
    if call.early is not None and not call.answer.done():
        call.early(part)


def _settle(answer: asyncio.Future[Any], error: BaseException | None, result: object) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(CallFailed(f"{type(error).__name__}: {error}"))
