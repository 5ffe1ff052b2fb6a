"""Messages, replies and calls as processes of other releases send them: the bytes are files beside this one.

A new field is the last of its form and has a default, so bytes without it are read; one that a later release put behind it is
skipped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from actors.order.messages import (
    DeliveryOutcome,
    NotOwner,
    decode_call,
    decode_message,
    decode_outcome,
    encode_call,
    encode_message,
    encode_outcome,
)
from actors.order.replies import Reply, decode_reply
from domain.calls import (
    Call,
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
    NotSent,
    Outcome,
    Partner,
    PaymentAnswered,
    ProductsFetched,
    RefundAnswered,
    RefundPayment,
    ReleaseHold,
    Request,
    Shortage,
    Unknown,
    Verify,
    VerifyRefund,
)
from domain.commands import (
    Actor,
    ActorType,
    AddItem,
    ApplyDiscount,
    AskAgain,
    Body,
    CallAnswered,
    Cancel,
    ChangeQuantity,
    CreateOrder,
    Deliver,
    HoldLost,
    MarkSettled,
    Message,
    NewLine,
    Pay,
    PaymentConfirmed,
    PaymentRejected,
    Record,
    RemoveDiscount,
    RemoveItem,
    RetryNow,
    Ship,
    SkipToCompensation,
    Wake,
)
from domain.errors import FieldError, OutcomeUnknown, RefusalKind, Refused, Unavailable
from domain.money import Money
from domain.order import Address, CancelReason, Customer, Product
from domain.shipments import ShipmentLine

FIRST_RELEASE = Path(__file__).parent / "samples" / "first_release"
AT = datetime(2026, 1, 5, 10, 0, 0, 123_456, tzinfo=UTC)
EUR = Money(1000, "EUR")
ADDRESS = Address(address_id="a-1", line1="Calle Mayor 1", line2=None, city="Madrid", postal_code="28013", country="ES")
CUSTOMER = Customer(
    customer_id="c-1", name="Ana Pérez", email="ana@example.org", status="active", version=3, addresses=(ADDRESS,)
)
PRODUCT = Product(
    sku="sku-1",
    name="Uno",
    unit_price=10,
    currency="EUR",
    tax_rate="0.2100",
    available=4,
    sellable=True,
    version=8,
)
OUTCOMES: tuple[Outcome, ...] = (
    ProductsFetched((PRODUCT,)),
    CustomerFetched(CUSTOMER, 1.5),
    HoldAnswered(2, "held"),
    PaymentAnswered(payment_id="p-1", status="rejected", amount=EUR, code="declined", gateway_ref="g-1"),
    RefundAnswered(refund_id="r-1", status="refunded", amount=EUR),
    Declined(409, "insufficient_stock", "too few", (Shortage("sku-1", 1),)),
    NotFound(),
    NotSent("circuit open", circuit_open=True),
    Unknown("timeout"),
)
BODIES: tuple[Body, ...] = (
    CreateOrder(
        customer_id="c-1",
        currency="EUR",
        lines=(NewLine("sku-1", 2),),
        discount_codes=("TEN",),
        address_id="a-1",
        shipping_method="express",
        metadata={"k": "ñ"},
        order_id="o-1",
    ),
    CreateOrder(customer_id="c-1", currency="EUR", lines=(NewLine("sku-1", 2),)),
    AddItem("sku-1", 2),
    ChangeQuantity("i-1", 3),
    RemoveItem("i-1"),
    ApplyDiscount("TEN"),
    RemoveDiscount("TEN"),
    Pay("card", "tok", 1000),
    Cancel(CancelReason.CUSTOMER, "nota"),
    Ship(carrier="SEUR", tracking_number="t", tracking_url="https://t.example", lines=(ShipmentLine("i-1", 1),)),
    Deliver("s-1"),
    RetryNow("n"),
    SkipToCompensation("n"),
    MarkSettled("n"),
    *(CallAnswered("k", 3, outcome) for outcome in OUTCOMES),
    PaymentConfirmed(payment_id="p-1", amount=EUR, gateway_ref="g-1"),
    PaymentRejected("p-1", "declined"),
    HoldLost("sku-1"),
    Wake(),
    AskAgain(Partner.PAYMENT),
)
FORMS_IN_ARRAYS = ("CallAnswered", "refused", "unavailable")
AFTER_THE_FIRST_RELEASE = (Record,)
LETTERS = (
    *(
        (
            "o-1",
            Message(
                id=f"m-{number}",
                body=body,
                actor=Actor(ActorType.CLIENT, "user-1"),
                keyed=True,
                fingerprint="f",
                expected_version=7,
                customer_scope="c-1",
                traceparent="00-1-2-01",
            ),
        )
        for number, body in enumerate(BODIES)
    ),
    ("o-2", Message(id="m", body=Wake(), actor=Actor(ActorType.TIMER, "t"))),
)
REQUESTS: tuple[Request, ...] = (
    FetchProducts(("sku-1",), "EUR"),
    FetchCustomer("c-1"),
    Hold(2, AT, (HoldLine("sku-1", 2),)),
    CommitHold(2),
    ReleaseHold(),
    Charge(payment_id="p-1", customer_id="c-1", amount=EUR, method="card", token="tok"),
    Verify("p-1"),
    RefundPayment(refund_id="r-1", payment_id="p-1", amount=EUR, reason="surplus"),
    VerifyRefund("r-1"),
)
CALLS = tuple(
    Call(order_id="o-1", key=f"k-{number}", attempt=number, request=request) for number, request in enumerate(REQUESTS)
)
REPLY = Reply(document=b'{"id":"o-1"}', version=9, resource="payment", resource_id="p-1", settled=False, replayed=True)
TOLD: tuple[DeliveryOutcome, ...] = (
    REPLY,
    Reply(document=b"{}", version=1),
    Refused(RefusalKind.CONFLICT, "illegal_transition", "it is shipped", allowed=("deliver",)),
    Refused(RefusalKind.STALE, "version_conflict", "another", current_version=8),
    Refused(RefusalKind.UNPROCESSABLE, "invalid", "wrong", errors=(FieldError("/lines/0", "c", "m"),)),
    Unavailable("overloaded", "full", retry_after_s=2.5, overloaded=True),
    OutcomeUnknown("no answer"),
    NotOwner("slices-1-of-2"),
)


def of_the_first_release(name: str) -> list[bytes]:
    """What a file has, one by one: the first release sent several together."""
    together = (FIRST_RELEASE / name).read_bytes()
    return [bytes(each) for each in msgspec.msgpack.decode(together, type=list[msgspec.Raw])]


def comparable(told: DeliveryOutcome) -> object:
    """Errors are equal when they say the same, of the same kind."""
    return (type(told), vars(told)) if isinstance(told, Exception) else told


def of_a_later_release(encoded: bytes) -> bytes:
    """The same with one more field at the end of the form, and of each form in it, be it an array or a map."""

    def with_more(form: Any) -> Any:
        if isinstance(form, dict):
            return {**form, "later": [1]}
        inside = [
            with_more(each) if isinstance(each, dict) or before in FORMS_IN_ARRAYS else each
            for before, each in pairwise([None, *form])
        ]
        return [*inside, {"later": [1]}]

    return msgspec.msgpack.encode(with_more(msgspec.msgpack.decode(encoded)))


def test_there_is_a_message_of_every_kind() -> None:
    assert {type(body) for body in BODIES} == set(get_args(Body)) - set(AFTER_THE_FIRST_RELEASE)
    assert {type(outcome) for outcome in OUTCOMES} == set(get_args(Outcome))
    assert {type(request) for request in REQUESTS} == set(get_args(Request))
    assert {type(told) for told in TOLD} == set(get_args(DeliveryOutcome))


def test_messages_of_the_first_release_are_read() -> None:
    assert [decode_message(each) for each in of_the_first_release("messages.msgpack")] == list(LETTERS)


def test_calls_of_the_first_release_are_read() -> None:
    assert [decode_call(each) for each in of_the_first_release("calls.msgpack")] == list(CALLS)


def test_replies_and_refusals_of_the_first_release_are_read() -> None:
    told = [decode_outcome(each) for each in of_the_first_release("outcomes.msgpack")]
    assert [comparable(each) for each in told] == [comparable(each) for each in TOLD]


def test_a_reply_that_the_first_release_kept_for_repeats_is_read() -> None:
    assert decode_reply((FIRST_RELEASE / "kept_reply.msgpack").read_bytes()) == REPLY


@pytest.mark.parametrize("envelope", LETTERS, ids=lambda envelope: type(envelope[1].body).__name__)
def test_what_a_later_release_put_behind_a_message_is_skipped(envelope: tuple[str, Message]) -> None:
    assert decode_message(of_a_later_release(encode_message(*envelope))) == envelope


@pytest.mark.parametrize("call", CALLS, ids=lambda call: type(call.request).__name__)
def test_what_a_later_release_put_behind_a_call_is_skipped(call: Call) -> None:
    assert decode_call(of_a_later_release(encode_call(call))) == call


@pytest.mark.parametrize("told", TOLD, ids=lambda told: type(told).__name__)
def test_what_a_later_release_put_behind_a_reply_is_skipped(told: DeliveryOutcome) -> None:
    assert comparable(decode_outcome(of_a_later_release(encode_outcome(told)))) == comparable(told)
