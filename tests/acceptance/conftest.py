"""The whole service as a black box: started as `./dev run` starts it, in a temporary state folder, spoken to over HTTP and AMQP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import urllib3

PROJECT = Path(__file__).resolve().parent.parent.parent
READY_LIMIT_S = 120.0
STOP_LIMIT_S = 40.0


def until(is_so: Callable[[], Any], *, limit_s: float = 30.0, what: str = "it") -> Any:
    """Ask again and again until the answer is true; gives it. Fails with ``what`` when the limit is over."""
    give_up_s = time.monotonic() + limit_s
    while not (answer := is_so()):
        if time.monotonic() > give_up_s:
            pytest.fail(f"{what} did not come true within {limit_s:.0f} s")
        time.sleep(0.02)
    return answer


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """A running service and a client of its API."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ORDERSVC_")},
            "ORDERSVC_STATE_DIR": str(folder),
            "ORDERSVC_HTTP_PORT": str(free_port()),
            **{f"ORDERSVC_{name}": value for name, value in settings.items()},
        }
        self._log = (folder.parent / f"{folder.name}.out").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.run"],
            cwd=PROJECT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._http = urllib3.PoolManager(maxsize=32, retries=False)
        self.endpoints: dict[str, str] = {}

    def ready(self) -> Service:
        """Wait until endpoints.json is there."""
        file = self.folder / "endpoints.json"

        def is_there() -> bool:
            if self.process.poll() is not None:
                said = Path(self._log.name).read_text()[-3000:]
                pytest.fail(f"the service ended at its start ({self.process.returncode}):\n{said}")
            return file.exists()

        until(is_there, limit_s=READY_LIMIT_S, what="the service's start")
        self.endpoints = json.loads(file.read_text())
        return self

    def ask(
        self, method: str, path: str, body: object = None, *, key: str | None = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Speak to the API with the admin token: status, JSON, headers (lower case)."""
        sent = {
            "Authorization": f"Bearer {self.endpoints['token']}",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        if body is not None:
            sent["Content-Type"] = "application/json"
        if key is not None:
            sent["Idempotency-Key"] = key
        answer = self._http.request(
            method,
            self.endpoints["api"] + path,
            body=None if body is None else json.dumps(body).encode(),
            headers=sent,
            timeout=30.0,
        )
        told = json.loads(answer.data) if answer.data else None
        return answer.status, told, {k.lower(): v for k, v in answer.headers.items()}

    def create(
        self, *, sku: str = "load-sku-1", quantity: int = 2, customer: str = "c-1001", key: str | None = None
    ) -> Any:
        """An order, validated."""
        body = {"customer_id": customer, "currency": "EUR", "items": [{"sku": sku, "quantity": quantity}]}
        status, order, _ = self.ask("POST", "/api/orders", body, key=key or str(uuid4()), Prefer="wait=10")
        assert status == 201, order
        return order

    def order(self, order_id: str) -> Any:
        """The order as it is committed."""
        status, order, _ = self.ask("GET", f"/api/orders/{order_id}")
        assert status == 200, order
        return order

    def reached(self, order_id: str, *statuses: str, limit_s: float = 60.0) -> Any:
        """The order once it has one of the statuses."""

        def there() -> Any:
            order = self.order(order_id)
            return order if order["status"] in statuses else None

        return until(there, limit_s=limit_s, what=f"order {order_id} becoming {' or '.join(statuses)}")

    def partner(self, name: str, method: str, path: str, body: object = None) -> Any:
        """Speak to the sandbox: ``name`` is product, payment, user or sandbox."""
        base = self.endpoints["payment"].removesuffix("/payment")
        data = None if body is None else json.dumps(body).encode()
        answer = self._http.request(
            method, f"{base}/{name}{path}", body=data, headers={"Content-Type": "application/json"}, timeout=30.0
        )
        assert answer.status < 300, (answer.status, answer.data)
        return json.loads(answer.data) if answer.data else None

    def stop(self) -> int:
        """Ask it to end, as Ctrl-C does; gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_LIMIT_S)
        self._log.close()
        return self.process.returncode


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """The service with its default settings, one for all tests of this folder."""
    with tempfile.TemporaryDirectory(prefix="svc-") as folder:
        running = Service(Path(folder) / "state")
        try:
            yield running.ready()
        finally:
            running.stop()
