"""Every row of docs/contract.md's REST table, and every refusal that it names, over HTTP against the running service."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

import pytest

import tests.acceptance.test_connections as connections
import tests.acceptance.test_payment_limits as limits
import tests.acceptance.test_rest_table_broken as broken
import tests.acceptance.test_rest_table_keys as keys
import tests.acceptance.test_rest_table_processes as processes
from tests.acceptance.rest_refusals import REFUSALS
from tests.acceptance.rest_rows import ANY, PROBLEM, SUCCESSES, Row
from tests.acceptance.scenarios import CUSTOMER, GIVENS, Names
from tests.acceptance.shop import Shop

OWNER = "orders:read orders:write payments:write"

# Codes that take more than one request to be told, and the test that does it, over HTTP too.
ELSEWHERE: dict[str, Callable[..., object]] = {
    "database_unavailable": broken.test_without_an_answer_of_postgresql_nothing_is_shown_and_nobody_waits,
    "idempotency_key_reused": keys.test_another_body_under_the_same_key_is_refused,
    "internal_error": broken.test_what_nobody_foresaw_is_told_as_such_and_found_by_its_trace,
    "keys_unavailable": (broken.test_keys_of_an_identity_provider_are_awaited_and_fetched_again_when_they_are_rotated),
    "order_busy": broken.test_of_more_commands_at_once_than_an_order_takes_the_rest_is_refused,
    "order_set_aside": broken.test_an_order_that_can_not_be_read_is_set_aside_and_leaves_the_others_alone,
    "outcome_unknown": broken.test_what_a_frozen_shard_was_asked_is_unknown_and_what_is_too_much_was_not_asked,
    "overloaded": broken.test_what_a_frozen_shard_was_asked_is_unknown_and_what_is_too_much_was_not_asked,
    "promotion_changing": broken.test_whoever_changes_a_promotion_while_many_do_may_have_to_try_again,
    "rate_limited": (processes.test_a_token_that_asks_too_often_is_told_when_to_come_back_whichever_process_it_asks),
    "refund_in_progress": limits.test_what_is_being_given_back_can_not_be_recorded_as_taken,
    "repeated_header": connections.test_a_header_that_may_stand_once_is_refused_when_it_is_repeated,
    "request_timeout": broken.test_a_body_that_does_not_come_is_not_waited_for_without_end,
    "too_many_payment_attempts": limits.test_an_order_takes_so_many_payments_and_no_more,
    "too_many_refund_attempts": limits.test_staff_can_not_try_a_refund_again_without_end,
    "unavailable": broken.test_without_rabbitmq_dead_letters_are_not_to_be_had_and_orders_go_on,
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
    assert codes - {row.code for row in REFUSALS} == ELSEWHERE.keys()
