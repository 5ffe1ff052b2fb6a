"""Header lines that are repeated: lists are joined, and where only one is meant there is no guess which counts."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from api.http.middleware import HeaderLinesMiddleware
from tests.unit.api.harness import ORDER_ID, Answered, World, an_order, drive, token

ORDER = f"/api/orders/{ORDER_ID}"
Lines = list[tuple[bytes, bytes]]


def authorization(scope: str = "admin") -> tuple[bytes, bytes]:
    return (b"authorization", f"Bearer {token(scope)}".encode())


async def asked(world: World, method: str, path: str, lines: Lines, body: bytes = b"", how: str = "lower") -> Answered:
    """Send header lines just as they are."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": lines,
    }
    await world.app(scope, receive, send)
    return Answered(
        status=sent[0]["status"],
        headers={name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]},
        body=b"".join(message.get("body", b"") for message in sent[1:]),
    )


ONCE = [
    ((b"idempotency-key", b"a"), (b"idempotency-key", b"b")),
    ((b"idempotency-key", b"a"), (b"idempotency-key", b"a")),
    ((b"content-type", b"application/json"), (b"content-type", b"text/plain")),
    (authorization("orders:read"), authorization("admin")),
]
ROUTES = [
    ("POST", "/api/orders"),
    ("GET", ORDER),
    ("POST", f"{ORDER}/payments"),
    ("DELETE", ORDER),
    ("GET", "/metrics"),
    ("GET", "/health/live"),
    ("GET", "/nowhere"),
]


@pytest.mark.parametrize("repeated", ONCE)
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_header_that_may_stand_once_is_refused_when_it_is_repeated(
    world: World, repeated: tuple[tuple[bytes, bytes], ...], method: str, path: str
) -> None:
    """The last line won: a customer's token before an administrator's was an administrator's."""
    for between in ([], [(b"x-other", b"1")]):
        lines = [repeated[0], *between, repeated[1], authorization()]
        if repeated[0][0] == b"authorization":
            lines.pop()
        answered = await asked(world, method, path, lines)
        assert (answered.status, answered.code) == (400, "repeated_header")
    assert not world.router.asked


@pytest.mark.parametrize("lines", list(itertools.permutations([b'W/"8"', b'"1"', b'"9", "10"'])))
async def test_the_lines_of_if_none_match_are_one_list(world: World, lines: tuple[bytes, ...]) -> None:
    world.queries.keep(an_order())
    answered = await asked(world, "GET", ORDER, [authorization(), *((b"if-none-match", line) for line in lines)])
    assert answered.status == 304


async def test_the_lines_of_if_match_are_one_list(world: World) -> None:
    world.queries.keep(an_order())
    for versions, status in (((b'"1"', b'"7"'), 200), ((b'"7"', b'"1"'), 200), ((b'"7"', b'"8"'), 412)):
        lines = [authorization(), *((b"if-match", version) for version in versions)]
        assert (await asked(world, "GET", ORDER, lines)).status == status


@pytest.mark.parametrize("lines", list(itertools.permutations([b"wait=7", b"return=representation", b"respond-async"])))
async def test_the_lines_of_prefer_are_one_list(world: World, lines: tuple[bytes, ...]) -> None:
    body = json.dumps({"method": "card"}).encode()
    headers = [authorization(), (b"idempotency-key", b"k"), (b"content-type", b"application/json")]
    await asked(world, "POST", f"{ORDER}/payments", [*headers, *((b"prefer", line) for line in lines)], body)
    assert [seconds for _, _, seconds in world.router.waited] == [7.0]


async def test_the_lines_of_accept_are_one_list() -> None:
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.extend(scope["headers"])

    async def unused(_message: Any = None) -> Any:
        raise AssertionError

    lines = [(b"accept", b"text/csv"), (b"x", b"y"), (b"x", b"z"), (b"accept", b"*/*;q=0.1")]
    await HeaderLinesMiddleware(app)({"type": "http", "headers": lines}, unused, unused)
    assert seen == [(b"x", b"y"), (b"x", b"z"), (b"accept", b"text/csv, */*;q=0.1")]


@pytest.mark.parametrize(
    "coding", [b"gzip", b"GZIP", b"br", b"identity, gzip", b"nonsense", b"deflate", b"identity", b""]
)
async def test_a_body_that_is_encoded_is_refused(world: World, coding: bytes) -> None:
    """Plain JSON was taken under the name of gzip."""
    lines = [authorization(), (b"content-type", b"application/json"), (b"content-encoding", coding)]
    answered = await asked(world, "POST", f"{ORDER}/items", lines, b'{"sku": "S", "quantity": 1}')
    assert (answered.status, answered.code) == (415, "unsupported_media_type")
    assert answered.headers["accept-encoding"] == "identity"
    assert not world.router.asked


COMMANDS = [
    ("POST", "/api/orders", b'{"customer_id": "c", "currency": "EUR", "items": [{"sku": "S", "quantity": 1}]}'),
    ("POST", f"{ORDER}/items", b'{"sku": "S", "quantity": 1}'),
    ("DELETE", f"{ORDER}/items/x", b""),
    ("PUT", f"{ORDER}/items/x/quantity", b'{"quantity": 1}'),
    ("POST", f"{ORDER}/discounts", b'{"code": "C"}'),
    ("DELETE", f"{ORDER}/discounts/C", b""),
    ("POST", f"{ORDER}/payments", b'{"method": "card"}'),
    ("PUT", f"{ORDER}/status", b'{"status": "delivered"}'),
    ("DELETE", ORDER, b""),
    ("POST", f"{ORDER}/attention", b'{"action": "retry"}'),
    ("POST", "/api/promotions", b'{"code": "P", "kind": "free_shipping"}'),
    ("PATCH", "/api/promotions/P", b'{"active": true}'),
    ("DELETE", "/api/promotions/P", b""),
    ("POST", "/api/dead-letters/x/resend", b""),
    ("GET", "/api/orders", b""),
    ("GET", "/api/orders/statistics", b""),
    ("GET", "/api/promotions", b""),
    ("GET", "/api/dead-letters", b""),
]


@pytest.mark.parametrize(("method", "path", "body"), COMMANDS)
async def test_too_many_parameters_are_refused_wherever_a_query_is_read(
    world: World, method: str, path: str, body: bytes
) -> None:
    """A command under a key answered 500: its query belongs to what the key stands for."""
    headers = {
        "authorization": authorization()[1].decode(),
        "idempotency-key": "k",
        "content-type": "application/json",
    }
    query = "&".join(f"a{n}=1" for n in range(101))
    answered = await drive(world.app, method, path, query=query, headers=headers, chunks=(body,))
    assert (answered.status, answered.code) == (422, "invalid_parameter")
    assert not world.router.asked


@pytest.mark.parametrize("length", [b"262145", b"9" * 400, b"9" * 5000])
async def test_a_body_that_is_announced_as_too_large_is_refused(world: World, length: bytes) -> None:
    lines = [authorization(), (b"content-type", b"application/json"), (b"content-length", length)]
    answered = await asked(world, "POST", f"{ORDER}/items", lines, b'{"sku": "S", "quantity": 1}')
    assert (answered.status, answered.code) == (413, "body_too_large")
    assert not world.router.asked
