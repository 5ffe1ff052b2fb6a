"""The port that serves metrics without a token, over real connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from api.monitoring.metrics_port import CONNECTIONS_MAX, serving_metrics
from tests.unit.api.harness import FakeMetrics

HOST = "127.0.0.1"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    with socket.socket() as free:
        free.bind((HOST, 0))
        number: int = free.getsockname()[1]
    async with serving_metrics(FakeMetrics(), HOST, number, shared=False):
        yield number


async def asked(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_it_serves_the_metrics_without_a_token(port: int) -> None:
    answer = await asked(port, b"GET /metrics?name=x HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nfigures 1\n")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", b"404"),
        (b"GET /api/orders HTTP/1.1", b"404"),
        (b"GET /health/live HTTP/1.1", b"404"),
        (b"GET /metrics/ HTTP/1.1", b"404"),
        (b"POST /metrics HTTP/1.1", b"405"),
        (b"HEAD /metrics HTTP/1.1", b"200"),
        (b"nonsense", b"404"),
    ],
)
async def test_it_serves_nothing_else(port: int, request_line: bytes, status: bytes) -> None:
    answer = await asked(port, request_line + b"\r\n\r\n")
    assert answer.split(b" ")[1] == status
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("lines", "content_type"),
    [
        (b"", b"text/plain"),
        (b"accept: */*\r\n", b"text/plain"),
        (b"Accept: application/openmetrics-text; version=1.0.0\r\n", b"application/openmetrics-text"),
        (b"accept: text/html\r\nACCEPT:application/openmetrics-text\r\n", b"application/openmetrics-text"),
        (b"x-accept: application/openmetrics-text\r\n", b"text/plain"),
    ],
)
async def test_who_asks_chooses_the_form(port: int, lines: bytes, content_type: bytes) -> None:
    answer = await asked(port, b"GET /metrics HTTP/1.1\r\nhost: x\r\n" + lines + b"\r\n")
    assert b"\r\ncontent-type: " + content_type + b"\r\n" in answer
    assert b"\r\nvary: accept\r\n" in answer


async def test_a_header_can_not_put_another_line_into_the_answer() -> None:
    class Echo(FakeMetrics):
        async def text(self, accept: str = "") -> tuple[bytes, str]:
            return b"figures 1\n", f"text/plain; version={accept}"

    with socket.socket() as free:
        free.bind((HOST, 0))
        number: int = free.getsockname()[1]
    async with serving_metrics(Echo(), HOST, number, shared=False):
        answer = await asked(number, b"GET /metrics HTTP/1.1\r\naccept: 1\nx-evil: 1\rx-evil: 2\r\n\r\n")
    assert b"version=1 x-evil: 1 x-evil: 2\r\n" in answer


async def test_connections_are_bounded_and_a_head_too(port: int) -> None:
    held = [await asyncio.open_connection(HOST, port) for _ in range(CONNECTIONS_MAX)]
    assert await asked(port, b"") == b""
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    assert await asked(port, b"GET /metrics HTTP/1.1\r\nx: " + b"y" * 40_000) == b""
    assert b"figures" in await asked(port, b"GET /metrics HTTP/1.1\r\n\r\n")


async def test_a_port_that_is_taken_is_named_by_its_variable(port: int) -> None:
    with pytest.raises(OSError, match="ORDERSVC_METRICS_PORT"):
        async with serving_metrics(FakeMetrics(), HOST, port, shared=False):
            pass


async def test_processes_may_share_it() -> None:
    with socket.socket() as free:
        free.bind((HOST, 0))
        number: int = free.getsockname()[1]
    async with (
        serving_metrics(FakeMetrics(), HOST, number, shared=True),
        serving_metrics(FakeMetrics(), HOST, number, shared=True),
    ):
        assert b"figures" in await asked(number, b"GET /metrics HTTP/1.1\r\n\r\n")
