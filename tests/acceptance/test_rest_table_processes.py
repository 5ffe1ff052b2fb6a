"""A service of two API processes, a low rate limit and short waits: what takes a limit, a clock or a second process to see."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.acceptance.listening import listening
from tests.acceptance.scenarios import ITEMS, inject_fault, new_order
from tests.acceptance.shop import Shop
from tests.acceptance.started import Started, free_port, until
from tests.tools.promtool import findings_of

pytestmark = pytest.mark.own_service

PER_MIN = 40
CONNECTIONS = 24
ESTABLISHED = "01"  # in /proc/net/tcp
SETTINGS = {
    "API_PROCESSES": "2",
    "RATE_LIMIT_PER_MIN": str(PER_MIN),
    "PAYMENT_WINDOW_S": "8",
    "PAYMENT_SETTLE_S": "1",
}


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, metrics_port: int) -> Iterator[Started]:
    settings = SETTINGS | {"METRICS_PORT": str(metrics_port)}
    with Started(tmp_path_factory.mktemp("two") / "state", settings) as started, listening(started):
        yield started


@pytest.fixture(scope="module")
def shops(two: Started) -> list[Shop]:
    """Clients with connections of their own: the kernel spreads them over the processes."""
    shops = [Shop(two.endpoints(), two.folder) for _ in range(CONNECTIONS)]
    for shop in shops:
        assert shop.ask("GET", "/health/live")[0] == 200
    return shops


@pytest.fixture(scope="module")
def left_alone(shops: list[Shop]) -> dict[str, str]:
    """Two orders made first of all: nobody pays the one, and the charge of the other never gets to PaymentSvc."""
    shop = shops[0]
    unpaid, never_made = new_order(shop)["id"], new_order(shop)["id"]
    inject_fault(shop, effect="drop", operation="charge", order_id=never_made)
    status, payment, _ = shop.ask("POST", f"/api/orders/{never_made}/payments", {"method": "card"}, key=str(uuid4()))
    assert (status, payment["status"]) == (202, "processing")
    return {"unpaid": unpaid, "never_made": never_made}


def servers(two: Started) -> set[int]:
    """The processes that serve connections of the API now."""
    port = urlsplit(two.endpoints()["api"]).port or 0
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == ESTABLISHED}
    return {pid for pid in two.processes() if ours & open_files(pid)}


def open_files(pid: int) -> set[str]:
    """What a process has open, as far as it still lives."""
    found: set[str] = set()
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(file.readlink()))
    return found


def test_two_processes_serve(two: Started, left_alone: dict[str, str]) -> None:
    assert len(servers(two)) == 2


def test_what_one_process_wrote_the_other_reads_at_once(shops: list[Shop]) -> None:
    order = new_order(shops[0])
    path = f"/api/orders/{order['id']}/items/{order['items'][0]['id']}/quantity"
    for number, shop in enumerate(shops):
        status, changed, _ = shop.ask("PUT", path, {"quantity": 10 + number})
        assert status == 200
        read = shops[number - 1].order(order["id"])
        assert read["version"] >= changed["version"]
        assert read["items"][0]["quantity"] == 10 + number


def test_one_key_at_once_on_both_processes_makes_one_order(shops: list[Shop]) -> None:
    body = {"customer_id": "c-1001", "currency": "EUR", "items": ITEMS}
    key, together = str(uuid4()), Barrier(CONNECTIONS)

    def create(shop: Shop) -> tuple[int, bytes]:
        together.wait()
        answer = shop.raw("POST", "/api/orders", body, key=key)
        return answer.status, answer.data

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        answers = set(pool.map(create, shops))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 201


def test_a_cursor_of_one_process_is_good_for_the_other(shops: list[Shop]) -> None:
    customer = f"load-customer-{uuid4().int % 1_000_000}"
    made = {new_order(shop, customer_id=customer)["id"] for shop in shops[:6]}
    seen: list[str] = []
    cursor = ""
    for shop in shops:
        _, page, _ = shop.ask("GET", f"/api/customers/{customer}/orders?limit=1{cursor}")
        seen += [order["id"] for order in page["data"]]
        if not page["page"]["has_more"]:
            break
        cursor = f"&cursor={page['page']['next_cursor']}"
    assert len(seen) == len(made)
    assert set(seen) == made


def counted(shop: Shop) -> float:
    """How often the processes together say that they were asked whether they live."""
    _, text, _ = shop.ask("GET", "/metrics")
    found = re.search(
        r'^ordersvc_http_requests_total{method="GET",route="/health/live",status="200"} (\S+)$', text, re.MULTILINE
    )
    assert found
    return float(found[1])


def test_the_metrics_have_a_port_of_their_own_that_serves_nothing_else(shops: list[Shop], metrics_port: int) -> None:
    """Of several processes one has the port; it shows what all of them count, and only there no token is asked for."""

    def ask(path: str, accept: str = "*/*") -> tuple[int, str]:
        with closing(HTTPConnection("127.0.0.1", metrics_port, timeout=10)) as connection:
            connection.request("GET", path, headers={"accept": accept})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    status, text = ask("/metrics")
    assert status == 200
    assert "ordersvc_http_requests_total" in text
    assert findings_of(text) == []
    status, text = ask("/metrics", "application/openmetrics-text; version=1.0.0")
    assert status == 200
    read = {family.name for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    assert "ordersvc_http_requests" in read
    assert ask("/health/live")[0] == 404
    assert ask("/api/orders")[0] == 404
    with closing(HTTPConnection("127.0.0.1", urlsplit(shops[0].endpoints["api"]).port, timeout=10)) as connection:
        connection.request("GET", "/metrics")
        assert connection.getresponse().status == 401


def test_the_metrics_are_those_of_both_processes(shops: list[Shop]) -> None:
    before = counted(shops[0])
    for shop in shops:
        shop.ask("GET", "/health/live")
    for shop in shops[:3]:
        assert counted(shop) == before + CONNECTIONS


def test_a_token_that_asks_too_often_is_told_when_to_come_back_whichever_process_it_asks(shops: list[Shop]) -> None:
    token = shops[0].token("orders:read", customer="c-1001")
    answers: list[tuple[int, Any, dict[str, str]]] = []
    while not answers or answers[-1][0] == 200:
        answers.append(shops[len(answers) % CONNECTIONS].ask("GET", "/api/orders?limit=1", token=token))
        # Where the minute ends on the way, the next one begins to count anew.
        assert len(answers) <= 2 * PER_MIN + 1
    status, problem, told = answers[-1]
    assert (status, problem["code"]) == (429, "rate_limited")
    assert len(answers) > PER_MIN
    assert (told["ratelimit-limit"], told["ratelimit-remaining"]) == (str(PER_MIN), "0")
    assert 1 <= int(told["ratelimit-reset"]) <= 60
    assert 1 <= int(told["retry-after"]) <= 60
    remaining = [int(headers["ratelimit-remaining"]) for _, _, headers in answers[-PER_MIN - 1 :]]
    assert remaining == sorted(remaining, reverse=True)
    # Others are not held up, and admins never are.
    assert shops[0].ask("GET", "/api/orders?limit=1", token=shops[0].token("orders:read"))[0] == 200
    for shop in shops * 2:
        status, _, told = shop.ask("GET", "/api/orders?limit=1")
        assert (status, "ratelimit-limit" in told) == (200, False)


def test_a_process_that_is_killed_is_started_again_while_the_other_serves(two: Started, shops: list[Shop]) -> None:
    victim = next(iter(servers(two)))
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in servers(two), "the process is gone")
    parts = urlsplit(two.endpoints()["api"])
    kept: list[HTTPConnection] = []

    def is_back() -> bool:
        """New connections reach two processes again; the one that stayed answers meanwhile."""
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        kept.append(connection)
        with suppress(ConnectionError, RemoteDisconnected, TimeoutError):
            connection.request("GET", "/health/live")
            assert connection.getresponse().read()
        return len(servers(two)) == 2

    until(is_back, "two processes serve again", 60)
    for connection in kept:
        with closing(connection):
            pass
    assert Shop(two.endpoints(), two.folder).create()["status"] == "validated"


def test_an_order_that_nobody_pays_expires(shops: list[Shop], left_alone: dict[str, str]) -> None:
    order = shops[0].reached(left_alone["unpaid"], "cancelled")
    assert order["cancel_reason"] == "expired"


def test_a_payment_that_paymentsvc_never_got_counts_as_never_made(
    shops: list[Shop], left_alone: dict[str, str]
) -> None:
    order = shops[0].reached(left_alone["never_made"], "cancelled")
    assert order["cancel_reason"] == "expired"  # not before there was a word on the money
    [payment] = order["payments"]
    assert (payment["status"], payment["code"]) == ("rejected", "never_made")
