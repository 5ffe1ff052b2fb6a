import asyncio

import pytest

from benchmarks.client import BROKEN, Client, Connection, NotLoopbackError, loopback, request_bytes


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://127.8.9.1:8000", "http://[::1]:8000", "http://localhost:8000"]
)
def test_this_machine_may_be_asked(url: str) -> None:
    assert loopback(url)[1] == 8000


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:8000", "http://example.org", "http://localhost.example.org", "nonsense"]
)
def test_another_machine_may_not(url: str) -> None:
    with pytest.raises(NotLoopbackError):
        loopback(url)


def test_more_connections_than_the_bound_are_refused() -> None:
    with pytest.raises(ValueError, match="connections"):
        Client("http://127.0.0.1:1", 100_000)


def test_a_request_says_how_long_its_body_is_and_who_asks() -> None:
    head, _, body = request_bytes("POST", "/x", token="t", body=b'{"a":1}', headers=(("prefer", "wait=1"),)).partition(
        b"\r\n\r\n"
    )
    assert body == b'{"a":1}'
    assert head.split(b"\r\n")[0] == b"POST /x HTTP/1.1"
    assert {b"content-length: 7", b"authorization: Bearer t", b"prefer: wait=1"} <= set(head.split(b"\r\n"))


def test_a_request_without_a_body_has_no_length() -> None:
    assert b"content-length" not in request_bytes("GET", "/x")


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def test_an_answer_in_pieces_is_put_together() -> None:
    connection, wire = Connection(), Wire()
    connection.connection_made(wire)
    answered = connection.send(b"GET")
    for piece in (b"HTTP/1.1 201 Created\r\nLoca", b"tion: /api/orders/7\r\ncontent-length: 4\r\n\r\nab", b"cd"):
        assert not answered.done()
        connection.data_received(piece)
    response = answered.result()
    assert (response.status, response.headers["location"], response.body) == (201, "/api/orders/7", b"abcd")
    assert connection.is_open


async def test_a_connection_that_breaks_answers_with_status_0() -> None:
    connection, wire = Connection(), Wire()
    connection.connection_made(wire)
    answered = connection.send(b"GET")
    connection.connection_lost(None)
    assert answered.result() is BROKEN


async def test_what_is_not_http_ends_the_connection() -> None:
    connection, wire = Connection(), Wire()
    connection.connection_made(wire)
    answered = connection.send(b"GET")
    connection.data_received(b"\x00\x01\x02 nonsense\r\n\r\n")
    assert answered.result().status == 0
    assert wire.closed


async def test_a_server_that_wants_no_more_requests_gets_none() -> None:
    connection, wire = Connection(), Wire()
    connection.connection_made(wire)
    answered = connection.send(b"GET")
    connection.data_received(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    assert answered.result().status == 200
    assert not connection.is_open
