"""Whose a connection is, where the same local port leads to two servers."""

from __future__ import annotations

import os
import socket

from tests.faults.sockets import ports_of


def listening() -> tuple[socket.socket, str]:
    server = socket.create_server(("127.0.0.1", 0))
    return server, f"postgresql://127.0.0.1:{server.getsockname()[1]}/orders"


def connected(url: str, from_port: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind(("127.0.0.1", from_port))
    host, port = url.split("/")[2].split(":")
    client.connect((host, int(port)))
    return client


def test_only_the_connections_to_the_server_that_is_asked_about_count() -> None:
    (one, to_one), (other, to_other) = listening(), listening()
    with one, other, connected(to_one, 0) as first:
        port = first.getsockname()[1]
        with connected(to_other, 0) as second:
            assert ports_of(os.getpid(), to_one) == {port}
            assert ports_of(os.getpid(), to_other) == {second.getsockname()[1]}
        with connected(to_other, port):
            assert ports_of(os.getpid(), to_other) == {port}
        assert ports_of(os.getpid(), to_other) == set()
