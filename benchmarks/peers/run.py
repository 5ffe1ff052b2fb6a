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
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from benchmarks.client import Client, request_bytes
from benchmarks.load import Outcome, closed_loop
from benchmarks.peers.install import Peers
from local.state import is_free

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
ROUND_TIMEOUT_S = 300.0
LINE_MAX_BYTES = 16 * 1024 * 1024
PORT_FIRST = 18_100
PORT_LAST = 18_900
HERE = Path(__file__).parent

Run = Callable[[int, int], Awaitable[Outcome]]


@contextlib.asynccontextmanager
async def dbos(peers: Peers, dsn: str) -> AsyncIterator[Run]:
    """Give a function ``(in_flight, sagas)`` that runs sagas on DBOS with its system tables in the database ``dsn``."""
    pipe = asyncio.subprocess.PIPE
    program = str(HERE / "dbos_sagas.py")
    process = await asyncio.create_subprocess_exec(
        str(peers.python), program, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, limit=LINE_MAX_BYTES
    )
    assert process.stdin is not None
    assert process.stdout is not None
    into, out = process.stdin, process.stdout

    async def ask(question: dict[str, object], timeout_s: float) -> dict[str, object]:
        into.write(json.dumps(question).encode() + b"\n")
        answer = await asyncio.wait_for(out.readline(), timeout_s)
        if not answer:
            raise RuntimeError("the DBOS program ended")
        said: dict[str, object] = json.loads(answer)
        return said

    async def run(in_flight: int, sagas: int) -> Outcome:
        said = await ask({"in_flight": in_flight, "sagas": sagas}, ROUND_TIMEOUT_S)
        latencies_s, seconds = said["latencies_s"], said["seconds"]
        assert isinstance(latencies_s, list)
        assert isinstance(seconds, float)
        return Outcome(latencies_s={"saga": latencies_s}, failed=0, seconds=seconds)

    try:
        await ask({"dsn": dsn}, START_TIMEOUT_S)
        yield run
    finally:
        into.close()
        await _end(process)


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
            await _end(handler)
            await _end(server)


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


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, then make it."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _free_ports(count: int) -> list[int]:
    """Find ports below the range that the kernel hands out by itself."""
    free = (port for port in range(PORT_FIRST, PORT_LAST) if is_free(port))
    return [next(free) for _ in range(count)]
