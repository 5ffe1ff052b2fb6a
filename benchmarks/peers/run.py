"""Runs the peers beside our own engine: starts their processes, asks for sagas, gives outcomes of the same shape.

All on loopback with data in a temporary folder; what is started here is ended here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from benchmarks.client import Client, request_bytes
from benchmarks.load import Outcome, closed_loop
from benchmarks.peers.install import Peers
from benchmarks.program import Run, end, running
from local.state import is_free

START_TIMEOUT_S = 60.0
PORT_FIRST = 18_100
PORT_LAST = 18_900
HERE = Path(__file__).parent


def dbos(peers: Peers, dsn: str) -> AbstractAsyncContextManager[Run]:
    """Give a function ``(in_flight, sagas)`` that runs sagas on DBOS with its system tables in the database ``dsn``."""
    return running(str(peers.python), str(HERE / "dbos_sagas.py"), start={"dsn": dsn})


@contextlib.asynccontextmanager
async def restate(peers: Peers) -> AsyncIterator[Run]:
    """Give a function ``(in_flight, sagas)`` that runs sagas on a Restate server of its own."""
    if peers.restate_server is None:
        raise RuntimeError("the Restate server is not installed")
    ingress, admin, node, service = _free_ports(4)
    with tempfile.TemporaryDirectory(prefix="bench-restate-") as folder:
        environment = {
            **os.environ,
            "RESTATE_BASE_DIR": folder,
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_LOG_FILTER": "error",
            "DO_NOT_TRACK": "1",
        }
        quiet = asyncio.subprocess.DEVNULL
        server = await asyncio.create_subprocess_exec(
            str(peers.restate_server), "--no-logo", env=environment, stdout=quiet, stderr=quiet
        )
        handler = await asyncio.create_subprocess_exec(
            str(peers.python), str(HERE / "restate_sagas.py"), str(service), stdout=quiet, stderr=quiet
        )
        try:
            await _register(admin, service)
            async with Client(f"http://127.0.0.1:{ingress}", 256) as client:

                async def saga(index: int) -> str:
                    body = json.dumps(f"order-{index}").encode()
                    response = await client.send(request_bytes("POST", "/Saga/run", body=body))
                    return "saga" if response.status == 200 else ""

                async def run(in_flight: int, sagas: int) -> Outcome:
                    return await closed_loop(saga, total=sagas, in_flight=in_flight)

                yield run
        finally:
            for process in (handler, server):
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                await end(process)


async def _register(admin: int, service: int) -> None:
    """Tell the server where the handler is; asked again until both have started."""
    body = json.dumps({"uri": f"http://127.0.0.1:{service}", "force": True}).encode()
    until = time.monotonic() + START_TIMEOUT_S
    async with Client(f"http://127.0.0.1:{admin}", 1) as client:
        while True:
            response = await client.send(request_bytes("POST", "/deployments", body=body))
            if response.status in {200, 201}:
                return
            if time.monotonic() > until:
                raise RuntimeError(f"Restate did not start: {response.status} {response.body[:300]!r}")
            await asyncio.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    """Find ports below the range that the kernel hands out by itself."""
    free = (port for port in range(PORT_FIRST, PORT_LAST) if is_free(port))
    return [next(free) for _ in range(count)]
