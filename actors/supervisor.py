"""The supervisor: sees to it that every process of the service is there and alive, and that no order is forgotten.

Ray restarts what dies; the supervisor starts what is missing, replaces what hangs, slows down what keeps dying, and rings deadlines
that their shard has missed. It holds nothing that matters: everything is in PostgreSQL, so it may die at any time itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Protocol

import structlog

from actors.growth_alarm import GrowthAlarm
from actors.peers import SILENT, PeerGone, Peers
from actors.router import Router
from domain.commands import Actor, ActorType, Message, Wake
from domain.errors import OutcomeUnknown, Refused, Unavailable
from domain.slices import DEDICATED, dedicated_group
from storage.errors import CommitUnknown, StorageUnavailable
from supervised import supervised, supervised_once

log = structlog.get_logger()

COUNTS = ("replaced_total", "lost_total", "storms_total", "held_back_total", "overdue_rung_total")


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorPolicy:
    """Bounds and waits, unit last. A process that was lost more than ``storm_losses_max`` times within ``storm_window_s``
    raises an alert, and is replaced or started again ever more slowly.
    """

    round_every_s: float = 2.0
    overdue_after_s: float = 8.0
    overdue_max_orders: int = 200
    storm_window_s: float = 60.0
    storm_losses_max: int = 5
    storm_wait_first_s: float = 1.0
    storm_wait_max_s: float = 30.0
    start_within_s: float = 20.0
    statistics_within_s: float = 1.0
    tidy_every_rounds: int = 8
    alerts_max: int = 200
    credentials_alert_every_s: float = 60.0


class Processes(Protocol):
    """How the processes are made and ended (``runtime.py``)."""

    def names(self) -> Sequence[str]: ...
    def alive(self) -> Sequence[str]: ...
    def start(self, name: str) -> None: ...
    def replace(self, name: str) -> None: ...
    def end(self, name: str) -> None: ...


class SupervisorStore(Protocol):
    """The part of storage that shows which orders their shard has forgotten, and which have a process to themselves."""

    async def overdue(self, older_than_s: float, limit: int) -> Sequence[tuple[str, datetime]]: ...
    async def dedicated(self) -> dict[str, bool]: ...
    async def undedicate(self, order_id: str) -> None: ...


class Supervisor:
    """Watches over the processes named by ``processes``, and over the dedicated ones it was asked for."""

    def __init__(
        self,
        *,
        processes: Processes,
        peers: Peers,
        router: Router,
        store: SupervisorStore,
        policy: SupervisorPolicy,
        dedicated_max: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._processes = processes
        self._peers = peers
        self._router = router
        self._store = store
        self._policy = policy
        self._dedicated_max = dedicated_max
        self._monotonic = monotonic
        self._dedicated: set[str] = set()
        self._superfluous: set[str] = set()
        self._held_back: set[str] = set()
        self._losses: dict[str, deque[float]] = {}
        self._alerts: deque[dict[str, Any]] = deque(maxlen=policy.alerts_max)
        self._counts = dict.fromkeys(COUNTS, 0)
        self._statistics: dict[str, dict[str, float]] = {}
        self._refusals = GrowthAlarm("credentials_refused_total", every_s=policy.credentials_alert_every_s)
        self._tasks: set[asyncio.Task[None]] = set()
        peers.on_lost = self._lost

    async def start(self) -> None:
        """Start every process and wait until all are up."""
        for name in self._processes.names():
            self._processes.start(name)
        await asyncio.gather(*(self._peers.get(name).found.wait() for name in self._processes.names()))
        self._spawn(supervised("supervisor-rounds", self._rounds))

    async def dedicate(self, order_id: str) -> bool:
        """Start a process for one order; False when there are as many as may be. Returns when it is up."""
        name = dedicated_group(order_id)
        if name not in self._dedicated:
            if len(self._dedicated) >= self._dedicated_max:
                return False
            self._dedicated.add(name)
            self._processes.start(name)
        await self._peers.get(name).found.wait()
        return True

    def dismiss(self, order_id: str) -> None:
        """End the process of an order that is closed."""
        name = dedicated_group(order_id)
        self._peers.forget(name)
        self._dedicated.discard(name)
        self._processes.end(name)

    async def adopt_dedicated(self) -> None:
        """Watch again over dedicated processes that an earlier supervisor started, whether their order had moved or not."""
        moved = {dedicated_group(order_id) for order_id, is_open in (await self._store.dedicated()).items() if is_open}
        alive = {name for name in self._processes.alive() if name.startswith(DEDICATED)}
        for name in moved | alive - set(self._processes.names()):
            self._dedicated.add(name)
            self._processes.start(name)
            self._peers.get(name)

    def report(self) -> dict[str, Any]:
        """Everything for the metrics and the health page: figures by process, who is up, alerts."""
        return {
            "up": self._peers.up(),
            "expected": [*self._processes.names(), *sorted(self._dedicated)],
            "supervisor": dict(self._counts),
            "processes": self._statistics,
            "alerts": list(self._alerts),
        }

    def alert(self, name: str, detail: str) -> None:
        """Tell the operators."""
        log.error("alert", alert=name, detail=detail)
        self._alerts.append({"name": name, "detail": detail, "monotonic_s": self._monotonic()})

    # Processes.

    def _lost(self, name: str, why: str) -> None:
        self._counts["lost_total"] += 1
        losses = self._losses.setdefault(name, deque(maxlen=64))
        now_s = self._monotonic()
        losses.append(now_s)
        recent = sum(1 for at in losses if now_s - at < self._policy.storm_window_s)
        wait_s = self.storm_wait_s(recent)
        if wait_s:
            self._counts["storms_total"] += 1
            self.alert("restart_storm", f"{name} was lost {recent} times in {self._policy.storm_window_s:.0f} s")
        if why == SILENT:
            self._spawn(supervised_once("replace", self._replace(name, wait_s), process=name))
        elif wait_s and name not in self._held_back:
            self._held_back.add(name)
            self._counts["held_back_total"] += 1
            self._spawn(supervised_once("hold-back", self._hold_back(name, wait_s), process=name))

    def storm_wait_s(self, recent: int) -> float:
        """How long a process that was lost ``recent`` times within the window has to wait for its next start, in seconds."""
        excess = recent - self._policy.storm_losses_max
        return min(self._policy.storm_wait_first_s * 2**excess, self._policy.storm_wait_max_s) if excess > 0 else 0.0

    async def _replace(self, name: str, wait_s: float) -> None:
        """Ray does not notice a process that hangs: end it, so that Ray starts another."""
        await asyncio.sleep(wait_s)
        if self._peers.is_up(name):
            return
        self._counts["replaced_total"] += 1
        self.alert("hung_process", f"{name} does not answer; it is replaced")
        await asyncio.get_running_loop().run_in_executor(None, self._processes.replace, name)

    async def _hold_back(self, name: str, wait_s: float) -> None:
        """Ray starts what dies at once, for ever: end what dies again and again for good, and start it after a while.

        If this supervisor is gone by then, the next one starts it, as it does everything that is missing.
        """
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self._processes.end, name)
            log.warning("process_held_back", name=name, wait_s=wait_s)
            await asyncio.sleep(wait_s)
        finally:
            self._held_back.discard(name)
        while (name in self._processes.names() or name in self._dedicated) and not self._peers.is_up(name):
            await loop.run_in_executor(None, self._processes.start, name)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._peers.get(name).found.wait(), self._policy.start_within_s)

    async def _rounds(self) -> None:
        for number in count(1):
            await asyncio.sleep(self._policy.round_every_s)
            try:
                await self._ring_overdue()
                await self._gather_statistics()
                if number % self._policy.tidy_every_rounds == 0:
                    await self._tidy_dedicated()
            except Exception as error:  # a supervisor that stops its rounds is worse than a round that fails
                log.exception("round_failed")
                self.alert("supervisor_round_failed", f"{type(error).__name__}: {error}")

    async def _tidy_dedicated(self) -> None:
        """End processes whose order is closed or never moved there; they were so at the last look already, or they wait."""
        try:
            dedicated = await self._store.dedicated()
            needed = {dedicated_group(order_id) for order_id, is_open in dedicated.items() if is_open}
            known = self._dedicated | {dedicated_group(order_id) for order_id in dedicated}
            superfluous = known - needed
            for name in superfluous & self._superfluous:
                order_id = name.removeprefix(DEDICATED)
                await self._store.undedicate(order_id)
                self.dismiss(order_id)
                log.info("dedicated_process_ended", name=name)
            self._superfluous = superfluous
        except (StorageUnavailable, CommitUnknown) as error:
            log.warning("dedicated_orders_not_read", error=str(error))

    async def _ring_overdue(self) -> None:
        """Wake orders whose deadline passed a while ago: their shard missed it, or nobody owns them."""
        try:
            overdue = await self._store.overdue(self._policy.overdue_after_s, self._policy.overdue_max_orders)
        except (StorageUnavailable, CommitUnknown) as error:
            log.warning("overdue_not_read", error=str(error))
            return
        if overdue:
            log.warning("deadlines_missed", orders=len(overdue))
        await asyncio.gather(*(self._wake(order_id) for order_id, _ in overdue))

    async def _wake(self, order_id: str) -> None:
        message = Message(id=f"wake:{order_id}", body=Wake(), actor=Actor(ActorType.TIMER, "supervisor"))
        try:
            await self._router.ask(order_id, message)
            self._counts["overdue_rung_total"] += 1
        except (Refused, Unavailable, OutcomeUnknown) as error:
            log.warning("order_not_woken", order_id=order_id, error=str(error))

    async def _gather_statistics(self) -> None:
        names = self._peers.up()

        async def ask(name: str) -> None:
            try:
                call = self._peers.get(name).call("statistics")
                figures = await asyncio.wait_for(call, self._policy.statistics_within_s)
            except (PeerGone, TimeoutError):
                self._statistics.pop(name, None)
                return
            self._statistics[name] = figures
            if refused := self._refusals.grown(name, figures, self._monotonic()):
                self.alert("credentials_refused", f"{name}: {refused:.0f} calls were answered 401 or 403")

        await asyncio.gather(*(ask(name) for name in names))
        for gone in set(self._statistics) - set(names):
            del self._statistics[gone]

    def _spawn(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
