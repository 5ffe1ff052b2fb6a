"""A small HTTP/1.1 client that costs less than the servers it measures; the same for both sides of every comparison.

Keep-alive, one request at a time on a connection (no pipelining), parsed by httptools, no per-request objects but the
response. It talks to loopback only: measuring somebody else's service is not what this is for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

import httptools

REQUEST_TIMEOUT_S = 30.0
CONNECTIONS_MAX = 8192


class NotLoopbackError(ValueError):
    """The address is not this machine's own."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. ``headers`` has lower-case names; a ``status`` of 0 means that the connection broke."""

    status: int
    headers: dict[str, str]
    body: bytes


BROKEN = Response(0, {}, b"")


def loopback(url: str) -> tuple[str, int]:
    """Give host and port of a base URL; raises ``NotLoopbackError`` when it is not on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host != "localhost":
        try:
            inside = ip_address(host).is_loopback
        except ValueError:
            inside = False
        if not inside:
            raise NotLoopbackError(f"loopback only, not {host!r}")
    return host, parts.port or 80


def request_bytes(
    method: str, target: str, *, token: str = "", body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """Write a request; ``body`` is JSON already, ``token`` a bearer token."""
    lines = [f"{method} {target} HTTP/1.1", "host: 127.0.0.1"]
    if token:
        lines.append(f"authorization: Bearer {token}")
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection(asyncio.Protocol):
    """One connection with at most one request on its way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Response] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    @property
    def is_open(self) -> bool:
        """Whether it can take a request."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> asyncio.Future[Response]:
        """Send now; the future always resolves, with status 0 when the connection breaks."""
        self._waiting = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            self._settle(BROKEN)
        else:
            self._transport.write(request)
        return self._waiting

    def close(self) -> None:
        """Close it; a request on its way resolves with status 0."""
        if self._transport is not None:
            self._transport.close()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        # uvloop's transports are none of asyncio's classes; they only look alike.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what is not HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()
            self._settle(BROKEN)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits that nothing will come."""
        del exc
        self._settle(BROKEN)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin a response."""
        self._headers = {}
        self._body = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Note a part of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the response over."""
        if not self._parser.should_keep_alive():
            self.close()
        self._settle(Response(self._parser.get_status_code(), self._headers, b"".join(self._body)))

    def _settle(self, response: Response) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(response)


class Client:
    """A bounded pool of connections to one server; a request waits while all of them are busy."""

    def __init__(self, base_url: str, connections_max: int) -> None:
        """Raise ``NotLoopbackError`` for another machine, ``ValueError`` beyond ``CONNECTIONS_MAX``."""
        if not 1 <= connections_max <= CONNECTIONS_MAX:
            raise ValueError(f"1 to {CONNECTIONS_MAX} connections, not {connections_max}")
        self._host, self._port = loopback(base_url)
        self._idle: deque[Connection] = deque()
        self._free = asyncio.Semaphore(connections_max)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        while self._idle:
            self._idle.pop().close()

    async def send(self, request: bytes) -> Response:
        """Send one request; status 0 when the connection broke, could not be made, or ``REQUEST_TIMEOUT_S`` went by."""
        async with self._free:
            try:
                connection = await self._connection()
            except OSError:
                return BROKEN
            answered = connection.send(request)
            if not answered.done():
                timer = asyncio.get_running_loop().call_later(REQUEST_TIMEOUT_S, connection.close)
                await asyncio.shield(answered)
                timer.cancel()
            if connection.is_open:
                self._idle.append(connection)
            return answered.result()

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        _, fresh = await asyncio.get_running_loop().create_connection(Connection, self._host, self._port)
        return fresh
