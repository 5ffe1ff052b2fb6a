"""Which answers are a partner's word, at every operation, and which are nobody's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.calls import Declined, NotFound, Shortage, Unknown
from partners import contract
from partners.contract import PartnerOperation
from partners.responses import DETAIL_MAX_CHARACTERS, PartnerResponse, Throttled, meaning
from partners.shapes import HoldShape, PaymentShape

OPERATIONS: dict[str, PartnerOperation[Any]] = {
    name: value for name, value in vars(contract).items() if isinstance(value, PartnerOperation)
}
PAYMENT = {"payment_id": "p", "order_id": "o", "status": "confirmed", "amount": {"amount": 1, "currency": "EUR"}}
REFUND = {"refund_id": "r", "payment_id": "p", "status": "refunded", "amount": {"amount": 1, "currency": "EUR"}}
HOLD = {"order_id": "o", "revision": 1, "state": "held"}
CUSTOMER = {"customer_id": "c", "name": "n", "email": "e", "status": "active", "version": 1, "addresses": []}
SUCCESSES: dict[str, dict[str, Any]] = {
    "FETCH_PRODUCTS": {"products": []},
    "PUT_HOLD": HOLD,
    "COMMIT_HOLD": HOLD,
    "RELEASE_HOLD": HOLD,
    "CHARGE": PAYMENT,
    "GET_PAYMENT": PAYMENT,
    "REFUND": REFUND,
    "GET_REFUND": REFUND,
    "GET_CUSTOMER": CUSTOMER,
}
# The codes of contracts/partners.yaml, written down a second time: what is named anywhere is tried everywhere.
REFUSALS = {
    "FETCH_PRODUCTS": set[tuple[int, str]](),
    "PUT_HOLD": {
        (409, "out_of_stock"),
        (409, "stale_revision"),
        (409, "already_committed"),
        (409, "hold_released"),
        (409, "conflict"),
    },
    "COMMIT_HOLD": {(409, "hold_expired"), (409, "hold_released"), (409, "stale_revision"), (404, "hold_not_found")},
    "RELEASE_HOLD": set(),
    "CHARGE": {(409, "conflict")},
    "GET_PAYMENT": {(404, "payment_not_found")},
    "REFUND": {(404, "payment_not_found"), (409, "exceeds_captured"), (409, "conflict")},
    "GET_REFUND": {(404, "refund_not_found")},
    "GET_CUSTOMER": {(404, "customer_not_found")},
}
NAMED = {(422, "invalid_request")}.union(*REFUSALS.values())
HTML = b"<!doctype html><title>404</title>"
# Statuses in front of a partner, but for 401 and 403, which have a test of their own.
STATUSES = (200, 201, 202, 203, 204, 206, 301, 302, 304, 307, 308, 400, 402, 404, 405, 407, 408, 409, 410, 411, 412, 413,
            414, 415, 421, 422, 423, 425, 426, 428, 431, 451, 499, 500, 501, 502, 503, 504, 511, 520, 599)  # fmt: skip


def _meaning(name: str, status: int, content_type: str, content: bytes | dict[str, Any], retry_after: str = "") -> Any:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = PartnerResponse(status=status, content_type=content_type, retry_after=retry_after, content=body)
    return meaning(OPERATIONS[name], answer)


def _problem(name: str, status: int, code: str, content_type: str = "application/problem+json") -> Any:
    return _meaning(name, status, content_type, {"code": code, "detail": "d"})


def test_every_operation_is_in_the_tables() -> None:
    assert OPERATIONS.keys() == SUCCESSES.keys() == REFUSALS.keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_success_is_read_whatever_its_content_type_is_called_with(name: str) -> None:
    for content_type in ("application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"):
        assert not isinstance(_meaning(name, 200, content_type, SUCCESSES[name]), Unknown)


@pytest.mark.parametrize("name", OPERATIONS)
def test_202_is_a_success_only_where_an_event_may_follow(name: str) -> None:
    outcome = _meaning(name, 202, "application/json", SUCCESSES[name])
    assert isinstance(outcome, Unknown) == (name not in ("CHARGE", "REFUND"))


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_code_is_a_refusal_where_the_contract_names_it_and_nowhere_else(name: str) -> None:
    """Any 404 was taken for "not known", and any other 4xx for a refusal, whoever had said it."""
    for status, code in NAMED:
        outcome = _problem(name, status, code)
        if (status, code) not in REFUSALS[name] | {(422, "invalid_request")}:
            assert type(outcome) is Unknown, (status, code)
        elif status == 404:
            assert outcome == NotFound()
        else:
            assert outcome == Declined(status, code, "d")


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_named_code_with_another_status_is_nobodys_word(name: str) -> None:
    for status, code in NAMED:
        for other in set(STATUSES) - {status}:
            if (other, code) not in NAMED:
                assert type(_problem(name, other, code)) is Unknown, (other, code)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("content_type", ["text/html", "application/json", "application/problem+xml", "text/plain", ""])
def test_a_refusal_of_another_content_type_is_nobodys_word(name: str, content_type: str) -> None:
    for status, code in REFUSALS[name] | {(422, "invalid_request")}:
        assert type(_problem(name, status, code, content_type)) is Unknown


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("text/html", HTML),
        ("text/html; charset=utf-8", HTML),
        ("application/json", b'{"error":"not found"}'),
        ("application/json", b'{"code":"no_upstream"}'),
        ("application/problem+json", b'{"code":"no_upstream"}'),
        ("application/problem+json", b'{"title":"Not Found","status":404}'),
        ("application/problem+json", b'{"code":404}'),
        ("application/problem+json", b'["payment_not_found"]'),
        ("application/problem+json", HTML),
        ("application/problem+json", b""),
        ("application/octet-stream", b""),
        ("", b""),
        ("nonsense", b"x"),
    ],
)
def test_a_page_of_something_in_between_is_nobodys_word(name: str, content_type: str, content: bytes) -> None:
    for status in STATUSES:
        outcome = _meaning(name, status, content_type, content)
        assert type(outcome) is Unknown, status
        assert str(status) in outcome.detail
        assert content_type.partition(";")[0] in outcome.detail or "/" not in content_type or "code" in outcome.detail


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    "content_type", ["text/html", "application/problem+json", "text/plain", "", "application/jsonp"]
)
def test_a_success_of_another_content_type_is_nobodys_word(name: str, content_type: str) -> None:
    assert type(_meaning(name, 200, content_type, SUCCESSES[name])) is Unknown


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("status", [201, 203, 206, 302, 304, 400, 404, 409, 422, 500, 503])
def test_a_body_of_a_success_under_another_status_is_nobodys_word(name: str, status: int) -> None:
    assert type(_meaning(name, status, "application/json", SUCCESSES[name])) is Unknown


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_success_with_a_member_missing_or_of_another_type_is_nobodys_word(name: str) -> None:
    for member in SUCCESSES[name]:
        without = {key: value for key, value in SUCCESSES[name].items() if key != member}
        assert type(_meaning(name, 200, "application/json", without)) is Unknown
        wrongs: tuple[Any, ...] = (None, True, [[]], {"a": 1})
        for wrong in wrongs:
            assert type(_meaning(name, 200, "application/json", without | {member: wrong})) is Unknown, (member, wrong)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_told_apart_whatever_they_carry(name: str, status: int) -> None:
    for content_type, content in (
        ("text/html", HTML),
        ("application/json", SUCCESSES[name]),
        ("application/problem+json", {"code": "payment_not_found"}),
        ("application/problem+json", {"code": "invalid_request"}),
        ("", b""),
    ):
        outcome = _meaning(name, status, content_type, content)
        assert type(outcome) is Unknown
        assert outcome.credentials_refused
        assert str(status) in outcome.detail


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("content_type", ["text/html", "application/problem+json", ""])
def test_429_is_throttling_whoever_says_it(name: str, content_type: str) -> None:
    outcome = _meaning(name, 429, content_type, HTML, retry_after="7")
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0), ("0", 0.0), ("61", 60.0), ("9" * 5000, 60.0), ("", 0.0), ("-1", 0.0), ("+7", 0.0), ("1_0", 0.0), ("٧", 0.0),
        ("７", 0.0), ("²", 0.0), ("1e1", 0.0), ("7.5", 0.0), ("nan", 0.0), ("inf", 0.0), ("Infinity", 0.0), (" 7", 0.0),
        ("7\n", 0.0), ("0x7", 0.0), ("soon", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_in_ascii_digits(header: str, seconds: float) -> None:
    outcome = _meaning("CHARGE", 429, "", b"", retry_after=header)
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after_s == seconds


def test_a_refusal_carries_its_shortages_and_those_without_a_sku_are_left_out() -> None:
    content = {
        "type": "about:blank",
        "code": "out_of_stock",
        "detail": None,
        "shortages": [{"sku": "a", "available": 2.0}, {"available": 1}, {"sku": "b", "more": []}],
    }
    outcome = _meaning("PUT_HOLD", 409, "application/problem+json; charset=utf-8", content)
    assert outcome == Declined(409, "out_of_stock", "", (Shortage("a", 2), Shortage("b", 0)))


def test_integers_may_be_written_with_a_point() -> None:
    hold = _meaning("PUT_HOLD", 200, "application/json", b'{"order_id":"o","revision":3.0,"state":"held"}')
    assert isinstance(hold, HoldShape)
    assert type(hold.revision) is int
    assert hold.revision == 3
    body = json.dumps(PAYMENT).replace('"amount": 1,', '"amount": 2.154e3,').encode()
    payment = _meaning("CHARGE", 200, "application/json", body)
    assert isinstance(payment, PaymentShape)
    assert payment.amount.amount == 2154


def test_what_is_told_of_it_is_bounded_and_holds_nothing_odd() -> None:
    long = "x" * 100_000
    for content_type, content in (
        (f"text/{long}", HTML),
        ("text/\udcff", HTML),
        ("a\x00b/c", HTML),
        ("application/problem+json", {"code": long}),
        ("application/problem+json", {"code": "\x00\x1b[31m"}),
        ("application/json", {long: 1}),
    ):
        for status in (200, 404, 409):
            outcome = _meaning("CHARGE", status, content_type, content)
            assert type(outcome) is Unknown
            assert len(outcome.detail) <= DETAIL_MAX_CHARACTERS
            assert outcome.detail.isprintable()
            outcome.detail.encode()
