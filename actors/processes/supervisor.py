"""The process that sees to all the others."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import Any

from actors.processes import composition
from actors.processes.periodic_jobs import PeriodicJobs
from actors.processes.process import Process
from actors.processes.ray_actors import RayProcesses
from actors.processes.supervision import Supervision, SupervisionPolicy
from actors.rpc.clients import ProcessClients
from actors.rpc.server import Methods
from supervised import failures_total, supervised


class Supervisor(Process):
    """Starts the others, replaces what hangs, and does the chores."""

    kind = "supervisor"
    _supervision: Supervision
    _jobs: PeriodicJobs

    async def _compose(self, clients: ProcessClients, opened: AsyncExitStack) -> None:
        config = self.config
        store = await composition.open_router_store(config, self.name)
        opened.push_async_callback(store.close)
        self._supervision = Supervision(
            processes=RayProcesses(config),
            clients=clients,
            store=store,
            policy=SupervisionPolicy(),
            cell=config.cell,
            roles=composition.roles_of(config),
            dedicated_max=config.dedicated_max,
            monotonic=time.monotonic,
        )
        self._jobs = PeriodicJobs(composition.periodic_jobs_of(config, store), monotonic=time.monotonic)
        await self._supervision.adopt_dedicated()
        self._supervision.start()
        supervised("chores", self._jobs.run)

    def _methods(self) -> Methods:
        return {**super()._methods(), "dedicate": self.dedicate, "dismiss": self.dismiss, "report": self.report}

    async def dedicate(self, order_id: str) -> bool:
        """Start a process for one order; False when there may be no more."""
        return await self._supervision.dedicate(order_id)

    async def dismiss(self, order_id: str) -> None:
        """End the process of an order that is closed."""
        await self._supervision.dismiss(order_id)

    async def report(self) -> dict[str, Any]:
        """Everything that operators and the metrics want to know."""
        report = self._supervision.report()
        counts = {**self._jobs.counts(), "tasks_failed_total": failures_total()}
        return {**report, "supervisor": {**report["supervisor"], **counts}}
