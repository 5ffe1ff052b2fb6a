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


def test_a_header_that_may_stand_once_is_refused_when_it_is_repeated(shop: Shop) -> None:
    """The last line won: a customer's token before an administrator's was an administrator's, and one key of two was taken."""
    customer = f"authorization: Bearer {shop.token('orders:read', customer='c-1001')}"
    admin = f"authorization: Bearer {shop.token('admin')}"
    json_type = "content-type: application/json"
    for lines in (
        (customer, admin),
        (admin, admin),
        (admin, json_type, "idempotency-key: a", "idempotency-key: b"),
        (admin, json_type, "content-type: text/plain"),
    ):
        head = "\r\n".join(("POST /api/orders HTTP/1.1", "host: x", "connection: close", "content-length: 2", *lines))
        assert said(shop, head.encode() + b"\r\n\r\n{}") == (400, "repeated_header")
