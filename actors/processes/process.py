"""What every process of the service has: a link for others, peers of its own, and a start that happens once, when it is greeted.

A process composes itself when it is first greeted (``hello``), so that a restart by Ray needs nobody's help. Settings, with their
secrets, come as an argument of the constructor: they are in no command line, no environment shown anywhere, and no log.
"""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import AsyncExitStack

import ray
import structlog

from actors import composition
from actors.link import Endpoint, Methods, RpcServer
from actors.logs import set_up_logs
from actors.peers import Peers
from settings import Settings
from supervised import awaited, failures_total

log = structlog.get_logger()

SUPERVISOR = "supervisor"
BRIDGE = "event-bridge"
GC_THRESHOLDS_OBJECTS = (50_000, 20, 50)


class Process:
    """What every process has: a link for others, peers of its own, and a start that happens once, when it is greeted."""

    def __init__(self, name: str, config: Settings) -> None:
        self.name = name
        self.config = config
        self._endpoint: asyncio.Task[Endpoint] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    async def hello(self) -> Endpoint:
        """Start if that has not happened yet, and tell where the link listens; raises what keeps us from starting."""
        if self._endpoint is None or (self._endpoint.done() and self._endpoint.exception() is not None):
            self._endpoint = awaited("start", self._begin())
        return await asyncio.shield(self._endpoint)

    async def _begin(self) -> Endpoint:
        set_up_logs(self.config.log_level, process=self.name)
        keep_garbage_collection_rare()
        peers = composition.make_peers(self.config)
        async with AsyncExitStack() as opened:
            opened.callback(peers.stop)
            await self._compose(peers, opened)
            endpoint = await RpcServer(node_address(), self._methods()).start(os.getpid())
            opened.pop_all()  # from here on it is open for as long as the process lives
        log.info("process_started", pid=os.getpid())
        return endpoint

    async def _compose(self, peers: Peers, opened: AsyncExitStack) -> None:
        """Put the process together. ``opened`` gets what closes each thing that was opened, for a start that fails: whoever greets
        the process next has it start anew.
        """
        raise NotImplementedError

    def _methods(self) -> Methods:
        """What other processes may call, once it is composed."""
        return {"statistics": self._figures}

    async def statistics(self) -> dict[str, float]:
        """Figures of the kind of process for the metrics."""
        return {}

    async def _figures(self) -> dict[str, float]:
        return {**await self.statistics(), "tasks_failed_total": failures_total()}


def node_address() -> str:
    """The address under which Ray knows this machine; loopback where the service runs on one machine."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address


def keep_garbage_collection_rare() -> None:
    """What is there at the start stays. Orders are frozen values without cycles: looking through all of them finds nothing, and would
    hold up the event loop the longer the more of them are in memory.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS_OBJECTS)
