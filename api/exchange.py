"""One request and its answer, as the handlers see them.

A thin layer over ASGI: it reads what a handler asks for and nothing else, so that a request costs little. It decides
nothing about orders, access or errors.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from api.load import Load

BODY_WAIT_MAX_S = 15.0
QUERY_MAX_PARAMETERS = 100
DIGITS_READ_MAX = 1000  # Python reads no more than 4300

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
JSON = (b"content-type", b"application/json")
UNMATCHED = "unmatched"
NO_PARAMS: Mapping[str, str] = MappingProxyType({})

Header = tuple[bytes, bytes]
LISTS = frozenset({b"prefer", b"if-match", b"if-none-match", b"accept"})
ONCE = frozenset({b"idempotency-key", b"authorization", b"content-type"})


class ClientGoneError(Exception):
    """The client went away before its request was read; there is nobody to answer."""


class BodyTooLargeError(Exception):
    """The body is larger than the limit."""


class TooManyParametersError(Exception):
    """The query has more than ``QUERY_MAX_PARAMETERS``."""


class BodyTooSlowError(Exception):
    """The body did not arrive in time."""


class Trace:
    """W3C trace context of a request: the caller's trace continued, or a new one. Our span has an id of its own."""

    __slots__ = ("parent", "trace_id")

    def __init__(self, header: str | None) -> None:
        found = _TRACEPARENT.fullmatch(header) if header else None
        noise = os.urandom(24).hex()
        self.trace_id, flags = (found[2], found[4]) if found and _is_valid(found) else (noise[16:], "01")
        self.parent = f"00-{self.trace_id}-{noise[:16]}-{flags}"


def _is_valid(found: re.Match[str]) -> bool:
    version, trace_id, span_id, _ = found.groups()
    if version == "ff" or (version == "00" and len(found[0]) != 55):  # noqa: PLR2004 - the length of version 00
        return False
    return trace_id.strip("0") != "" and span_id.strip("0") != ""


class Incoming:
    """A request. ``headers`` has lower-case names; the lines of a list are joined, of another that is repeated the last is kept.

    ``repeated`` is the name of a header that may stand there once only and is there more often; such a request is not answered
    by its handler. ``told`` are headers that go with whatever is answered, a refusal included.
    """

    __slots__ = ("_params", "_receive", "_trace", "headers", "load", "repeated", "route", "scope", "told")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        route: str = UNMATCHED,
        params: Mapping[str, str] = NO_PARAMS,
        load: Load | None = None,
    ) -> None:
        """``route``: the template of the path, such as ``/api/orders/{order_id}``; ``params``: what stands for its names.

        ``load``: what counts it among others.
        """
        self.load = load or Load(1)
        self.scope = scope
        self.route = route
        self._params = params
        self._receive = receive
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.repeated = b""
        if len(self.headers) < len(scope["headers"]):
            self._join(scope["headers"])
        self.told: list[Header] = []
        self._trace: Trace | None = None

    def _join(self, lines: Iterable[Header]) -> None:
        """Make one of each list's lines (RFC 9110, 5.3), and note what must not be repeated: which line counts would be a guess."""
        seen: set[bytes] = set()
        for name, value in lines:
            if name in ONCE and name in seen:
                self.repeated = name
            if name in LISTS:
                self.headers[name] = self.headers[name] + b", " + value if name in seen else value
            seen.add(name)

    @property
    def method(self) -> str:
        """The method, in capitals."""
        method: str = self.scope["method"]
        return method

    @property
    def path(self) -> str:
        """The decoded path."""
        path: str = self.scope["path"]
        return path

    @property
    def trace(self) -> Trace:
        """The request's trace, made when first asked for."""
        if self._trace is None:
            self._trace = Trace(self.header(b"traceparent"))
        return self._trace

    def header(self, name: bytes) -> str | None:
        """Give a header's text without surrounding blanks, or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    def param(self, name: str) -> str:
        """Give a path parameter as it was written."""
        return self._params[name]

    def id_param(self, name: str) -> str:
        """Give a path parameter that is an id of ours: UUIDs are compared without case."""
        return self._params[name].lower()

    def query(self) -> list[tuple[str, str]]:
        """Give the query's pairs in the order they were written; raises ``TooManyParametersError``."""
        raw: bytes = self.scope.get("query_string", b"")
        if not raw:
            return []
        try:
            return parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_MAX_PARAMETERS)
        except ValueError:
            raise TooManyParametersError from None

    async def body(self, max_bytes: int) -> bytes:
        """Read the whole body.

        Raises ``BodyTooLargeError`` as soon as more than ``max_bytes`` are announced or have come,
        ``BodyTooSlowError`` after ``BODY_WAIT_MAX_S``, ``ClientGoneError``.
        """
        announced = self.headers.get(b"content-length")
        if announced is not None and announced.isdigit() and int(announced[:DIGITS_READ_MAX]) > max_bytes:
            raise BodyTooLargeError
        # What asyncio.timeout does, at a third of its cost: most bodies are there already, and reading one costs less than it.
        waited = asyncio.current_task()
        is_over = False

        def give_up() -> None:
            nonlocal is_over
            if waited is not None:
                is_over = waited.cancel()

        timer = asyncio.get_running_loop().call_later(BODY_WAIT_MAX_S, give_up)
        try:
            return await self._read(max_bytes)
        except asyncio.CancelledError as error:
            if waited is not None and is_over and waited.uncancel() == 0:
                raise BodyTooSlowError from error
            raise
        finally:
            timer.cancel()

    async def _read(self, max_bytes: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLargeError
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class Answer:
    """A status, headers and a body that is bytes already."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", headers: list[Header] | None = None) -> None:
        self.status = status
        self.body = body
        self.headers: list[Header] = headers if headers is not None else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send it; HEAD is told how long the body would be."""
        headers = self.headers
        if self.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(self.body)))
        start: dict[str, Any] = {"type": "http.response.start", "status": self.status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else self.body})


def json_answer(status: int, document: bytes, *headers: Header) -> Answer:
    """Answer with a JSON document that is encoded already."""
    return Answer(status, document, [JSON, *headers])


def etag(version: int) -> Header:
    """The header that tells an order's version."""
    return (b"etag", b'"%d"' % version)
