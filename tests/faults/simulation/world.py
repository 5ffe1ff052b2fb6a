"""One run: processes, database, broker and partners around the real parts, all from one seed, on a clock of its own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection
from contextvars import Context, copy_context
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from tests.faults.simulation.broker import Broker
from tests.faults.simulation.chaos import NETWORK_MS, Chaos
from tests.faults.simulation.hosts import KINDS, NAMES, RULES, START_FAILS
from tests.faults.simulation.laws import Laws
from tests.faults.simulation.loop import Process, Standstill, VirtualLoop
from tests.faults.simulation.network import SILENCE_S, PeersDouble
from tests.faults.simulation.partners import PartnersDouble
from tests.faults.simulation.shared_cache import SharedCacheDouble
from tests.faults.simulation.store import Database

BEGAN = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
RETRY_DELAYS_S = (1.0, 5.0, 20.0, 60.0, 300.0)
START_AGAIN_S = 0.5
START_WITHIN_S = 60.0
TRACE_KEPT_MAX = 4000


class Inbox:
    """The queue of partners' events: what is not acknowledged when its consumer dies comes again."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers = count()
        self._attempts: dict[int, int] = {}
        self.ready: dict[int, bytes] = {}
        self.waiting: dict[int, bytes] = {}
        self.at_work: set[int] = set()
        self.dead: list[tuple[bytes, str]] = []

    def put(self, body: bytes) -> None:
        """A partner's event arrives."""
        self.ready[next(self._numbers)] = body

    def ack(self, number: int) -> None:
        """It has had its effect."""
        if (body := self.ready.pop(number, None)) is not None:
            self._world.laws.acknowledged(body)
        self.at_work.discard(number)

    def wait(self, number: int, reason: str) -> None:
        """It is tried again later, a bounded number of times."""
        attempt = self._attempts.get(number, 0)
        if attempt >= len(RETRY_DELAYS_S):
            self.set_aside(number, reason)
            return
        self._attempts[number] = attempt + 1
        self.at_work.discard(number)
        self.waiting[number] = self.ready.pop(number)
        self._world.later(RETRY_DELAYS_S[attempt], self._due, number)

    def set_aside(self, number: int, reason: str) -> None:
        """It is a dead letter."""
        self.at_work.discard(number)
        self.dead.append((self.ready.pop(number), reason))

    def consumer_died(self) -> None:
        """What it was at comes again."""
        self.at_work.clear()

    def _due(self, number: int) -> None:
        self.ready[number] = self.waiting.pop(number)


class World:
    """Everything of one run."""

    def __init__(self, seed: int, *, often: Collection[str] = (), keep_trace: bool = False) -> None:
        self.seed = seed
        self.loop = VirtualLoop()
        self.chaos = Chaos(seed, often)
        self.laws = Laws(self, RULES.payment_settle_s)
        self.database = Database(self)
        self.broker = Broker(self)
        self.inbox = Inbox(self)
        self.partners = PartnersDouble(self, self.inbox.put)
        self.copies = SharedCacheDouble(self)
        self.trace: list[str] = []
        self.hosts: dict[str, PeersDouble] = {}
        self._starting: dict[str, PeersDouble] = {}
        self.pending_requests: dict[asyncio.Future[Any], PeersDouble] = {}
        self._wanted: set[str] = set()
        self._all: list[PeersDouble] = []
        self._numbers = count(1)
        self._context = copy_context()
        self._digest = hashlib.blake2b(digest_size=8)
        self._keep_trace = keep_trace

    # Time, and what happened.

    def now(self) -> datetime:
        """The database's clock."""
        return BEGAN + timedelta(seconds=self.loop.time())

    @property
    def context(self) -> Context:
        """The context of what belongs to no process of the service."""
        return self._context.copy()

    def later(self, delay_s: float, call: Callable[..., object], *arguments: object) -> None:
        """Let something happen outside of the service after a while."""
        self.loop.call_later(delay_s, call, *arguments, context=self.context)

    def note(self, *what: object) -> None:
        """Add to the trace; equal runs have equal traces."""
        line = f"{self.loop.time():.6f} {what}"
        self._digest.update(line.encode())
        if self._keep_trace:
            self.trace.append(line)

    @property
    def trace_hash(self) -> str:
        """The digest of the trace."""
        return self._digest.hexdigest()

    # Processes.

    async def start(self) -> None:
        """Start every process and wait until all are up."""
        for name in NAMES:
            self.begin(name)
        while any(name not in self.hosts for name in NAMES):
            await asyncio.sleep(0.01)
            if self.loop.time() > START_WITHIN_S:
                raise Standstill(f"only {sorted(self.hosts)} have started")

    def kill(self, clients: PeersDouble) -> None:
        """As ``kill -9``; another is started in its place, as Ray does it."""
        process = clients.process
        if process.is_dead:
            return
        self.note("kill", process)
        process.kill()
        self._gone(clients)
        for connection in [each for each in self.broker.connections if each.process is process]:
            connection.drop()
        for other in self._others(clients):
            other.process.later(self.chaos.among(NETWORK_MS), other.lost, clients, "ended")
        for request in [request for request, host in self.pending_requests.items() if host is clients]:
            if not request.done():
                request.set_exception(ConnectionResetError("the API died"))
        if clients in (self.hosts.get(process.name), self._starting.get(process.name)):
            self.hosts.pop(process.name, None)
            self._starting.pop(process.name, None)
            self.later(self.chaos.random.uniform(0.5, 2.5), self._begin_again, process.name)

    def stop(self, clients: PeersDouble, for_s: float, *, replaced: bool) -> None:
        """As SIGSTOP; after ``for_s`` it goes on. ``replaced``: as a zombie, beside the one that took its name."""
        process = clients.process
        self.note("stop", process, replaced)
        process.stop()
        for other in self._others(clients):
            other.process.later(SILENCE_S, self._silent, other, clients)
        if replaced and self.hosts.get(process.name) is clients:
            del self.hosts[process.name]
            self.later(SILENCE_S + 1.0, self._begin_again, process.name)
            self.later(for_s + self.chaos.random.uniform(1.0, 6.0), self.kill, clients)
        self.later(for_s, self._go_on, clients)

    def cut(self, one: PeersDouble, other: PeersDouble, for_s: float) -> None:
        """Two processes don't hear each other for a while; both live."""
        self.note("cut", one.process, other.process)
        one.process.later(0.0, one.lost, other, "ended")
        one.process.later(for_s, self._meet, one, other)

    def come_to_an_end(self) -> None:
        """The faults stop: what is stopped goes on, what was replaced dies, everything is there again."""
        self.chaos.is_calm = True
        self.database.is_down = False
        self.broker.is_down = False
        self.database.tables.roles.clear()
        for clients in list(self._all):
            if clients.process.is_dead:
                continue
            if self.hosts.get(clients.process.name) is not clients and clients.serves is not None:
                self.kill(clients)
            elif clients.process.is_stopped:
                self._go_on(clients)
        for one in self._all:
            for other in self.hosts.values():
                if one is not other:
                    one.process.later(0.0, self._meet, one, other)

    def process_of(self, process: str | None) -> PeersDouble | None:
        """The process of an id in the table ``processes``, dead or alive."""
        return next((p for p in self._all if f"{p.process.name}/{p.process.number}" == process), None)

    def is_superseded(self, clients: PeersDouble) -> bool:
        """Whether another process of the same name was begun after it."""
        process = clients.process
        return any(p.process.name == process.name and p.process.number > process.number for p in self._all)

    def living(self, kind: str) -> list[PeersDouble]:
        """The processes of a kind that are up and not stopped."""
        return [
            clients for name, clients in self.hosts.items() if name.startswith(kind) and not clients.process.is_stopped
        ]

    def replace(self, name: str) -> None:
        """End a process that hangs; another is started in its place."""
        if name in self.hosts:
            self.kill(self.hosts[name])
        else:
            self.begin(name)

    def end(self, name: str) -> None:
        """End a process for good."""
        self._wanted.discard(name)
        clients = self.hosts.get(name) or self._starting.get(name)
        if clients is not None:
            self.kill(clients)

    def _begin_again(self, name: str) -> None:
        if name in self._wanted:
            self.begin(name)

    def begin(self, name: str) -> None:
        """Start a process, unless there is one of that name; it is started again whenever it dies."""
        self._wanted.add(name)
        if name in self.hosts or name in self._starting:
            return
        process = Process(self.loop, name, next(self._numbers))
        clients = PeersDouble(self, process)
        self._all.append(clients)
        self._starting[name] = clients
        process.spawn(self._start(clients))

    async def _start(self, clients: PeersDouble) -> None:
        """In the new process: it sees who is there, composes itself, and is found by the others."""
        process = clients.process
        for other in list(self.hosts.values()):
            if not other.process.is_stopped:
                clients.found(other)
        self.note("begin", process)
        kind = next(kind for prefix, kind in KINDS.items() if process.name.startswith(prefix))
        while True:
            host = kind(self, clients)
            try:
                await host.start()
            except START_FAILS:
                await asyncio.sleep(START_AGAIN_S)
                continue
            break
        clients.serves = host
        del self._starting[process.name]
        self.hosts[process.name] = clients
        self.note("up", process)
        for other in self._others(clients):
            other.process.later(self.chaos.among(NETWORK_MS), self._meet, other, clients)
            self._meet(clients, other)

    def _others(self, clients: PeersDouble) -> list[PeersDouble]:
        return [other for other in self._all if other is not clients and not other.process.is_dead]

    def _meet(self, one: PeersDouble, other: PeersDouble) -> None:
        if other.serves is not None and not other.process.is_stopped and self.hosts.get(other.process.name) is other:
            one.found(other)

    def _silent(self, other: PeersDouble, clients: PeersDouble) -> None:
        if clients.process.is_stopped:
            other.lost(clients, "silent")

    def _go_on(self, clients: PeersDouble) -> None:
        process = clients.process
        if process.is_dead or not process.is_stopped:
            return
        self.note("go on", process)
        process.go_on()
        for other in self._others(clients):
            other.process.later(self.chaos.random.uniform(0.05, 0.5), self._meet, other, clients)

    def _gone(self, clients: PeersDouble) -> None:
        if clients.process.name == "bridge":
            self.inbox.consumer_died()
