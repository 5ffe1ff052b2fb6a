"""Other processes of the service, as this one sees them: up or gone, and how to call them.

A peer is a named Ray actor. Ray tells where it listens; calls go over a connection (``link.py``), which tells within milliseconds that
the process died and within seconds that it hangs. A peer that is gone is looked for until it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import ray
import structlog

from actors.link import CALLS_MAX, Endpoint, ProcessGone, RpcConnection
from supervised import supervised

log = structlog.get_logger()

NAMESPACE = "ordersvc"
SILENT = "silent"


class Peer:
    """One named process. ``on_lost(name, why)`` and ``on_found(name)`` tell of changes; ``why`` is ``silent`` for a hang."""

    def __init__(
        self,
        name: str,
        *,
        ping_every_s: float,
        pings_missed_max: int,
        on_lost: Callable[[str, str], None] | None = None,
        on_found: Callable[[str], None] | None = None,
        calls_max: int = CALLS_MAX,
        search_first_s: float = 0.05,
        search_max_s: float = 1.0,
    ) -> None:
        self.name = name
        self.link: RpcConnection | None = None
        self.found = asyncio.Event()
        self._ping_every_s = ping_every_s
        self._pings_missed_max = pings_missed_max
        self._calls_max = calls_max
        self._on_lost = on_lost
        self._on_found = on_found
        self._search_first_s = search_first_s
        self._search_max_s = search_max_s
        self._task = supervised("peer", self._keep, peer=name)

    @property
    def is_up(self) -> bool:
        """The link stands."""
        return self.link is not None and not self.link.lost.done()

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it listens and its process id, while it is up."""
        return self.link.endpoint if self.link is not None else None

    def call(self, method: str, *arguments: object, ends_s: float | None = None) -> Coroutine[Any, Any, Any]:
        """Call a method of the process; see ``link.RpcConnection.call``. Raises ``ProcessGone`` also while it was not found."""
        return self._connected().call(method, *arguments, ends_s=ends_s)

    def send(self, method: str, *arguments: object) -> asyncio.Future[Any]:
        """Send a call, and give the future of its result; see ``link.RpcConnection.send``."""
        return self._connected().send(method, *arguments)

    def _connected(self) -> RpcConnection:
        if self.link is None:
            raise ProcessGone(self.name, "not there", sent=False)
        return self.link

    def stop(self) -> None:
        """Look for it no more."""
        self._task.cancel()
        if self.link is not None:
            self.link.close()

    async def _keep(self) -> None:
        wait_s = self._search_first_s
        while True:
            try:
                link = await self._find()
            except (OSError, TimeoutError, ValueError, ray.exceptions.RayError):
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, self._search_max_s)
                continue
            wait_s = self._search_first_s
            self.found.set()
            log.info("peer_found", peer=self.name, pid=link.endpoint.pid)
            if self._on_found is not None:
                self._on_found(self.name)
            why = await link.lost
            self.found.clear()
            log.warning("peer_lost", peer=self.name, pid=link.endpoint.pid, why=why)
            if self._on_lost is not None:
                self._on_lost(self.name, why)

    async def _find(self) -> RpcConnection:
        loop = asyncio.get_running_loop()
        handle: Any = await loop.run_in_executor(None, lambda: ray.get_actor(self.name, namespace=NAMESPACE))
        endpoint: Endpoint = await asyncio.wait_for(
            asyncio.wrap_future(handle.hello.remote().future()), self._search_max_s * 5
        )
        link = RpcConnection(
            self.name,
            endpoint,
            ping_every_s=self._ping_every_s,
            pings_missed_max=self._pings_missed_max,
            calls_max=self._calls_max,
        )
        await link.open()
        if self.link is not None:
            self.link.close()  # lost long ago, unless what came after it was found has failed
        self.link = link
        return link


class Peers:
    """The processes that this one talks to, by name; looked for from the first mention on. Bounded: idle ones are forgotten."""

    def __init__(
        self,
        *,
        ping_every_s: float,
        pings_missed_max: int,
        on_lost: Callable[[str, str], None] | None = None,
        on_found: Callable[[str], None] | None = None,
        max_peers: int = 2048,
        calls_max: int = CALLS_MAX,
    ) -> None:
        """``calls_max``: so many calls to one process may wait for their results."""
        self._peers: dict[str, Peer] = {}
        self._ping_every_s = ping_every_s
        self._pings_missed_max = pings_missed_max
        self._max_peers = max_peers
        self._calls_max = calls_max
        self.on_lost = on_lost
        self.on_found = on_found

    def get(self, name: str) -> Peer:
        """The peer of that name, known from now on. Raises ``ProcessGone`` when the bound on peers is reached."""
        peer = self._peers.get(name)
        if peer is None:
            if len(self._peers) >= self._max_peers:
                raise ProcessGone(name, "too many peers", sent=False)
            peer = self._peers[name] = Peer(
                name,
                ping_every_s=self._ping_every_s,
                pings_missed_max=self._pings_missed_max,
                calls_max=self._calls_max,
                on_lost=self._lost,
                on_found=self._found,
            )
        return peer

    def is_up(self, name: str) -> bool:
        """Whether the connection to it stands; it is looked for from now on."""
        try:
            return self.get(name).is_up
        except ProcessGone:
            return False

    def up(self) -> list[str]:
        """The names of those that are up."""
        return [name for name, peer in self._peers.items() if peer.is_up]

    def forget(self, name: str) -> None:
        """Look for it no more, and drop it."""
        peer = self._peers.pop(name, None)
        if peer is not None:
            peer.stop()

    def stop(self) -> None:
        """Forget all."""
        for name in list(self._peers):
            self.forget(name)

    def _lost(self, name: str, why: str) -> None:
        if self.on_lost is not None:
            self.on_lost(name, why)

    def _found(self, name: str) -> None:
        if self.on_found is not None:
            self.on_found(name)
