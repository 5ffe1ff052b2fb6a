"""What the three clients send, byte for byte, and what they make of each answer; the exchange itself is scripted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from domain.calls import (
    Charge,
    CommitHold,
    CustomerFetched,
    Declined,
    FetchCustomer,
    FetchProducts,
    Hold,
    HoldAnswered,
    HoldLine,
    NotFound,
    Outcome,
    PaymentAnswered,
    ProductsFetched,
    RefundAnswered,
    RefundPayment,
    ReleaseHold,
    Request,
    Unknown,
    Verify,
    VerifyRefund,
)
from domain.money import Money
from domain.order import Address, Customer, Product
from partners.contract import PartnerOperation
from partners.payment import PaymentClient
from partners.product import ProductClient
from partners.responses import PartnerResponse, meaning
from partners.user import UserClient

ORDER = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
PAYMENT = "0198f7a2-8fff-7001-8f0e-2f8f6d3c1b77"
CHARGE = Charge(payment_id=PAYMENT, customer_id="c-1001", amount=Money(7125, "EUR"), method="card", token="tok_1")
EXPIRES = datetime(2026, 11, 24, 10, 45, 30, 123_999, tzinfo=UTC)


@dataclass
class ScriptedHttp:
    """Stands for ``PartnerHttp``: reads the next scripted body as a success, or gives the scripted value."""

    answers: list[bytes | Outcome]
    sent: list[tuple[str, str, bytes | None]] = field(default_factory=list)

    async def ask(self, operation: PartnerOperation[Any], path: str, *, body: bytes | None = None) -> Any:
        answer = self.answers[min(len(self.sent), len(self.answers) - 1)]
        self.sent.append((operation.method, path, body))
        if not isinstance(answer, bytes):
            return answer
        return meaning(
            operation, PartnerResponse(status=200, content_type="application/json", retry_after="", content=answer)
        )


def _perform(client_class: Any, request: Request, *answers: bytes | Outcome) -> tuple[Outcome, ScriptedHttp]:
    http = ScriptedHttp(list(answers))
    return asyncio.run(client_class(http).perform(ORDER, request)), http


def _hold(state: str = "held", order_id: str = ORDER) -> bytes:
    return msgspec.json.encode({"order_id": order_id, "revision": 3, "state": state, "expires_at": "ignored"})


def _payment(**changes: Any) -> bytes:
    body = {
        "payment_id": PAYMENT,
        "order_id": ORDER,
        "status": "confirmed",
        "amount": {"amount": 7125, "currency": "EUR"},
        "refunded": {"amount": 0, "currency": "EUR"},
        "gateway_ref": "gw-1",
    }
    return msgspec.json.encode(body | changes)


def _product(sku: str, currency: str = "EUR", **changes: Any) -> dict[str, Any]:
    price = {"amount": 2999, "currency": currency}
    return {"sku": sku, "name": "A", "unit_price": price, "tax_rate": "0.2100", "available": 5, "version": 2} | changes


def _products(*products: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"products": products})


def test_a_hold_is_put_with_its_lines_and_its_end_in_utc() -> None:
    request = Hold(3, EXPIRES, (HoldLine("sku-a", 2), HoldLine("sku-b", 1)))
    outcome, http = _perform(ProductClient, request, _hold())
    assert outcome == HoldAnswered(3, "held")
    assert http.sent == [
        (
            "PUT",
            f"/holds/{ORDER}",
            (
                b'{"revision":3,"expires_at":"2026-11-24T10:45:30.123Z",'
                b'"lines":[{"sku":"sku-a","quantity":2},{"sku":"sku-b","quantity":1}]}'
            ),
        )
    ]


def test_a_repeat_is_the_same_request_whatever_zone_its_time_was_read_in() -> None:
    elsewhere = EXPIRES.astimezone(timezone(timedelta(hours=-7))).replace(microsecond=123_000)
    first = _perform(ProductClient, Hold(1, EXPIRES, ()), _hold())[1].sent
    assert _perform(ProductClient, Hold(1, elsewhere, ()), _hold())[1].sent == first


def test_a_time_without_a_zone_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="zone"):
        _perform(ProductClient, Hold(1, EXPIRES.replace(tzinfo=None), ()), _hold())


def test_committing_names_the_revision_and_releasing_sends_no_body() -> None:
    outcome, http = _perform(ProductClient, CommitHold(3), _hold("committed"))
    assert outcome == HoldAnswered(3, "committed")
    assert http.sent == [("POST", f"/holds/{ORDER}/commit", b'{"revision":3}')]
    outcome, http = _perform(ProductClient, ReleaseHold(), _hold("released"))
    assert outcome == HoldAnswered(3, "released")
    assert http.sent == [("DELETE", f"/holds/{ORDER}", None)]


def test_another_orders_hold_is_no_answer() -> None:
    assert isinstance(_perform(ProductClient, CommitHold(3), _hold(order_id=PAYMENT))[0], Unknown)


def test_products_are_asked_for_once_each_and_quoted() -> None:
    outcome, http = _perform(ProductClient, FetchProducts(("a&b", "ü", "a&b"), "EUR"), _products(_product("ü")))
    assert http.sent == [("GET", "/products?sku=a%26b&sku=%C3%BC&currency=EUR", None)]
    expected = Product(
        sku="ü", name="A", unit_price=2999, currency="EUR", tax_rate="0.2100", available=5, sellable=True, version=2
    )
    assert outcome == ProductsFetched((expected,))


def test_more_than_two_hundred_skus_are_asked_for_in_chunks() -> None:
    skus = tuple(f"s{number}" for number in range(450))
    answers = [_products(*(_product(sku) for sku in skus[at : at + 200])) for at in (0, 200, 400)]
    outcome, http = _perform(ProductClient, FetchProducts(skus, "EUR"), *answers)
    assert [path.count("sku=") for _, path, _ in http.sent] == [200, 200, 50]
    assert isinstance(outcome, ProductsFetched)
    assert [product.sku for product in outcome.products] == list(skus)


def test_long_skus_make_shorter_chunks_so_that_no_request_line_is_refused() -> None:
    skus = tuple(f"{number:0100}" for number in range(200))
    _, http = _perform(ProductClient, FetchProducts(skus, "EUR"), _products())
    assert max(len(path) for _, path, _ in http.sent) < 7_000
    assert sum(path.count("sku=") for _, path, _ in http.sent) == 200


def test_no_skus_need_no_request() -> None:
    outcome, http = _perform(ProductClient, FetchProducts((), "EUR"), _products())
    assert (outcome, http.sent) == (ProductsFetched(()), [])


def test_the_first_chunk_that_fails_is_the_answer_to_all() -> None:
    skus = tuple(f"s{number}" for number in range(201))
    outcome, _ = _perform(ProductClient, FetchProducts(skus, "EUR"), _products(), Unknown("503"))
    assert outcome == Unknown("503")


def test_a_product_priced_in_another_currency_or_not_asked_for_is_not_there() -> None:
    answer = _products(_product("a", "USD"), _product("b"), _product("c"))
    outcome, _ = _perform(ProductClient, FetchProducts(("a", "b"), "EUR"), answer)
    assert isinstance(outcome, ProductsFetched)
    assert [product.sku for product in outcome.products] == ["b"]


@pytest.mark.parametrize(
    "tax_rate",
    [
        "21%",
        "1.5",
        "-0.1",
        "NaN",
        "",
        "0_1",
        "0.2_1",
        "٠.٢١",
        "0.٢١",
        "１",
        " 0.21",
        "0.21\n",
        "+0.21",
        "2e-1",
        "21e-2",
        ".21",
        "0.",
    ],
)
def test_a_tax_rate_that_is_no_fraction_is_no_answer(tax_rate: str) -> None:
    answer = _products(_product("a", tax_rate=tax_rate))
    assert isinstance(_perform(ProductClient, FetchProducts(("a",), "EUR"), answer)[0], Unknown)


def test_a_charge_is_posted_with_its_token_and_without_one() -> None:
    outcome, http = _perform(PaymentClient, CHARGE, _payment())
    assert outcome == PaymentAnswered(
        payment_id=PAYMENT, status="confirmed", amount=Money(7125, "EUR"), gateway_ref="gw-1"
    )
    assert http.sent == [
        (
            "POST",
            "/payments",
            f'{{"payment_id":"{PAYMENT}","order_id":"{ORDER}","customer_id":"c-1001",'
            '"amount":{"amount":7125,"currency":"EUR"},"method":"card","token":"tok_1"}'.encode(),
        )
    ]
    bare = Charge(payment_id=PAYMENT, customer_id="c-1001", amount=Money(1, "EUR"), method="transfer", token=None)
    body = _perform(PaymentClient, bare, _payment())[1].sent[0][2]
    assert body is not None
    assert b"token" not in body


def test_a_rejection_carries_its_code() -> None:
    outcome, http = _perform(PaymentClient, Verify(PAYMENT), _payment(status="rejected", code="insufficient_funds"))
    assert isinstance(outcome, PaymentAnswered)
    assert (outcome.status, outcome.code) == ("rejected", "insufficient_funds")
    assert http.sent == [("GET", f"/payments/{PAYMENT}", None)]


def test_another_amount_is_passed_on_for_the_order_to_judge() -> None:
    outcome, _ = _perform(PaymentClient, CHARGE, _payment(amount={"amount": 1, "currency": "USD"}))
    assert isinstance(outcome, PaymentAnswered)
    assert outcome.amount == Money(1, "USD")


@pytest.mark.parametrize("changes", [{"payment_id": ORDER}, {"order_id": PAYMENT}])
def test_an_answer_about_another_payment_is_no_answer(changes: dict[str, str]) -> None:
    assert isinstance(_perform(PaymentClient, CHARGE, _payment(**changes))[0], Unknown)


def test_ids_may_come_back_in_capital_letters() -> None:
    outcome, _ = _perform(PaymentClient, CHARGE, _payment(payment_id=PAYMENT.upper()))
    assert isinstance(outcome, PaymentAnswered)
    assert outcome.payment_id == PAYMENT


def test_an_answer_about_a_refund_of_another_payment_is_no_answer() -> None:
    amount = {"amount": 700, "currency": "EUR"}
    answer = msgspec.json.encode({"refund_id": "r-1", "payment_id": ORDER, "status": "refunded", "amount": amount})
    request = RefundPayment(refund_id="r-1", payment_id=PAYMENT, amount=Money(700, "EUR"), reason="cancelled")
    assert isinstance(_perform(PaymentClient, request, answer)[0], Unknown)


def test_a_refund_is_posted_and_verified_under_its_own_id() -> None:
    amount = {"amount": 700, "currency": "EUR"}
    answer = msgspec.json.encode({"refund_id": "r-1", "payment_id": PAYMENT, "status": "refunded", "amount": amount})
    request = RefundPayment(refund_id="r-1", payment_id=PAYMENT, amount=Money(700, "EUR"), reason="cancelled")
    expected = RefundAnswered(refund_id="r-1", status="refunded", amount=Money(700, "EUR"))
    outcome, http = _perform(PaymentClient, request, answer)
    assert outcome == expected
    assert http.sent == [
        (
            "POST",
            "/refunds",
            f'{{"refund_id":"r-1","payment_id":"{PAYMENT}","amount":{{"amount":700,"currency":"EUR"}},'
            '"reason":"cancelled"}'.encode(),
        )
    ]
    outcome, http = _perform(PaymentClient, VerifyRefund("r-1"), answer)
    assert outcome == expected
    assert http.sent == [("GET", "/refunds/r-1", None)]
    assert isinstance(_perform(PaymentClient, VerifyRefund("r-2"), answer)[0], Unknown)


def test_a_customer_comes_with_addresses() -> None:
    address = {"address_id": "home", "line1": "1", "city": "C", "postal_code": "P", "country": "ES"}
    body = {"customer_id": "c/1", "name": "N", "email": "e", "status": "active", "version": 4, "addresses": [address]}
    outcome, http = _perform(UserClient, FetchCustomer("c/1"), msgspec.json.encode(body))
    home = Address(address_id="home", line1="1", line2=None, city="C", postal_code="P", country="ES")
    assert outcome == CustomerFetched(
        Customer(customer_id="c/1", name="N", email="e", status="active", version=4, addresses=(home,))
    )
    assert http.sent == [("GET", "/customers/c%2F1", None)]
    assert isinstance(_perform(UserClient, FetchCustomer("c-2"), msgspec.json.encode(body))[0], Unknown)


def test_a_customer_id_of_dots_names_no_other_path() -> None:
    assert _perform(UserClient, FetchCustomer(".."), NotFound())[1].sent[0][1] == "/customers/%2E%2E"


@pytest.mark.parametrize(
    ("client_class", "request_"),
    [
        (ProductClient, FetchProducts(("a",), "EUR")),
        (ProductClient, CommitHold(1)),
        (PaymentClient, CHARGE),
        (PaymentClient, VerifyRefund("r")),
        (UserClient, FetchCustomer("c")),
    ],
)
@pytest.mark.parametrize("word", [NotFound(), Declined(409, "conflict"), Unknown("503")])
def test_what_is_no_answer_is_passed_on_as_it_is(client_class: Any, request_: Request, word: Outcome) -> None:
    assert _perform(client_class, request_, word)[0] == word


@pytest.mark.parametrize(
    ("client_class", "request_"),
    [(ProductClient, CHARGE), (PaymentClient, ReleaseHold()), (UserClient, Verify("p"))],
)
def test_a_request_for_another_partner_is_a_fault_of_ours(client_class: Any, request_: Request) -> None:
    with pytest.raises(TypeError, match="does not answer"):
        _perform(client_class, request_, NotFound())


@pytest.mark.parametrize("amount", ["9007199254740992", "9007199254740992.0", "9223372036854775807"])
@pytest.mark.parametrize("status", ["processing", "confirmed", "rejected"])
def test_a_payment_of_more_than_any_may_be_is_no_word(amount: str, status: str) -> None:
    """Two of them were more than a table holds: the order was set aside, and nobody could settle it."""
    said = _payment(status=status).replace(b"7125", amount.encode())
    for request in (CHARGE, Verify(PAYMENT)):
        outcome, _ = _perform(PaymentClient, request, said)
        assert isinstance(outcome, Unknown)


@pytest.mark.parametrize("amount", ["9007199254740992", "9007199254740992.0", "9223372036854775807"])
@pytest.mark.parametrize("status", ["processing", "refunded", "rejected"])
def test_a_refund_of_more_than_any_may_be_is_no_word(amount: str, status: str) -> None:
    said = {
        "refund_id": PAYMENT,
        "payment_id": PAYMENT,
        "status": status,
        "amount": {"amount": 7125, "currency": "EUR"},
    }
    answer = msgspec.json.encode(said).replace(b"7125", amount.encode())
    for request in (
        RefundPayment(refund_id=PAYMENT, payment_id=PAYMENT, amount=Money(7125, "EUR"), reason="surplus"),
        VerifyRefund(PAYMENT),
    ):
        outcome, _ = _perform(PaymentClient, request, answer)
        assert isinstance(outcome, Unknown)
