"""What every process of the service has: a row in the directory, a link for others, other processes of its own, a start and an end.

A process starts by itself as soon as it is made (``hosting.py``): it composes itself, listens, and says in the directory where. No
other process calls it for that, so a restart by Ray needs no help.
"""

from __future__ import annotations

import gc
import os
from contextlib import AsyncExitStack
from typing import ClassVar
from uuid import uuid4

import ray
import structlog

from actors.processes import composition
from actors.processes.logs import set_up_logs
from actors.rpc.clients import ProcessClients
from actors.rpc.directory import OwnRow
from actors.rpc.frames import Endpoint
from actors.rpc.server import Methods, RpcServer
from settings import Settings, release
from storage.migrate import check_schema
from storage.processes import ProcessState
from supervised import failures_total

log = structlog.get_logger()

GC_THRESHOLDS_OBJECTS = (50_000, 20, 50)


class Process:
    """One process of the service. ``kind`` is what the directory calls its kind; ``id`` is the UUID of this incarnation."""

    kind: ClassVar[str]
    row: OwnRow

    def __init__(self, name: str, config: Settings) -> None:
        self.name = name
        self.config = config
        self.id = str(uuid4())
        self._opened = AsyncExitStack()

    async def start(self) -> Endpoint:
        """Compose the process, listen, and say so in the directory; gives where the link listens.

        Raises what keeps it from that, ``StorageUnavailable`` and ``WrongSchema`` among others, and has then closed everything again.
        """
        set_up_logs(self.config.log_level, process=self.name)
        keep_garbage_collection_rare()
        node = node_address()
        async with AsyncExitStack() as opened:
            await check_schema(self.config.database_url.get_secret_value())
            directory = await opened.enter_async_context(composition.directory_of(self.config, self.name))
            self.row = directory.row_of(
                process=self.id, name=self.name, kind=self.kind, node=node, release=release(), pid=os.getpid()
            )
            await self.row.write(ProcessState.STARTING)
            opened.push_async_callback(self.row.remove)
            opened.callback(self.row.keep().cancel)
            clients = composition.make_clients(self.config, directory)
            opened.callback(clients.stop)
            await self._compose(clients, opened)
            server = RpcServer(node, self._methods(), directory.key_of(self.id))
            endpoint = await server.start(os.getpid())
            opened.push_async_callback(server.stop)
            await self.row.write(self._state(), host=endpoint.host, port=endpoint.port)
            self._opened = opened.pop_all()
        self._started()
        log.info("process_started", pid=os.getpid())
        return endpoint

    async def stop(self) -> None:
        """Listen no more, close everything, and leave the directory."""
        await self._opened.aclose()
        log.info("process_ended", pid=os.getpid())

    async def _compose(self, clients: ProcessClients, opened: AsyncExitStack) -> None:
        """Put the process together. ``opened`` gets what closes each thing that was opened."""
        raise NotImplementedError

    def _state(self) -> ProcessState:
        """What the process does once it has started."""
        return ProcessState.SERVING

    def _started(self) -> None:
        """The others see now that the process has started."""

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
