"""The metrics on a port of their own, without a token, for a scraper on the same machine or network.

It answers ``GET /metrics`` and nothing else: one request a connection, few connections, little time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from api.ports import ServiceMetricsPort

CONNECTIONS_MAX = 16
EXCHANGE_MAX_S = 10.0
HEAD_MAX_BYTES = 16 * 1024


@asynccontextmanager
async def serving_metrics(figures: ServiceMetricsPort, host: str, port: int, *, shared: bool) -> AsyncIterator[None]:
    """Serve them for as long as the context lasts. ``shared``: several processes serve the same port.

    Raises ``OSError`` naming the variable where the port can't be had.
    """
    scrapes = MetricsPort(figures)
    try:
        server = await asyncio.start_server(
            scrapes.connected, host, port, limit=HEAD_MAX_BYTES, reuse_port=shared or None
        )
    except OSError as error:
        raise OSError(f"ORDERSVC_METRICS_PORT: {host}:{port} can't be listened on: {error.strerror}") from error
    async with server:
        yield


class MetricsPort:
    """Answers connections."""

    def __init__(self, figures: ServiceMetricsPort) -> None:
        self._figures = figures
        self._connections = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close the connection."""
        self._connections += 1
        try:
            if self._connections <= CONNECTIONS_MAX:
                async with asyncio.timeout(EXCHANGE_MAX_S):
                    writer.write(await self._answer(reader))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # A scraper that is slow, gone, or no scraper: it asks again.
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _answer(HTTPStatus.NOT_FOUND, b"", is_head=method == b"HEAD")
        if method not in (b"GET", b"HEAD"):
            return _answer(HTTPStatus.METHOD_NOT_ALLOWED, b"", is_head=False)
        text, content_type = await self._figures.text(_accept(head))
        return _answer(HTTPStatus.OK, text, content_type, is_head=method == b"HEAD")


def _accept(head: bytes) -> str:
    """The header lines ``Accept`` of a request, joined; without what would end a line of the answer."""
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    values = [value for name, _, value in lines if name.lower() == b"accept"]
    return " ".join(b", ".join(values).decode("latin-1").split())


def _answer(status: HTTPStatus, body: bytes, content_type: str = "text/plain", *, is_head: bool) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {content_type}\r\nvary: accept\r\n"
        f"content-length: {len(body)}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (b"" if is_head else body)
