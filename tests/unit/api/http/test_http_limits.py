"""Whoever sends a head without end, or none, or too slowly, is sent away; nobody else notices the bounds."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from api.http import http_limits
from api.http.http_limits import CONNECTIONS_MAX, HEAD_MAX_BYTES, HEAD_WAIT_MAX_S, Connection
from tests.unit.conftest import Run

KEEP_ALIVE_S = 65
REQUEST = b"GET /a HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, _: str) -> None:
        return None

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Server:
    """Uvicorn's protocol in front of an application of one line, without a socket."""

    def __init__(self, *, reads: bool = False) -> None:
        self._reads = reads
        self.state = ServerState()
        self.config = Config(
            self._answer,
            http=Connection,
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_S,
            log_config=None,
            interface="asgi3",
        )

    def connect(self) -> tuple[Connection, Transport]:
        connection = Connection(config=self.config, server_state=self.state, app_state={})
        transport = Transport()
        connection.connection_made(cast("asyncio.Transport", transport))
        return connection, transport

    async def _answer(self, _scope: Any, receive: Any, send: Any) -> None:
        while self._reads and (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def refusal(transport: Transport) -> dict[str, Any]:
    head, body = transport.written.split(b"\r\n\r\n", 1)
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    assert f"content-length: {len(body)}".encode() in head
    assert transport.is_closed
    problem: dict[str, Any] = msgspec.json.decode(body)
    assert f"HTTP/1.1 {problem['status']} ".encode() in head
    assert set(problem) == {"type", "title", "status", "detail", "instance", "code", "errors", "trace_id"}
    assert len(problem["trace_id"]) == 32
    return problem


def test_requests_whose_heads_come_in_time_are_answered_however_they_are_cut(run: Run) -> None:
    async def scenario() -> None:
        connection, transport = Server().connect()
        for byte in REQUEST:
            connection.data_received(bytes([byte]))
        await asyncio.sleep(HEAD_WAIT_MAX_S + 1)
        for _ in range(2):
            connection.data_received(REQUEST + b"GET /b HTTP/1.1\r\n")
            await asyncio.sleep(HEAD_WAIT_MAX_S - 1)
            connection.data_received(b"host: localhost\r\n\r\n")
            await asyncio.sleep(1)
        assert transport.written.count(b"HTTP/1.1 200 OK") == 5
        assert not transport.is_closed

    run(scenario())


@pytest.mark.parametrize("wish", [b"Upgrade: h2c", b"upgrade: foo", b"UPGRADE:websocket"])
def test_a_wish_for_another_protocol_is_passed_over_and_the_body_is_kept(run: Run, wish: bytes) -> None:
    """Java's client asks for HTTP/2 by default; its first order on a connection came to nothing, as its body was lost."""
    bodies: list[bytes] = []

    async def scenario() -> None:
        async def answer(_scope: Any, receive: Any, send: Any) -> None:
            body, more = b"", True
            while more:
                part = await receive()
                body, more = body + part.get("body", b""), part.get("more_body", False)
            bodies.append(body)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})

        server = Server()
        server.config = Config(answer, http=Connection, lifespan="off", log_config=None, interface="asgi3")
        server.config.load()
        connection, transport = server.connect()
        head = b"POST /a HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade, HTTP2-Settings\r\n" + wish
        text = b"{}\r\nUpgrade: is a word of the body"
        for _ in range(2):
            connection.data_received(head + b"\r\ncontent-length: %d\r\n\r\n" % len(text) + text)
            await asyncio.sleep(1)
        connection.data_received(head + b"\r\ncontent-length: %d\r\n\r\n" % len(text))
        connection.data_received(text)
        await asyncio.sleep(1)
        assert bodies == [text] * 3
        assert transport.written.count(b"HTTP/1.1 200 OK") == 3

    run(scenario())


def test_a_head_without_end_is_refused_and_nothing_more_is_read(run: Run) -> None:
    async def scenario() -> None:
        connection, transport = Server().connect()
        connection.data_received(b"GET /a HTTP/1.1\r\nx: ")
        for _ in range(1 + HEAD_MAX_BYTES // 1000):
            connection.data_received(b"x" * 1000)
        assert (refusal(transport)["status"], refusal(transport)["code"]) == (431, "head_too_large")
        written = transport.written
        connection.data_received(b"x" * 1000)
        assert transport.written == written

    run(scenario())


def test_a_large_body_is_not_taken_for_a_head(run: Run) -> None:
    async def scenario() -> None:
        connection, transport = Server().connect()
        body = b"x" * (3 * HEAD_MAX_BYTES)
        connection.data_received(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 10_000):
            connection.data_received(body[start : start + 10_000])
        await asyncio.sleep(1)
        assert transport.written.startswith(b"HTTP/1.1 200 OK")

    run(scenario())


def test_a_head_that_comes_too_slowly_is_refused(run: Run) -> None:
    async def scenario() -> None:
        connection, transport = Server().connect()
        for _ in range(int(HEAD_WAIT_MAX_S)):
            connection.data_received(b"x" if _ else b"GET /a HTTP/1.1\r\nx: ")
            await asyncio.sleep(0.9)
        assert not transport.is_closed
        await asyncio.sleep(2)
        assert (refusal(transport)["status"], refusal(transport)["code"]) == (408, "request_timeout")

    run(scenario())


def test_a_connection_on_which_nothing_is_asked_is_closed_without_a_word(run: Run) -> None:
    async def scenario() -> None:
        _, transport = Server().connect()
        await asyncio.sleep(KEEP_ALIVE_S - 1)
        assert not transport.is_closed
        await asyncio.sleep(2)
        assert (transport.is_closed, transport.written) == (True, b"")

    run(scenario())


def test_what_is_not_http_is_refused(run: Run) -> None:
    async def scenario() -> None:
        connection, transport = Server().connect()
        connection.data_received(b"\x16\x03\x01 hello\r\n\r\n")
        assert (refusal(transport)["status"], refusal(transport)["code"]) == (400, "malformed_request")

    run(scenario())


HOST = b"host: localhost\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "code", "instance"),
    [
        (b"GET /a HTTP/1.1\r\n\r\n", 400, "malformed_request", "/a"),
        (b"GET /a HTTP/1.1\r\n" + 2 * HOST + b"\r\n", 400, "malformed_request", "/a"),
        (b"GET /a?b HTTP/1.1\r\nHOST: a\r\nHost: b\r\n\r\n", 400, "malformed_request", "/a"),
        (b"GET /a HTTP/1.0\r\n" + 2 * HOST + b"\r\n", 400, "malformed_request", "/a"),
        (b"GET /a HTTP/2.0\r\n" + HOST + b"\r\n", 505, "http_version_not_supported", "/a"),
        (b"GET /" + b"x" * 16_384 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "target_too_long", "/" + "x" * 1023),
        (b"GET /a?" + b"x" * 16_384 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "target_too_long", "/a"),
        (b"garbage\r\n\r\n", 400, "malformed_request", "/"),
    ],
)
def test_a_head_that_nobody_may_answer_is_refused_in_a_whole_document(
    run: Run, request_: bytes, status: int, code: str, instance: str
) -> None:
    async def scenario() -> None:
        for at in (len(request_), 3, 20):
            connection, transport = Server().connect()
            connection.data_received(request_[:at])
            connection.data_received(request_[at:])
            await asyncio.sleep(0.1)
            told = refusal(transport)
            assert (told["status"], told["code"], told["instance"]) == (status, code, instance)
            connection.data_received(REQUEST)
            await asyncio.sleep(0.1)
            assert transport.written.count(b"connection: close") == 1

    run(scenario())


@pytest.mark.parametrize(
    "request_", [REQUEST, b"GET /a HTTP/1.0\r\n\r\n", b"GET /" + b"x" * 16_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"]
)
def test_other_heads_are_answered(run: Run, request_: bytes) -> None:
    async def scenario() -> None:
        connection, transport = Server().connect()
        connection.data_received(request_)
        await asyncio.sleep(0.1)
        assert transport.written.startswith(b"HTTP/1.1 200 OK")

    run(scenario())


@pytest.mark.parametrize(
    "bad", [b"garbage\r\n\r\n", b"GET /b HTTP/1.1\r\n\r\n", b"GET /b HTTP/2.0\r\n" + HOST + b"\r\n"]
)
@pytest.mark.parametrize("good", [1, 3])
def test_what_was_asked_before_something_bad_is_answered_first(run: Run, bad: bytes, good: int) -> None:
    """A good request before garbage in one packet lost its answer."""

    async def scenario() -> None:
        connection, transport = Server().connect()
        connection.data_received(good * REQUEST + bad)
        await asyncio.sleep(0.1)
        *answers, refused = transport.written.split(b"HTTP/1.1 ")[1:]
        assert [each[:3] for each in answers] == [b"200"] * good
        assert refused[:1] in (b"4", b"5")
        assert transport.is_closed

    run(scenario())


def test_a_body_that_breaks_off_in_nonsense_is_refused_at_once(run: Run) -> None:
    async def scenario() -> None:
        connection, transport = Server().connect()
        connection.data_received(b"POST /a HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n")
        assert refusal(transport)["code"] == "malformed_request"

    run(scenario())


def test_one_connection_too_many_is_told_to_come_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CONNECTIONS_MAX > 1000
    monkeypatch.setattr(http_limits, "CONNECTIONS_MAX", 2)

    async def scenario() -> None:
        server = Server()
        (first, _), (_, second) = server.connect(), server.connect()
        _, third = server.connect()
        assert (refusal(third)["status"], refusal(third)["code"]) == (503, "overloaded")
        assert b"retry-after: 1" in third.written
        assert not second.is_closed
        first.connection_lost(None)
        assert len(server.state.connections) == 2

    run(scenario())


CHUNKED = b"POST /a HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n"


def test_what_stands_behind_a_body_is_no_header_of_the_request(run: Run) -> None:
    """Trailers were taken for headers: an ``Authorization`` that nobody in front of us has seen, and a second ``Host``."""

    async def scenario() -> None:
        server = Server()
        connection, transport = server.connect()
        connection.data_received(CHUNKED + b"2\r\nhi\r\n0\r\nauthorization: Bearer x\r\nhost: b\r\nx: y\r\n\r\n")
        assert [name for name, _ in connection.scope["headers"]] == [b"host", b"transfer-encoding"]
        await asyncio.sleep(0.1)
        assert transport.written.startswith(b"HTTP/1.1 200 OK")
        connection.data_received(REQUEST)
        await asyncio.sleep(0.1)
        assert transport.written.count(b"HTTP/1.1 200 OK") == 2

    run(scenario())


@pytest.mark.parametrize(
    ("before", "each"),
    [
        (b"2\r\nhi\r\n0\r\n", b"x: " + b"y" * 1000 + b"\r\n"),
        (b"2\r\nhi\r\n0\r\nx: ", b"y" * 1000),
        (b"2;", b"y" * 1000),
    ],
)
def test_what_is_neither_head_nor_body_has_a_bound(run: Run, before: bytes, each: bytes) -> None:
    """Trailers without end were kept without end."""

    async def scenario() -> None:
        connection, transport = Server(reads=True).connect()
        connection.data_received(CHUNKED + before)
        for _ in range(1 + HEAD_MAX_BYTES // len(each)):
            connection.data_received(each)
        assert (refusal(transport)["status"], refusal(transport)["code"]) == (431, "head_too_large")
        connection.connection_lost(None)
        await asyncio.sleep(0.1)

    run(scenario())


def test_a_body_in_small_chunks_and_many_requests_have_no_such_bound(run: Run) -> None:
    async def scenario() -> None:
        connection, transport = Server(reads=True).connect()
        connection.data_received(CHUNKED)
        for _ in range(HEAD_MAX_BYTES // 4):
            connection.data_received(b"1\r\n")
            connection.data_received(b"x\r\n")
        connection.data_received(b"0\r\n\r\n")
        await asyncio.sleep(0.1)
        for _ in range(1 + HEAD_MAX_BYTES // len(REQUEST)):
            connection.data_received(REQUEST)
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert not transport.is_closed
        assert transport.written.count(b"HTTP/1.1 200 OK") == 2 + HEAD_MAX_BYTES // len(REQUEST)

    run(scenario())


@pytest.mark.parametrize(
    "coding", [b"gzip, chunked", b"deflate, chunked", b"chunked, chunked", b"gzip", b"identity", b"x"]
)
def test_a_body_whose_transfer_is_encoded_is_refused(run: Run, coding: bytes) -> None:
    """Plain JSON was taken under the name of gzip."""

    async def scenario() -> None:
        connection, transport = Server().connect()
        connection.data_received(
            b"POST /a HTTP/1.1\r\n" + HOST + b"transfer-encoding: " + coding + b"\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        )
        assert refusal(transport)["code"] == "malformed_request"

    run(scenario())


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        (b"a", True), (b"a:80", True), (b"[::1]:80", True), (b"127.0.0.1", True), (b"", True), (b"a%20b", True),
        (b"a, b", False), (b"a b", False), (b"a@b", False), (b"a/b", False), (b"a?b", False), (b"a#b", False), (b"\xc3\xa9", False),
    ],
)  # fmt: skip
def test_a_host_is_one_name_or_address(run: Run, host: bytes, is_one: bool) -> None:
    async def scenario() -> None:
        connection, transport = Server().connect()
        connection.data_received(b"GET /a HTTP/1.1\r\nhost: " + host + b"\r\n\r\n")
        await asyncio.sleep(0.1)
        if is_one:
            assert transport.written.startswith(b"HTTP/1.1 200 OK")
        else:
            assert refusal(transport)["code"] == "malformed_request"

    run(scenario())
