"""Every row of spec.md's REST table, and every refusal that it names, over HTTP against the running service."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.givens import CUSTOMER, GIVENS, Names
from tests.acceptance.rest_refusals import REFUSALS
from tests.acceptance.rest_rows import ANY, SUCCESSES, Row
from tests.acceptance.shop import Shop

PROBLEM = {"type", "title", "status", "detail", "instance", "code", "errors", "trace_id"}
OWNER = "orders:read orders:write payments:write"

# Codes that are told only while something of the service is broken, overloaded or slow. Where each is proven:
# tests/unit/api and tests/faults; rate_limited and a second process in test_rest_table_limits.py; the rest of keys in
# test_rest_table_keys.py.
ELSEWHERE = {
    "database_unavailable",
    "idempotency_key_reused",
    "internal_error",
    "keys_unavailable",
    "order_busy",
    "outcome_unknown",
    "overloaded",
    "promotion_changing",
    "rate_limited",
    "request_timeout",
    "unavailable",
}


@pytest.fixture(scope="module")
def tokens(shop: Shop) -> dict[str, str]:
    """Everybody who asks."""
    good = shop.token("orders:read", customer=CUSTOMER)
    return {
        "admin": shop.token("admin"),
        "owner": shop.token(OWNER, customer=CUSTOMER),
        "reader": good,
        "shipper": shop.token("shipments:write"),
        "marketing": shop.token("promotions:write"),
        "stranger": shop.token(OWNER, customer="c-1002"),
        "strange_reader": shop.token("orders:read", customer="c-1002"),
        "forger": good[:-8] + "AAAAAAAA",
        "latecomer": shop.token("admin", ttl_s=-60),
        "nobody": "",
    }


class Shared:
    """What rows that change nothing are given: made once."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._made: dict[str, Names] = {}

    def get(self, row: Row) -> Names:
        """What the row is given."""
        if row.answer < 400 and not row.asks.startswith("GET"):
            return GIVENS[row.given](self._shop)
        if row.given not in self._made:
            self._made[row.given] = GIVENS[row.given](self._shop)
        return self._made[row.given]


@pytest.fixture(scope="module")
def shared(shop: Shop) -> Iterator[Shared]:
    yield Shared(shop)
    shop.partner("sandbox", "DELETE", "/knobs")


def filled(wish: Any, names: Names) -> Any:
    """A path, a body or an expectation with its ``{names}`` filled in."""
    match wish:
        case str():
            return re.sub(r"{(\w+)}", lambda found: names.get(found[1], found[0]), wish)
        case dict():
            return {filled(key, names): filled(value, names) for key, value in wish.items()}
        case list() | tuple():
            return [filled(each, names) for each in wish]
    return wish


def at(document: Any, path: str) -> Any:
    """What a JSON document has at a dotted path."""
    for part in path.split("."):
        document = document[int(part) if isinstance(document, list) else part]
    return document


@pytest.mark.parametrize("row", [*SUCCESSES, *REFUSALS], ids=lambda row: row.name)
def test_the_row_is_answered_as_the_table_says(shop: Shop, shared: Shared, tokens: Mapping[str, str], row: Row) -> None:
    names = shared.get(row)
    method, _, path = filled(row.asks, names).partition(" ")
    key = str(uuid4()) if row.key and "Idempotency-Key" not in row.headers else None
    status, told, headers = shop.ask(
        method, path, filled(row.body, names), key=key, token=tokens[row.who], headers=filled(dict(row.headers), names)
    )
    assert status == row.answer, told
    if row.code:
        assert headers["content-type"] == "application/problem+json"
        assert told.keys() >= PROBLEM
        assert (told["code"], told["status"], told["instance"]) == (row.code, row.answer, path.partition("?")[0])
    for place, expected in row.shows.items():
        found = at(told, place)
        assert expected is ANY or found == filled(expected, names), place
    for name, pattern in row.tells.items():
        assert re.fullmatch(pattern, headers[name]), (name, headers[name])


def test_every_operation_has_a_row_and_every_code_of_the_document_too(shop: Shop) -> None:
    _, document, _ = shop.ask("GET", "/openapi.json")
    asked = [row.asks.partition("?")[0] for row in SUCCESSES]
    codes: set[str] = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            pattern = f"{method.upper()} {re.sub(r'{[^}]+}', '[^/]+', path)}"
            # A dead letter is shown and sent again in test_dead_letters.py and by schemathesis.
            assert "{letter_id}" in path or any(re.fullmatch(pattern, each) for each in asked), pattern
            for answer in operation["responses"].values():
                codes |= answer.get("content", {}).get("application/problem+json", {}).get("examples", {}).keys()
    assert codes - {row.code for row in REFUSALS} == ELSEWHERE
