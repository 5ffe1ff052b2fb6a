"""Other processes of the service, as this one sees them: up or gone, and how to call them.

The directory (``directory.py``) says where another process listens; calls go over a connection (``connection.py``), which shows
within milliseconds that the process died and within seconds that it hangs. A process that is gone is looked for until it is back,
quickly at first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog

from actors.rpc.connection import CALLS_MAX, ProcessGone, RpcConnection, TooManyCalls
from actors.rpc.frames import Endpoint
from storage.errors import StorageUnavailable
from supervised import supervised

log = structlog.get_logger()

SILENT = "silent"


class EndpointLookup(Protocol):
    """What says where processes listen (``directory.py``)."""

    async def find(self, names: Sequence[str]) -> Mapping[str, Endpoint]: ...


class ProcessClient:
    """One named process. ``on_lost(name, why)`` and ``on_found(name)`` report changes; ``why`` is ``silent`` for a hang."""

    def __init__(
        self,
        name: str,
        *,
        ping_every_s: float,
        pings_missed_max: int,
        on_missing: Callable[[], None],
        on_lost: Callable[[str, str], None] | None = None,
        on_found: Callable[[str], None] | None = None,
        calls_max: int = CALLS_MAX,
    ) -> None:
        self.name = name
        self.connection: RpcConnection | None = None
        self.found = asyncio.Event()
        self.missing_since_s = asyncio.get_running_loop().time()
        self._ping_every_s = ping_every_s
        self._pings_missed_max = pings_missed_max
        self._on_missing = on_missing
        self._calls_max = calls_max
        self._on_lost = on_lost
        self._on_found = on_found
        self._listens_at: asyncio.Future[Endpoint] | None = None
        self._silent_at: Endpoint | None = None
        self._task = supervised("peer", self._keep, client=name)

    @property
    def is_up(self) -> bool:
        """The connection stands."""
        return self.connection is not None and not self.connection.lost.done()

    @property
    def is_looked_for(self) -> bool:
        """It waits to learn where the process listens."""
        return self._listens_at is not None and not self._listens_at.done()

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it listens and its process id, while it is up."""
        return self.connection.endpoint if self.connection is not None else None

    def listens_at(self, endpoint: Endpoint) -> None:
        """The directory says where the process listens."""
        if self._listens_at is not None and not self._listens_at.done():
            self._listens_at.set_result(endpoint)

    def call(self, method: str, *arguments: object, ends_s: float | None = None) -> Coroutine[Any, Any, Any]:
        """Call a method of the process; see ``RpcConnection.call``. Raises ``ProcessGone`` also while it was not found."""
        return self._connected().call(method, *arguments, ends_s=ends_s)

    def send(self, method: str, *arguments: object) -> asyncio.Future[Any]:
        """Send a call, and give the future of its result; see ``RpcConnection.send``."""
        return self._connected().send(method, *arguments)

    def _connected(self) -> RpcConnection:
        if self.connection is None:
            raise ProcessGone(self.name, "not there", sent=False)
        return self.connection

    def stop(self) -> None:
        """Look for it no more."""
        self._task.cancel()
        if self.connection is not None:
            self.connection.close()

    async def _keep(self) -> None:
        while True:
            connection = await self._find()
            self.found.set()
            log.info("peer_found", client=self.name, pid=connection.endpoint.pid)
            if self._on_found is not None:
                self._on_found(self.name)
            why = await connection.lost
            self.found.clear()
            self.missing_since_s = asyncio.get_running_loop().time()
            self._silent_at = connection.endpoint if why == SILENT else None
            log.warning("peer_lost", client=self.name, pid=connection.endpoint.pid, why=why)
            if self._on_lost is not None:
                self._on_lost(self.name, why)

    async def _find(self) -> RpcConnection:
        """Open a connection to where the directory says that the process listens, once it says so."""
        while True:
            self._listens_at = asyncio.get_running_loop().create_future()
            self._on_missing()
            endpoint = await self._listens_at
            connection = RpcConnection(
                self.name,
                endpoint,
                ping_every_s=self._ping_every_s,
                pings_missed_max=self._pings_missed_max,
                calls_max=self._calls_max,
            )
            try:
                # One that hung gets little time: meanwhile another may have come in its place.
                await connection.open(self._ping_every_s if endpoint == self._silent_at else None)
            except (OSError, TimeoutError):
                continue
            if self.connection is not None:
                self.connection.close()  # lost long ago, unless what came after it was found has failed
            self.connection = connection
            return connection


class ProcessClients:
    """The processes that this one talks to, by name; looked for from the first mention on. Bounded: idle ones are forgotten.

    All that are missing are looked up by one question: every ``search_every_s``, and every ``search_late_every_s`` for what has been
    missing for longer than ``search_late_after_s``.
    """

    def __init__(
        self,
        directory: EndpointLookup,
        *,
        ping_every_s: float,
        pings_missed_max: int,
        on_lost: Callable[[str, str], None] | None = None,
        on_found: Callable[[str], None] | None = None,
        max_clients: int = 2048,
        calls_max: int = CALLS_MAX,
        search_every_s: float = 0.05,
        search_late_after_s: float = 10.0,
        search_late_every_s: float = 1.0,
    ) -> None:
        """``calls_max``: so many calls to one process may wait for their results."""
        self._directory = directory
        self._clients: dict[str, ProcessClient] = {}
        self._ping_every_s = ping_every_s
        self._pings_missed_max = pings_missed_max
        self._max_clients = max_clients
        self._calls_max = calls_max
        self._search_every_s = search_every_s
        self._search_late_after_s = search_late_after_s
        self._search_late_every_s = search_late_every_s
        self._missing = asyncio.Event()
        self._task = supervised("peers", self._search)
        self.on_lost = on_lost
        self.on_found = on_found

    def get(self, name: str) -> ProcessClient:
        """The process of that name, known from now on. Raises ``ProcessGone`` when the bound on other processes is reached."""
        client = self._clients.get(name)
        if client is None:
            if len(self._clients) >= self._max_clients:
                raise ProcessGone(name, "too many peers", sent=False)
            client = self._clients[name] = ProcessClient(
                name,
                ping_every_s=self._ping_every_s,
                pings_missed_max=self._pings_missed_max,
                on_missing=self._missing.set,
                calls_max=self._calls_max,
                on_lost=self._lost,
                on_found=self._found,
            )
        return client

    def is_up(self, name: str) -> bool:
        """Whether the connection to it stands; it is looked for from now on."""
        try:
            return self.get(name).is_up
        except ProcessGone:
            return False

    def up(self) -> list[str]:
        """The names of those that are up."""
        return [name for name, client in self._clients.items() if client.is_up]

    def notify(self, name: str, method: str, *arguments: object) -> None:
        """Call a method of a process without waiting for it. Where that is gone, or has too much to do, nothing is called."""
        with suppress(ProcessGone, TooManyCalls):
            self.get(name).send(method, *arguments).add_done_callback(_nobody_waits)

    def forget(self, name: str) -> None:
        """Look for it no more, and drop it."""
        client = self._clients.pop(name, None)
        if client is not None:
            client.stop()

    def stop(self) -> None:
        """Forget all."""
        self._task.cancel()
        for name in list(self._clients):
            self.forget(name)

    async def _search(self) -> None:
        """Ask the directory for those that are missing, for ever."""
        loop = asyncio.get_running_loop()
        late_due_s = 0.0
        while True:
            await self._missing.wait()
            is_late_due = loop.time() >= late_due_s
            if is_late_due:
                late_due_s = loop.time() + self._search_late_every_s
            looked_for = [name for name, client in self._clients.items() if client.is_looked_for]
            if not looked_for:
                self._missing.clear()
                continue
            recent_s = loop.time() - self._search_late_after_s
            names = [name for name in looked_for if is_late_due or self._clients[name].missing_since_s > recent_s]
            if names:
                await self._look_up(names)
            await asyncio.sleep(self._search_every_s)

    async def _look_up(self, names: Sequence[str]) -> None:
        try:
            found = await self._directory.find(names)
        except StorageUnavailable as error:
            log.warning("directory_not_read", error=str(error))
            return
        for name, endpoint in found.items():
            if (client := self._clients.get(name)) is not None:
                client.listens_at(endpoint)

    def _lost(self, name: str, why: str) -> None:
        if self.on_lost is not None:
            self.on_lost(name, why)

    def _found(self, name: str) -> None:
        if self.on_found is not None:
            self.on_found(name)


def _nobody_waits(done: asyncio.Future[Any]) -> None:
    """Look at the failure of a future that is not awaited, else asyncio complains."""
    error = None if done.cancelled() else done.exception()
    if error is not None and not isinstance(error, ProcessGone):
        log.warning("notification_failed", error=str(error))
