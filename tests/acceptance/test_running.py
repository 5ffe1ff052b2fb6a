"""`./dev run` as its user sees it: it comes up, says where it is, stays up, refuses clearly, and leaves no trace."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from local.guard import parents
from tests.acceptance.started import Started, free_port, until, until_gone

pytestmark = pytest.mark.own_service

GONE_LIMIT_S = 10.0
ENDED_LIMIT_S = 30.0
KEYS = {
    "api", "amqp", "database", "redis", "ray_dashboard", "ray_address", "product", "payment", "user", "token",
    "ray_token_file",
}  # fmt: skip


def ask(endpoints: dict[str, str], method: str, path: str, body: object = None) -> Any:
    """The JSON that the API answers."""
    headers = {
        "Authorization": f"Bearer {endpoints['token']}",
        "Content-Type": "application/json",
        "Idempotency-Key": f"key-{time.monotonic_ns()}",
        "Prefer": "wait=10",
    }
    data = None if body is None else json.dumps(body).encode()
    request = Request(endpoints["api"] + path, data=data, headers=headers, method=method)  # noqa: S310
    with urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def new_order(endpoints: dict[str, str]) -> Any:
    """An order of a customer and a product that the sandbox knows."""
    order = {"customer_id": "c-1001", "currency": "EUR", "items": [{"sku": "sku-coffee", "quantity": 2}]}
    return ask(endpoints, "POST", "/api/orders", order)


def test_a_service_that_is_ready_says_where_everything_is_and_to_nobody_else(service: Started) -> None:
    file = service.folder / "endpoints.json"
    found = json.loads(file.read_text())
    assert set(found) == KEYS
    assert all(found.values())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(found["ray_token_file"]).stat().st_mode) == 0o600
    assert found["api"] in service.said()
    assert found["token"] in service.said()


def actors(service: Started) -> dict[str, str]:
    """Name -> class of the actors that Ray's command line shows alive."""
    found = service.endpoints()
    listed = subprocess.run(
        [
            str(Path(sys.executable).with_name("ray")),
            *("list", "actors", "--format", "json", "--address", found["ray_dashboard"]),
        ],
        env={**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": found["ray_token_file"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {actor["name"]: actor["class_name"] for actor in json.loads(listed.stdout) if actor["state"] == "ALIVE"}


def test_operators_find_each_process_by_its_name(service: Started) -> None:
    expected = {
        "order-shard-0": "OrderShard",
        "order-shard-1": "OrderShard",
        "bulkhead-product": "Bulkhead",
        "bulkhead-payment": "Bulkhead",
        "bulkhead-user": "Bulkhead",
        "event-bridge": "EventBridge",
        "supervisor": "Supervisor",
    }
    until(lambda: actors(service) == expected, "all actors alive under their names")
    for title in ("ray::OrderShard", "ray::Bulkhead", "ray::EventBridge", "ray::Supervisor"):
        until(lambda title=title: service.find_all(title), f"a process titled {title}")  # type: ignore[misc]


def test_an_order_is_validated_by_the_sandbox_with_the_token_that_was_printed(service: Started) -> None:
    order = new_order(service.endpoints())
    assert order["status"] == "validated", order
    assert order["totals"]["total"] > 0


def test_no_secret_is_in_any_command_line(service: Started) -> None:
    found = service.endpoints()
    secrets = [found[name].rsplit("@", 1)[0].rsplit(":", 1)[1] for name in ("amqp", "database", "redis")]
    secrets += [found["token"], Path(found["ray_token_file"]).read_text()]
    secrets.append((service.folder / "jwt-key.secret").read_text())
    for pid in service.processes():
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        assert not [secret for secret in secrets if secret in command], command


def test_a_second_start_in_the_same_folder_is_refused_and_harms_nothing(service: Started, tmp_path: Path) -> None:
    before = service.endpoints()
    second = Started(service.folder, output=tmp_path / "second.out")
    assert second.process.wait(timeout=ENDED_LIMIT_S) == 2
    assert "is in use by another start" in second.said()
    assert service.endpoints() == before
    assert service.is_ready()


@pytest.mark.parametrize("program", ["uvicorn", "actors.runtime", "valkey-server", "local.sandbox", "gcs_server"])
def test_what_is_killed_is_started_again(service: Started, program: str) -> None:
    victim = until(lambda: service.find(program), f"{program} runs")
    os.kill(victim, signal.SIGKILL)

    def is_another() -> bool:
        return service.find(program) not in {0, victim} and service.is_ready()

    until(is_another, f"{program} is back", 60)
    until(lambda: new_order(service.endpoints())["status"] == "validated", "orders are validated again", 60)


def test_ctrl_c_leaves_no_process_and_the_data_is_there_at_the_next_start(tmp_path: Path) -> None:
    port = str(free_port())
    first = Started(tmp_path / "state", {"HTTP_PORT": port})
    order = new_order(first.endpoints())
    token = first.endpoints()["token"]
    assert first.end(signal.SIGINT) == 0
    assert not (tmp_path / "state/endpoints.json").exists()

    second = Started(tmp_path / "state", {"HTTP_PORT": port})
    try:
        endpoints = second.endpoints() | {"token": token}
        assert ask(endpoints, "GET", f"/api/orders/{order['id']}")["status"] == "validated"
    finally:
        assert second.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("generation", [0, 1, 2])
def test_killing_any_of_the_processes_that_watch_leaves_nothing_running(tmp_path: Path, generation: int) -> None:
    started = Started(tmp_path / "state")
    started.endpoints()
    all_of_it = started.processes()
    victim = started.process.pid
    for _ in range(generation):
        victim = next(pid for pid, parent in parents().items() if parent == victim)
    os.kill(victim, signal.SIGKILL)
    try:
        until_gone(all_of_it, GONE_LIMIT_S)
    finally:
        started.end(signal.SIGKILL)


def test_being_stopped_while_it_starts_leaves_nothing_running(tmp_path: Path) -> None:
    started = Started(tmp_path / "state")
    until(lambda: started.find("gcs_server"), "Ray is starting", 60)
    assert started.end(signal.SIGTERM) == 0
    assert not (tmp_path / "state/endpoints.json").exists()


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://someone:hunter2@127.0.0.1:{port}/orders"),
        ("AMQP_URL", "amqp://someone:hunter2@127.0.0.1:{port}/"),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:{port}/0"),
        ("PRODUCT_URL", "http://127.0.0.1:{port}/product"),
        ("PAYMENT_URL", "http://127.0.0.1:{port}/payment"),
        ("USER_URL", "http://127.0.0.1:{port}/user"),
        ("RAY_ADDRESS", "127.0.0.1:{port}"),
    ],
)
def test_a_url_at_which_nobody_answers_is_named_and_nothing_is_started(tmp_path: Path, name: str, url: str) -> None:
    started = Started(tmp_path / "state", {name: url.format(port=free_port())})
    assert started.process.wait(timeout=ENDED_LIMIT_S) == 2
    assert f"ORDERSVC_{name} is set, but nothing answers" in started.said()
    assert "hunter2" not in started.said()
    assert "Traceback" not in started.said()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        started = Started(tmp_path / "state", {"HTTP_PORT": str(port)})
        assert started.process.wait(timeout=ENDED_LIMIT_S) == 2
        assert f"port {port} on 127.0.0.1 is taken" in started.said()


@pytest.mark.parametrize(
    ("name", "value"),
    [("SHARDS", "many"), ("SHIPPING_TAX_RATE", "21"), ("HTTP_PORT", "70000"), ("PAYMENT_WINDOW", "5")],
)
def test_a_setting_that_is_wrong_is_named_and_nothing_is_started(tmp_path: Path, name: str, value: str) -> None:
    started = Started(tmp_path / "state", {name: value})
    assert started.process.wait(timeout=ENDED_LIMIT_S) == 2
    assert f"ORDERSVC_{name}: " in started.said()
    assert "Traceback" not in started.said()
    assert not (tmp_path / "state").exists()


def test_a_state_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    started = Started(tmp_path / "state", {"STATE_DIR": str(tmp_path / "file")})
    assert started.process.wait(timeout=ENDED_LIMIT_S) == 2
    assert f"the state folder {tmp_path / 'file'} can't be used" in started.said()
    assert "Traceback" not in started.said()
