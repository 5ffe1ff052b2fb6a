"""Lists by the time of the last change: their order, their bounds, their pages, and what a restart makes of them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from local.sandbox.changes import PAGE_MAX_ROWS, Changes
from local.sandbox.payments import Payments, Plan, read_charge, read_refund
from local.sandbox.records import PaymentRecord, Record, RefundRecord
from local.sandbox.responses import EmulatedResponse

SINCE = "updated_since=1970-01-01T00:00:00Z"


def _body(answer: EmulatedResponse) -> Any:
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def _listed(changes: Changes, query: str) -> Any:
    return _body(changes.page(query, lambda at_us, key: {"at": at_us, "key": key}))


class Bank(Payments):
    """Payments on a clock that is moved by hand, and what they kept."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.now_ms = 1_000
        super().__init__(lambda: self.now_ms, lambda record: self.kept.append(msgspec.json.encode(record)))

    def take(self, payment_id: str) -> None:
        money = {"amount": 100, "currency": "EUR"}
        body = {"payment_id": payment_id, "order_id": "o", "customer_id": "c", "method": "card", "amount": money}
        asked = read_charge(json.dumps(body).encode())
        assert not isinstance(asked, EmulatedResponse)
        self.charge(asked, Plan())

    def return_some(self, refund_id: str, payment_id: str, after_ms: int | None = None) -> None:
        body = {"refund_id": refund_id, "payment_id": payment_id, "amount": {"amount": 1, "currency": "EUR"}}
        asked = read_refund(json.dumps(body).encode())
        assert not isinstance(asked, EmulatedResponse)
        self.give_back(asked, Plan(after_ms=after_ms))

    def both(self) -> tuple[Any, Any]:
        return _body(self.list_payments(SINCE)), _body(self.list_refunds(SINCE))


def _restarted(lines: list[bytes]) -> Bank:
    bank = Bank()
    for line in lines:
        record = msgspec.json.decode(line, type=Record)
        assert isinstance(record, PaymentRecord | RefundRecord)
        bank.restore(record)
    return bank


def test_no_two_changes_have_the_same_time_though_the_clock_stands_or_goes_back() -> None:
    changes = Changes()
    times: list[int] = []
    for now_ms in (5, 5, 4, 6):
        times.append(changes.next_us(now_ms))
        changes.note(times[-1], "k")
    assert times == [5_000, 5_001, 5_002, 6_000]


def test_since_is_inclusive_and_until_is_not() -> None:
    changes = Changes()
    for at_ms in (1, 2, 3):
        changes.note(at_ms * 1000, str(at_ms))
    query = "updated_since=1970-01-01T00:00:00.001Z&updated_until=1970-01-01T00:00:00.003Z"
    assert [row["key"] for row in _listed(changes, query)["data"]] == ["1", "2"]


@pytest.mark.parametrize("count", [0, 1, PAGE_MAX_ROWS, PAGE_MAX_ROWS + 1, 2 * PAGE_MAX_ROWS + 7])
def test_pages_follow_one_another_without_a_gap_or_a_repeat(count: int) -> None:
    changes = Changes()
    for _ in range(count):
        at_us = changes.next_us(1)
        changes.note(at_us, str(at_us))
    seen: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        page = _listed(changes, SINCE + (f"&cursor={cursor}" if cursor else ""))
        seen += [row["key"] for row in page["data"]]
        cursor = page["next_cursor"]
        pages += 1
    assert seen == [str(1000 + number) for number in range(count)]
    assert pages == max(1, -(-count // PAGE_MAX_ROWS))


@pytest.mark.parametrize(
    "query",
    [
        "", "cursor=1", "updated_since=", "updated_since=1", "updated_since=2026-01-01", "updated_since=2026-01-01T00:00:00",
        f"{SINCE}&updated_until=x", f"{SINCE}&cursor=x", f"{SINCE}&cursor=-1", f"{SINCE}&cursor=%D9%A1", f"{SINCE}&cursor=1_0",
        f"{SINCE}&cursor={'9' * 5000}",
    ],
)  # fmt: skip
def test_what_is_no_query_is_refused(query: str) -> None:
    answer = Changes().page(query, lambda _at_us, _key: {})
    assert (answer.status, json.loads(answer.body)["code"]) == (422, "invalid_request")


def test_a_payment_moves_to_the_end_when_money_goes_back() -> None:
    bank = Bank()
    bank.take("p1")
    bank.take("p2")
    bank.return_some("r1", "p1")
    payments, refunds = bank.both()
    assert [row["payment_id"] for row in payments["data"]] == ["p2", "p1"]
    assert payments["data"][1]["refunded"]["amount"] == 1
    assert payments["data"][1]["updated_at"] == refunds["data"][0]["updated_at"]


def test_a_restart_lists_the_same_and_so_does_the_next() -> None:
    bank = Bank()
    bank.take("p1")
    bank.take("p2")
    bank.return_some("r1", "p1", after_ms=10)
    bank.now_ms += 5
    bank.return_some("r2", "p2")
    bank.settle_refund("r1")
    first = _restarted(bank.kept)
    assert first.both() == bank.both()
    again = _restarted([msgspec.json.encode(record) for record in first.records()])
    assert again.both() == bank.both()
    again.now_ms = 0
    again.take("p3")
    assert [row["payment_id"] for row in again.both()[0]["data"]] == ["p2", "p1", "p3"]


def test_what_an_earlier_sandbox_kept_without_a_time_is_listed_by_when_it_was_made() -> None:
    bank = Bank()
    bank.take("p1")
    bank.return_some("r1", "p1")
    older = [json.loads(line) for line in bank.kept]
    for record in older:
        del record["changed_at_us"]
    payments, refunds = _restarted([json.dumps(record).encode() for record in older]).both()
    assert [row["payment_id"] for row in payments["data"]] == ["p1"]
    assert [row["refund_id"] for row in refunds["data"]] == ["r1"]
    assert refunds["data"][0]["updated_at"].startswith("1970-01-01T00:00:01.")
