"""What uvicorn leaves without a bound: how many connections there are, and how long and how large the head of a request may be.

A body has its bounds where it is read (``api/access/bodies.py``). A client that breaks one of these gets a problem document and
is disconnected: the rest of what it sends can't be made sense of. ``python -m api`` names ``Connection`` to uvicorn.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any

import msgspec
from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.access.trace import Trace

CONNECTIONS_MAX = 8192
HEAD_MAX_BYTES = 64 * 1024
TARGET_MAX_BYTES = 16 * 1024
INSTANCE_MAX_CHARACTERS = 1024
HEAD_WAIT_MAX_S = 15.0
RETRY_AFTER_S = 1

# A name or an address, with a port or without; empty where the target has none (RFC 9112, 3.2).
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=%:\[\]-]*")

_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)

BROKEN_OFF = Counter("ordersvc_http_connections_broken_off", "Connections ended at once, by why", ["code"])


class _RefusedError(Exception):
    """A request whose head can't be answered."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


class Connection(HttpToolsProtocol):
    """One client's connection, with bounds for what comes before uvicorn knows of a request."""

    url: bytes
    _refused: _RefusedError | None = None
    _last_words = b""
    _head_bytes = 0
    _is_in_head = True
    _head_comes_next = True
    _body_came = False
    _too_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take the client in, unless there are too many; one that asks nothing stays as long as between two requests."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            detail = f"This process has {CONNECTIONS_MAX} connections already."
            self._break_off(503, "overloaded", detail, f"retry-after: {RETRY_AFTER_S}\r\n")
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was sent away."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head of the request has become too large by it."""
        if self.transport.is_closing() or self._last_words:
            return
        super().data_received(_without_upgrade(data) if self._head_comes_next else data)
        if self.transport.is_closing() or self._last_words:
            return
        if self._body_came:
            self._head_bytes, self._body_came = 0, False
            return
        # What is neither a body nor a head is bounded like a head: trailers, and what stands between the chunks of a body.
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_MAX_BYTES:
            self._break_off(431, "head_too_large", f"A request's head has at most {HEAD_MAX_BYTES} bytes.")
        elif self._is_in_head and self._too_late is None:
            self._too_late = self.loop.call_later(HEAD_WAIT_MAX_S, self._be_too_late)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request's target came. What is raised makes the parser stop, and ``send_400_response`` sends it."""
        super().on_url(url)
        if len(self.url) > TARGET_MAX_BYTES:
            detail = f"A request's target has at most {TARGET_MAX_BYTES} bytes."
            self._refused = _RefusedError(414, "target_too_long", detail)
            raise self._refused

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came. Those behind the body are no part of what was asked: who may ask was decided by the head."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_message_complete(self) -> None:
        """A request is there; what follows is the head of the next."""
        self._head_comes_next = True
        super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body came."""
        self._body_came = True
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """The head of a request is there. What is raised makes the parser stop, and ``send_400_response`` sends it."""
        self._is_in_head, self._head_comes_next, self._head_bytes = False, False, 0
        self._head_is_there()
        self._refused = self._refusal_of_head()
        if self._refused is not None:
            raise self._refused
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """A request is answered; a client that sent what can't be answered behind it gets its problem document now."""
        super().on_response_complete()
        if self._last_words and self.cycle.response_complete and not self.transport.is_closing():
            self._end()

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP, or a request that is not answered."""
        refused = self._refused or _RefusedError(400, "malformed_request", msg)
        self._break_off(refused.status, refused.code, str(refused))

    def _refusal_of_head(self) -> _RefusedError | None:
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            return _RefusedError(505, "http_version_not_supported", "Speak HTTP/1.1.")
        hosts = sum([name == b"host" for name, _ in self.headers])
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            return _RefusedError(400, "malformed_request", "A request names exactly one Host.")
        if any(name == b"host" and not _HOST.fullmatch(value) for name, value in self.headers):
            return _RefusedError(400, "malformed_request", "The Host is none.")
        if any(name == b"transfer-encoding" and value.lower() != b"chunked" for name, value in self.headers):
            return _RefusedError(400, "malformed_request", "A body is sent as it is, or in chunks.")
        return None

    def _head_is_there(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None

    def _be_too_late(self) -> None:
        self._too_late = None
        detail = f"The head of a request has to arrive within {HEAD_WAIT_MAX_S:.0f} s."
        self._break_off(408, "request_timeout", detail)

    def _break_off(self, status: int, code: str, detail: str, more: str = "") -> None:
        """Send a problem document and end the connection; earlier requests are answered first."""
        if self._last_words:
            return
        BROKEN_OFF.labels(code).inc()
        self._head_is_there()
        title = HTTPStatus(status).phrase
        problem: dict[str, Any] = {
            "type": f"urn:ordersvc:problem:{code}",
            "title": title,
            "status": status,
            "detail": detail,
            "instance": self._path(),
            "code": code,
            "errors": [],
            "trace_id": Trace(None).trace_id,
        }
        body = msgspec.json.encode(problem)
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\ncontent-length: {len(body)}\r\n"
            f"x-content-type-options: nosniff\r\n{more}connection: close\r\n\r\n"
        )
        self._last_words = head.encode("ascii") + body
        is_answering = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
        if not is_answering:
            self._end()

    def _end(self) -> None:
        self.transport.write(self._last_words)
        self.transport.close()

    def _path(self) -> str:
        """The path that was asked for, as far as it came; the beginning of a long one."""
        path = getattr(self, "url", b"").partition(b"?")[0].decode("latin-1")
        return path[:INSTANCE_MAX_CHARACTERS] or "/"


def _without_upgrade(data: bytes) -> bytes:
    """What begins with a head, without its wish for another protocol, of which we speak none.

    A server may pass over such a wish. The parser can't: it takes the body that belongs to the request for the other protocol's, so
    that a client which would like HTTP/2 (Java's does by default) lost what it sent. Only a name that is cut in two gets through.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nx-upgrade:", head) + end + rest
