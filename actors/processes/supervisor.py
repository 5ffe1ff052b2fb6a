"""The process that sees to all the others."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import Any

from actors.processes import composition
from actors.processes.periodic_jobs import Chores
from actors.processes.process import Process
from actors.processes.ray_actors import RayProcesses
from actors.processes.supervision import Supervisor as Watcher
from actors.processes.supervision import SupervisorPolicy
from actors.rpc.clients import Peers
from actors.rpc.server import Methods
from supervised import failures_total, supervised


class Supervisor(Process):
    """Starts the others, replaces what hangs, and does the chores."""

    kind = "supervisor"
    _watcher: Watcher
    _chores: Chores

    async def _compose(self, peers: Peers, opened: AsyncExitStack) -> None:
        config = self.config
        store = await composition.open_router_store(config, self.name)
        opened.push_async_callback(store.close)
        self._watcher = Watcher(
            processes=RayProcesses(config),
            peers=peers,
            store=store,
            policy=SupervisorPolicy(),
            cell=config.cell,
            roles=composition.roles_of(config),
            dedicated_max=config.dedicated_max,
            monotonic=time.monotonic,
        )
        self._chores = Chores(composition.chores_of(config, store), monotonic=time.monotonic)
        await self._watcher.adopt_dedicated()
        self._watcher.start()
        supervised("chores", self._chores.run)

    def _methods(self) -> Methods:
        return {**super()._methods(), "dedicate": self.dedicate, "dismiss": self.dismiss, "report": self.report}

    async def dedicate(self, order_id: str) -> bool:
        """Start a process for one order; False when there may be no more."""
        return await self._watcher.dedicate(order_id)

    async def dismiss(self, order_id: str) -> None:
        """End the process of an order that is closed."""
        await self._watcher.dismiss(order_id)

    async def report(self) -> dict[str, Any]:
        """Everything that operators and the metrics want to know."""
        report = self._watcher.report()
        counts = {**self._chores.counts(), "tasks_failed_total": failures_total()}
        return {**report, "supervisor": {**report["supervisor"], **counts}}
