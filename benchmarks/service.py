"""The service under measurement: started for it in a folder of its own, or one that runs already.

It is told from outside only: environment in, ``endpoints.json`` out. The environment is handed on; only where the
state folder is comes from the settings.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.client import loopback
from local.state import is_free
from settings import settings

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.1
ENDPOINTS = "endpoints.json"
STATE_HELP = "state folder of a running service (ORDERSVC_STATE_DIR, where one runs there); else one is started"
PORT_FIRST = 18_000
PORT_LAST = 18_099


class ServiceFailedError(RuntimeError):
    """The service did not start, or is not there; the message has its last words."""


class Endpoints(msgspec.Struct, frozen=True):
    """What the service writes when it is ready (docs/contract.md, "Running it"). ``token`` is an admin's."""

    api: str
    database: str
    product: str
    payment: str
    user: str
    token: str
    amqp: str = ""
    redis: str = ""
    ray_address: str = ""
    ray_token_file: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service and the folder that its processes are known by."""

    endpoints: Endpoints
    state: Path


def given_state() -> Path | None:
    """Give the folder that ``ORDERSVC_STATE_DIR`` names, where a service runs in it; None: one has to be started."""
    config = settings()
    is_given = "state_dir" in config.model_fields_set
    return config.state_dir if is_given and (config.state_dir / ENDPOINTS).exists() else None


def running(state: Path) -> Service:
    """Find the service whose state folder this is; raises ``ServiceFailedError`` when it does not run."""
    file = state / ENDPOINTS
    if not file.exists():
        raise ServiceFailedError(f"no service runs in {state}: start one with ./dev run")
    endpoints = msgspec.json.decode(file.read_bytes(), type=Endpoints)
    loopback(endpoints.api)
    return Service(endpoints, state.resolve())


@contextlib.contextmanager
def started(overrides: Mapping[str, str]) -> Iterator[Service]:
    """Start the service with settings such as ``{"SHARDS": "2"}`` in a temporary folder; stop it afterwards."""
    with tempfile.TemporaryDirectory(prefix="ordersvc-bench-") as folder:
        state = Path(folder)
        port = next(port for port in range(PORT_FIRST, PORT_LAST) if is_free(port))
        wanted = {
            "STATE_DIR": folder,
            "HTTP_PORT": str(port),
            "RATE_LIMIT_PER_MIN": "0",
            "LOG_LEVEL": "WARNING",
            **overrides,
        }
        environment = {**os.environ, **{f"ORDERSVC_{name}": value for name, value in wanted.items()}}
        log = state / "bench.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "local.run"], env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            _wait(process, state / ENDPOINTS, log)
            yield running(state)
        finally:
            _stop(process)


@contextlib.contextmanager
def use(state: Path | None, overrides: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Use the running service of ``state``, or start one of its own when there is none given."""
    if state is not None:
        yield running(state)
    else:
        with started(overrides or {}) as service:
            yield service


def _wait(process: subprocess.Popen[bytes], file: Path, log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while not file.exists():
        if process.poll() is not None or time.monotonic() > until:
            raise ServiceFailedError(f"the service did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(POLL_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
