"""How the processes are made and ended: named, detached Ray actors that Ray starts again whenever they die."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import ray

from actors.processes.hosting import hosted
from actors.processes.process import Process
from actors.rpc.process_names import BRIDGE, BULKHEAD, SUPERVISOR, bulkhead_of
from domain.calls import Partner
from settings import Settings

NAMESPACE = "ordersvc"


def kind_of(name: str) -> type[Process]:
    """The class of the process of that name."""
    # Found by name, as the supervisor's class is made of this module.
    if name.startswith(BULKHEAD):
        module, kind = "bulkhead", "Bulkhead"
    else:
        module, kind = {BRIDGE: ("event_bridge", "EventBridge"), SUPERVISOR: ("supervisor", "Supervisor")}.get(
            name, ("order_shard", "OrderShard")
        )
    found: type[Process] = getattr(import_module(f"actors.processes.{module}"), kind)
    return found


class RayProcesses:
    """The processes as named, detached Ray actors."""

    def __init__(self, config: Settings) -> None:
        self._config = config

    def names(self) -> Sequence[str]:
        """All that must be there, the shards apart."""
        return [
            *(bulkhead_of(partner) for partner in Partner),
            BRIDGE,
        ]

    def alive(self) -> Sequence[str]:
        """The names of all actors of the service that exist, dedicated ones too."""
        return list(ray.util.list_named_actors())

    def start(self, name: str) -> None:
        """Create the actor unless it exists; Ray starts it again whenever it dies."""
        ray.remote(hosted(kind_of(name))).options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            enable_task_events=False,
        ).remote(name)

    def replace(self, name: str) -> None:
        """End a process that hangs; Ray starts another in its place."""
        try:
            ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=False)
        except ValueError:
            self.start(name)

    def end(self, name: str) -> None:
        """End a process for good."""
        try:
            ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=True)
        except ValueError:
            return
