"""The supervisor: sees to it that every process of the service is there and alive.

Ray restarts what dies; the supervisor starts what is missing, replaces what hangs, and slows down what keeps dying. It adds and
ends shards as it is asked. It holds nothing that matters: everything is in PostgreSQL, so it may die at any time itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from actors.processes.growth_alarm import GrowthAlarm
from actors.rpc.clients import SILENT, ProcessClients
from actors.rpc.connection import ProcessGone
from actors.rpc.process_names import SHARD
from domain.slices import DEDICATED, dedicated_partition
from storage.errors import CommitUnknown, StorageUnavailable
from storage.processes import ProcessState
from supervised import every, note_failure, supervised_once

log = structlog.get_logger()

COUNTS = ("replaced_total", "lost_total", "storms_total", "held_back_total")
ALERTS = ("restart_storm", "hung_process", "process_not_up", "supervisor_round_failed", "credentials_refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisionPolicy:
    """Bounds and waits, unit last. A process that was lost more than ``storm_losses_max`` times within ``storm_window_s``
    raises an alert, and is replaced or started again ever more slowly. One that is not up for ``start_within_s`` raises an alert
    and is started again, and again after waits that double to ``start_wait_max_s``.
    """

    round_every_s: float = 2.0
    storm_window_s: float = 60.0
    storm_losses_max: int = 5
    storm_wait_first_s: float = 1.0
    storm_wait_max_s: float = 30.0
    start_within_s: float = 20.0
    start_wait_max_s: float = 300.0
    statistics_within_s: float = 1.0
    tidy_every_rounds: int = 8
    credentials_alert_every_s: float = 60.0


class ProcessRunner(Protocol):
    """How the processes are made and ended (``runtime.py``)."""

    def names(self) -> Sequence[str]: ...
    def alive(self) -> Sequence[str]: ...
    def start(self, name: str) -> None: ...
    def replace(self, name: str) -> None: ...
    def end(self, name: str) -> None: ...


class SupervisorStore(Protocol):
    """The part of storage that shows which process owns which partition, and what each shard is to do."""

    async def owner_names(self) -> Mapping[str, str | None]: ...
    async def shard_roles(self, cell: str) -> Mapping[str, str]: ...


@dataclass(slots=True)
class _Missing:
    """A process that should be up and is not. ``due_s``: when that is reported and it is started again."""

    due_s: float
    wait_s: float
    tries: int = 0


class Supervision:
    """Watches over the processes named by ``processes``, and over the dedicated ones it was asked for."""

    def __init__(
        self,
        *,
        processes: ProcessRunner,
        clients: ProcessClients,
        store: SupervisorStore,
        policy: SupervisionPolicy,
        cell: str,
        roles: Mapping[str, str],
        dedicated_max: int,
        monotonic: Callable[[], float],
    ) -> None:
        """``roles``: what each shard is to do by the settings of the cell."""
        self._processes = processes
        self._clients = clients
        self._store = store
        self._policy = policy
        self._cell = cell
        self._settings_roles = roles
        self._roles = dict(roles)
        self._dedicated_max = dedicated_max
        self._monotonic = monotonic
        self._dedicated: set[str] = set()
        self._superfluous: set[str] = set()
        self._drained: set[str] = set()
        self._held_back: set[str] = set()
        self._losses: dict[str, deque[float]] = {}
        self._missing: dict[str, _Missing] = {}
        self._starting: dict[str, asyncio.Future[None]] = {}
        self._alerts: Counter[str] = Counter(dict.fromkeys(ALERTS, 0))
        self._counts = dict.fromkeys(COUNTS, 0)
        self._statistics: dict[str, dict[str, float]] = {}
        self._refusals = GrowthAlarm("credentials_refused_total", every_s=policy.credentials_alert_every_s)
        self._tasks: set[asyncio.Task[None]] = set()
        clients.on_lost = self._lost

    def start(self) -> None:
        """Start every process, and begin to watch over them; it waits for none of them."""
        self._spawn(supervised_once("start-processes", self._start_all(self._expected())))
        round_s = self._policy.round_every_s
        self._every("follow-roles", round_s, self._follow_roles)
        self._every("gather-statistics", round_s, self._gather_statistics)
        self._every("start-missing", round_s, self._start_missing)
        self._every("tidy-dedicated", round_s * self._policy.tidy_every_rounds, self._tidy_dedicated)

    async def dedicate(self, order_id: str) -> bool:
        """Start a process for one order; False when there are as many as may be. Returns when it is up.

        Raises ``TimeoutError`` when it is not up within ``start_within_s``.
        """
        name = dedicated_partition(order_id)
        if name not in self._dedicated:
            if len(self._dedicated) >= self._dedicated_max:
                return False
            self._dedicated.add(name)
            await self._start(name)
        await asyncio.wait_for(self._clients.get(name).found.wait(), self._policy.start_within_s)
        return True

    async def dismiss(self, order_id: str) -> None:
        """End the process of an order that is closed."""
        name = dedicated_partition(order_id)
        self._dedicated.discard(name)
        await self._end(name)

    async def _end(self, name: str) -> None:
        """Look after a process no more, and end it. Ray is asked in a thread, which holds up nothing else."""
        self._clients.forget(name)
        self._losses.pop(name, None)
        self._missing.pop(name, None)
        self._starting.pop(name, None)
        await asyncio.get_running_loop().run_in_executor(None, self._processes.end, name)

    async def adopt_dedicated(self) -> None:
        """Read which shards are asked for, and watch again over dedicated processes that an earlier supervisor started, whether
        their order had moved or not.
        """
        alive = {name for name in self._processes.alive() if name.startswith(DEDICATED) and not name.startswith(SHARD)}
        adopted = await self._dedicated_partitions() | alive
        self._roles = await self._read_roles()
        self._dedicated |= adopted
        self._spawn(supervised_once("start-processes", self._start_all(sorted(adopted))))

    def report(self) -> dict[str, Any]:
        """Everything for the metrics and the health page: figures by process, who is up, how often each alert was raised."""
        return {
            "up": self._clients.up(),
            "expected": self._expected(),
            "supervisor": dict(self._counts),
            "processes": self._statistics,
            "alerts": dict(self._alerts),
        }

    def alert(self, name: str, detail: str) -> None:
        """Alert the operators; ``name`` is one of ``ALERTS``."""
        log.error("alert", alert=name, detail=detail)
        self._alerts[name] += 1

    # Processes.

    def _expected(self) -> list[str]:
        """The names of all processes that must be there."""
        shards = [name for name, role in self._roles.items() if role != ProcessState.DRAINING]
        return [*shards, *self._processes.names(), *sorted(self._dedicated)]

    async def _start_all(self, names: Sequence[str]) -> None:
        await asyncio.gather(*(self._start(name) for name in names))

    async def _start(self, name: str) -> None:
        """Start a process unless it runs. One that can't be started keeps us from nothing: it is missing, and tried again.

        A start that hangs goes on hanging in its thread: there is never a second one of the same process beside it.
        """
        starting = self._starting.get(name)
        if starting is None or starting.done():
            starting = asyncio.get_running_loop().run_in_executor(None, self._processes.start, name)
            self._starting[name] = starting
        try:
            async with asyncio.timeout(self._policy.start_within_s):
                await asyncio.shield(starting)
            self._clients.get(name)
            self._starting.pop(name, None)
        except Exception as error:  # noqa: BLE001 - one that can't start must not keep the others from it
            note_failure("start-process", error, process=name)

    async def _start_missing(self) -> None:
        """Raise an alert for each process that has not been up for too long, and try again to get it up."""
        now_s, policy = self._monotonic(), self._policy
        expected = set(self._expected()) - self._held_back
        for name in [name for name in self._missing if name not in expected or self._clients.is_up(name)]:
            del self._missing[name]
        for name in expected:
            if self._clients.is_up(name):
                continue
            missing = self._missing.setdefault(name, _Missing(now_s + policy.start_within_s, policy.start_within_s))
            if now_s < missing.due_s:
                continue
            self.alert("process_not_up", f"{name} has not come up for {missing.wait_s:.0f} s; it is started again")
            missing.tries += 1
            missing.wait_s = min(2 * missing.wait_s, policy.start_wait_max_s)
            missing.due_s = now_s + missing.wait_s
            await self._start(name)
            if missing.tries > 1:  # it is there, and hangs in its start
                await asyncio.get_running_loop().run_in_executor(None, self._processes.replace, name)

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
        if self._clients.is_up(name):
            return
        self._counts["replaced_total"] += 1
        self.alert("hung_process", f"{name} does not answer; it is replaced")
        await asyncio.get_running_loop().run_in_executor(None, self._processes.replace, name)

    async def _hold_back(self, name: str, wait_s: float) -> None:
        """Ray starts what dies at once, for ever: end what dies again and again for good, and start it after a while.

        If this supervisor is gone by then, the next one starts it, as it does everything that is missing.
        """
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._processes.end, name)
            log.warning("process_held_back", name=name, wait_s=wait_s)
            await asyncio.sleep(wait_s)
        finally:
            self._held_back.discard(name)
        if name in self._expected():
            await self._start(name)

    def _every(self, name: str, every_s: float, step: Callable[[], Awaitable[None]]) -> None:
        def failed(error: Exception) -> None:
            self.alert("supervisor_round_failed", f"{name}: {type(error).__name__}: {error}")

        self._spawn(every(name, every_s, step, expected=(StorageUnavailable, CommitUnknown), on_failed=failed))

    async def _follow_roles(self) -> None:
        """Start the shards that are asked for, and end those that were drained."""
        roles = await self._read_roles()
        owning = set((await self._store.owner_names()).values())
        added = [name for name, role in roles.items() if role != ProcessState.DRAINING and name not in self._roles]
        added += [name for name, role in self._roles.items() if role == ProcessState.DRAINING != roles.get(name, role)]
        self._roles = roles
        await self._start_all(added)
        drained = {name for name, role in roles.items() if role == ProcessState.DRAINING and name not in owning}
        for name in sorted(drained - self._drained):  # asked of Ray once: a drained shard stays one in the table
            await self._end(name)
            log.info("shard_drained", shard=name)
        self._drained = drained

    async def _read_roles(self) -> dict[str, str]:
        return {**self._settings_roles, **await self._store.shard_roles(self._cell)}

    async def _dedicated_partitions(self) -> set[str]:
        return {name for name in await self._store.owner_names() if name.startswith(DEDICATED)}

    async def _tidy_dedicated(self) -> None:
        """End processes whose order has no partition to itself; they were so at the last look already, or they wait."""
        superfluous = self._dedicated - await self._dedicated_partitions()
        for name in superfluous & self._superfluous:
            await self.dismiss(name.removeprefix(DEDICATED))
            log.info("dedicated_process_ended", name=name)
        self._superfluous = superfluous

    async def _gather_statistics(self) -> None:
        names = self._clients.up()

        async def ask(name: str) -> None:
            try:
                # wait_for would pass over being cancelled while an answer comes, and the supervisor would not end.
                async with asyncio.timeout(self._policy.statistics_within_s):
                    figures = await self._clients.get(name).call("statistics")
            except (ProcessGone, TimeoutError):
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
