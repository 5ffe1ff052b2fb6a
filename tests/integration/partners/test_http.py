"""What a partner's misbehaviour on the wire comes to, with a server that answers exactly the bytes it is told to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.calls import Declined, NotFound, NotSent, Shortage, Unknown
from partners.contract import PartnerOperation
from partners.http import ANSWER_MAX_BYTES, PartnerHttp
from partners.responses import Throttled
from partners.shapes import Reader


def _operation(method: str) -> PartnerOperation[dict[str, int]]:
    """An operation whose success is an object of integers; it may say 404 ``not_there`` and 409 ``out_of_stock``."""
    reader: Reader[dict[str, int]] = Reader(dict[str, int])
    return PartnerOperation(method=method, reader=reader, refusals=((404, "not_there"), (409, "out_of_stock")))


GET, PUT, POST, DELETE = map(_operation, ("GET", "PUT", "POST", "DELETE"))
JSON = "Content-Type: application/json"
PROBLEM = "Content-Type: application/problem+json"
CALL_TIMEOUT_S = 0.5


class Wire:
    """Answers each request with ``reply``, raw; None hangs, empty cuts. Counts requests; closes after ``serves_max``."""

    def __init__(self) -> None:
        self.reply: bytes | None = b""
        self.requests = 0
        self.connections = 0
        self.serves_max = 1_000
        self.seen = b""
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.seen = head
                self.requests += 1
                if self.requests > self.serves_max:
                    await self.stop()
                    return
                if self.reply is None:
                    await asyncio.sleep(60)
                if not self.reply:
                    return
                writer.write(self.reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    server = Wire()
    yield server
    await server.stop()


@pytest.fixture
async def http(wire: Wire) -> AsyncIterator[PartnerHttp]:
    client = PartnerHttp(await wire.start(), call_timeout_s=CALL_TIMEOUT_S, connections_max=4)
    yield client
    await client.close()


async def test_a_success_is_decoded(wire: Wire, http: PartnerHttp) -> None:
    wire.reply = _reply("200 OK", b'{"a":1}', JSON)
    assert await http.ask(GET, "/x") == {"a": 1}
    assert wire.seen.startswith(b"GET /x HTTP/1.1\r\n")


async def test_a_connection_is_used_again(wire: Wire, http: PartnerHttp) -> None:
    wire.reply = _reply("200 OK", b"{}", JSON)
    for _ in range(3):
        await http.ask(GET, "/x")
    assert (wire.requests, wire.connections) == (3, 1)


@pytest.mark.parametrize("status", ["500 x", "502 x", "503 x", "504 x", "301 x", "204 x", "201 x", "202 x"])
async def test_a_status_outside_the_contract_is_no_word(wire: Wire, http: PartnerHttp, status: str) -> None:
    wire.reply = _reply(status, b"" if status.startswith("204") else b'{"a":1}', JSON, "Location: /elsewhere")
    assert isinstance(await http.ask(POST, "/x", body=b"{}"), Unknown)
    assert wire.requests == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"a":1.5}', b'{"a":true}', b'{"a":1', b"\xff\xfe", b"[" * 100_000]
)
async def test_a_success_that_can_not_be_read_is_no_word(wire: Wire, http: PartnerHttp, body: bytes) -> None:
    wire.reply = _reply("200 OK", body, JSON)
    assert isinstance(await http.ask(GET, "/x"), Unknown)


async def test_not_found_with_a_code_of_the_contract_is_not_known(wire: Wire, http: PartnerHttp) -> None:
    wire.reply = _reply("404 Not Found", b'{"code":"not_there"}', PROBLEM)
    assert await http.ask(GET, "/x") == NotFound()


async def test_a_refusal_carries_its_code_and_shortages(wire: Wire, http: PartnerHttp) -> None:
    body = b'{"code":"out_of_stock","detail":"d","shortages":[{"sku":"s","available":2}]}'
    wire.reply = _reply("409 x", body, "content-type: APPLICATION/problem+json ; charset=UTF-8")
    assert await http.ask(PUT, "/x") == Declined(409, "out_of_stock", "d", (Shortage("s", 2),))


@pytest.mark.parametrize("status", ["400 x", "404 x", "405 x", "409 x", "410 x", "413 x", "422 x", "500 x", "502 x"])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html>", "Content-Type: text/html"),
        (b'{"code":"not_there"}', JSON),
        (b'{"code":"other"}', PROBLEM),
        (b"<html>", PROBLEM),
        (b"", "X-Nothing: 1"),
    ],
)
async def test_a_page_of_something_in_between_is_nobodys_word(
    wire: Wire, http: PartnerHttp, status: str, body: bytes, content_type: str
) -> None:
    wire.reply = _reply(status, body, content_type)
    outcome = await http.ask(POST, "/x", body=b"{}")
    assert type(outcome) is Unknown
    assert status[:3] in outcome.detail
    assert wire.requests == 1


@pytest.mark.parametrize("status", ["401 x", "403 x"])
async def test_refused_credentials_are_told_apart(wire: Wire, http: PartnerHttp, status: str) -> None:
    wire.reply = _reply(status, b"<html>", "Content-Type: text/html", "WWW-Authenticate: Basic")
    outcome = await http.ask(GET, "/x")
    assert isinstance(outcome, Unknown)
    assert outcome.credentials_refused
    assert wire.requests == 1


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("1000000000", 60.0), ("-1", 0.0), ("soon", 0.0)])
async def test_throttling_is_unknown_and_says_for_how_long(
    wire: Wire, http: PartnerHttp, header: str, seconds: float
) -> None:
    wire.reply = _reply("429 x", b"", f"Retry-After: {header}")
    outcome = await http.ask(POST, "/x")
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after_s == seconds


async def test_an_answer_that_never_comes_is_unknown(wire: Wire, http: PartnerHttp) -> None:
    wire.reply = None
    started = asyncio.get_running_loop().time()
    assert isinstance(await http.ask(GET, "/x"), Unknown)
    assert asyncio.get_running_loop().time() - started < 10 * CALL_TIMEOUT_S


@pytest.mark.parametrize("operation", [GET, PUT, POST, DELETE])
async def test_a_connection_cut_under_a_request_is_unknown_and_the_request_is_not_repeated(
    wire: Wire, http: PartnerHttp, operation: PartnerOperation[Any]
) -> None:
    wire.reply = b""
    assert isinstance(await http.ask(operation, "/x"), Unknown)
    assert wire.requests == 1


async def test_a_body_cut_short_is_unknown(wire: Wire, http: PartnerHttp) -> None:
    wire.reply = b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":1}'
    assert isinstance(await http.ask(GET, "/x"), Unknown)


async def test_a_request_lost_on_an_old_connection_is_unknown_although_the_partner_is_gone_now(
    wire: Wire, http: PartnerHttp
) -> None:
    """The HTTP client repeats idempotent requests by itself unless it is kept from it.

    The repeat was refused, which hid that the first one had been read: a hold that had been made was told as not sent.
    """
    wire.reply = _reply("200 OK", b"{}", JSON)
    assert await http.ask(PUT, "/x", body=b"{}") == {}
    wire.serves_max = 1
    assert isinstance(await http.ask(PUT, "/x", body=b"{}"), Unknown)
    assert isinstance(await http.ask(PUT, "/x", body=b"{}"), NotSent)


async def test_an_endless_body_is_not_read_to_its_end(wire: Wire, http: PartnerHttp) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    wire.reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 100
    outcome = await http.ask(GET, "/x")
    assert isinstance(outcome, Unknown)
    assert str(ANSWER_MAX_BYTES) in outcome.detail


async def test_a_body_announced_as_too_large_is_not_read(wire: Wire, http: PartnerHttp) -> None:
    wire.reply = _reply("200 OK", b" " * (ANSWER_MAX_BYTES + 1))
    outcome = await http.ask(GET, "/x")
    assert isinstance(outcome, Unknown)
    assert str(ANSWER_MAX_BYTES) in outcome.detail


async def test_a_refused_connection_means_that_nothing_was_sent() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        client = PartnerHttp(f"http://127.0.0.1:{bound.getsockname()[1]}", call_timeout_s=1, connections_max=1)
        assert isinstance(await client.ask(POST, "/x", body=b"{}"), NotSent)
        await client.close()


async def test_a_connection_that_can_not_be_made_in_time_means_that_nothing_was_sent() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)  # noqa: FBT003
            filler.connect_ex(address)
        client = PartnerHttp(f"http://127.0.0.1:{address[1]}", call_timeout_s=CALL_TIMEOUT_S, connections_max=1)
        assert isinstance(await client.ask(POST, "/x", body=b"{}"), NotSent)
        await client.close()
        for filler in fillers:
            filler.close()


async def test_waiting_in_vain_for_a_free_connection_means_that_nothing_was_sent(wire: Wire) -> None:
    wire.reply = None
    client = PartnerHttp(await wire.start(), call_timeout_s=CALL_TIMEOUT_S, connections_max=1)
    first, second = await asyncio.gather(client.ask(GET, "/a"), client.ask(GET, "/b"))
    assert isinstance(first, Unknown)
    assert isinstance(second, NotSent)
    assert wire.requests == 1
    await client.close()


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "x:80"])
async def test_a_url_that_can_not_be_a_partner_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        PartnerHttp(url, call_timeout_s=1, connections_max=1)
