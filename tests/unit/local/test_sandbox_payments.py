"""PaymentSvc of the sandbox: what a plan makes of a charge or a refund, and what a restart remembers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from local.sandbox.payments import ChargeRequest, Payments, Plan, RefundRequest, read_charge, read_refund
from local.sandbox.records import PaymentRecord, Record, RefundRecord
from local.sandbox.responses import EmulatedResponse


class Bank(Payments):
    """Payments at a fixed time that remember what they kept, as the journal has it."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        super().__init__(lambda: 1_000, lambda record: self.kept.append(msgspec.json.encode(record)))

    def restarted(self) -> Payments:
        other = Payments(lambda: 1_000, lambda _: None)
        for line in self.kept:
            record = msgspec.json.decode(line, type=Record)
            assert isinstance(record, PaymentRecord | RefundRecord)
            other.restore(record)
        return other


def _charge(payment_id: str = "p", amount: int = 100) -> ChargeRequest:
    body = {"payment_id": payment_id, "order_id": "o", "customer_id": "c", "method": "card"}
    read = read_charge(json.dumps(body | {"amount": {"amount": amount, "currency": "EUR"}}).encode())
    assert isinstance(read, ChargeRequest)
    return read


def _refund(refund_id: str, amount: int, currency: str = "EUR") -> RefundRequest:
    body = {"refund_id": refund_id, "payment_id": "p", "amount": {"amount": amount, "currency": currency}}
    read = read_refund(json.dumps(body).encode())
    assert isinstance(read, RefundRequest)
    return read


def _body(answer: EmulatedResponse) -> Any:
    return json.loads(answer.body)


def test_a_mismatch_takes_another_amount_and_says_so() -> None:
    bank = Bank()
    body = _body(bank.charge(_charge(), Plan(amount_delta=7, currency="USD")))
    assert (body["status"], body["amount"]) == ("confirmed", {"amount": 107, "currency": "USD"})


def test_a_repeat_keeps_the_first_outcome_whatever_is_planned_for_it() -> None:
    bank = Bank()
    first = bank.charge(_charge(), Plan(is_accepted=False, code="fraud_suspected"))
    assert bank.charge(_charge(), Plan()) == first
    assert _body(first)["code"] == "fraud_suspected"


def test_a_charge_under_way_ends_once() -> None:
    bank = Bank()
    assert bank.charge(_charge(), Plan(after_ms=50)).status == 202
    assert [record.settles_at_ms for record in bank.unsettled()] == [1_050]
    assert bank.settle("p", "confirmed")
    assert not bank.settle("p", "rejected")
    assert _body(bank.get("p"))["status"] == "confirmed"
    assert list(bank.unsettled()) == []


def test_silence_never_ends_by_itself() -> None:
    bank = Bank()
    assert bank.charge(_charge(), Plan(after_ms=-1)).status == 202
    assert list(bank.unsettled()) == []


def test_money_on_its_way_back_can_not_be_given_back_twice() -> None:
    bank = Bank()
    bank.charge(_charge(), Plan())
    assert bank.give_back(_refund("r1", 60), Plan(after_ms=10)).status == 202
    assert _body(bank.give_back(_refund("r2", 60), Plan()))["code"] == "exceeds_captured"
    assert bank.settle_refund("r1")
    assert _body(bank.get("p"))["refunded"] == {"amount": 60, "currency": "EUR"}


def test_a_rejected_refund_leaves_the_money_where_it_was() -> None:
    bank = Bank()
    bank.charge(_charge(), Plan())
    assert _body(bank.give_back(_refund("r1", 100), Plan(is_accepted=False)))["status"] == "rejected"
    assert _body(bank.give_back(_refund("r2", 100), Plan()))["status"] == "refunded"


def test_a_refund_that_gives_back_another_amount_says_so_and_is_the_same_when_it_is_repeated() -> None:
    bank = Bank()
    bank.charge(_charge(), Plan())
    first = bank.give_back(_refund("r1", 60), Plan(amount_delta=-7))
    assert _body(first)["amount"] == {"amount": 53, "currency": "EUR"}
    assert _body(bank.get("p"))["refunded"] == {"amount": 53, "currency": "EUR"}
    assert bank.restarted().give_back(_refund("r1", 60), Plan()) == first
    assert bank.give_back(_refund("r1", 53), Plan()).status == 409


def test_another_currency_was_never_captured() -> None:
    bank = Bank()
    bank.charge(_charge(), Plan())
    assert _body(bank.give_back(_refund("r", 1, "USD"), Plan()))["code"] == "exceeds_captured"


def test_a_conflict_is_remembered_for_those_who_check_the_laws() -> None:
    bank = Bank()
    bank.charge(_charge(), Plan())
    assert bank.charge(_charge(amount=1), Plan()).status == 409
    assert bank.conflicts == ["p"]


def test_a_restart_remembers_payments_and_refunds() -> None:
    bank = Bank()
    bank.charge(_charge("p"), Plan())
    bank.charge(_charge("q"), Plan(after_ms=50))
    bank.give_back(_refund("r1", 30), Plan())
    bank.give_back(_refund("r2", 20), Plan(after_ms=10))
    bank.settle("q", "rejected")
    again = bank.restarted()
    assert list(again.records()) == list(bank.records())
    assert again.charge(_charge("p"), Plan()) == bank.charge(_charge("p"), Plan())
    assert _body(again.give_back(_refund("r3", 51), Plan()))["code"] == "exceeds_captured"


@pytest.mark.parametrize("amount", [0, -1, True, 1.5, "1", 2**63])
def test_what_is_no_amount_is_a_bad_request(amount: object) -> None:
    body = {"payment_id": "p", "order_id": "o", "customer_id": "c", "method": "card"}
    answer = read_charge(json.dumps(body | {"amount": {"amount": amount, "currency": "EUR"}}).encode())
    assert isinstance(answer, EmulatedResponse)
    assert answer.status == 422
