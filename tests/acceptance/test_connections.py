"""What is no request that anybody could answer is refused by the running service, which goes on."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.acceptance.shop import Shop

LIMIT_S = 10.0


def said(shop: Shop, sent: bytes) -> tuple[int, str]:
    """Send bytes on a connection of their own; the status and the code of what comes until the service closes it."""
    address = urlsplit(shop.endpoints["api"])
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), timeout=LIMIT_S) as client:
        client.sendall(sent)
        answer = b""
        while more := client.recv(65536):
            answer += more
    head, body = answer.split(b"\r\n\r\n", 1)
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /api/orders HTTP/1.1\r\nx: " + b"x" * 66_000, 431, "head_too_large"),
        (b"GET /" + b"x" * 66_000, 414, "target_too_long"),
        (b"GET /health/live HTTP/1.1\r\n\r\n", 400, "malformed_request"),
        (b"GET /health/live HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, "malformed_request"),
        (b"GET /health/live HTTP/2.0\r\nhost: a\r\n\r\n", 505, "http_version_not_supported"),
        (b"\x16\x03\x01 hello\r\n\r\n", 400, "malformed_request"),
    ],
    ids=["a header without end", "a path without end", "no host", "two hosts", "another version", "no HTTP"],
)
def test_what_nobody_could_answer_is_refused(shop: Shop, sent: bytes, status: int, code: str) -> None:
    assert said(shop, sent) == (status, code)
    assert shop.ask("GET", "/health/live")[0] == 200
