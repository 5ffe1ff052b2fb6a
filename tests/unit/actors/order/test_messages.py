"""What travels between processes: one that a reader does not know is told as such, and so is one that can't be encoded."""

from __future__ import annotations

import msgspec
import pytest

from actors.order.messages import (
    DeliveryOutcome,
    NotOwner,
    Undecodable,
    Unencodable,
    decode_call,
    decode_message,
    decode_outcome,
    encode_call,
    encode_message,
    encode_outcome,
)
from actors.order.replies import Reply
from domain.calls import Call, FetchCustomer
from domain.commands import Actor, ActorType, Message, Wake
from domain.errors import OutcomeUnknown, RefusalKind, Refused, Unavailable

MESSAGE = Message(id="m", body=Wake(), actor=Actor(ActorType.TIMER, "t"))
CALL = Call(order_id="o", key="k", attempt=1, request=FetchCustomer("c"))


def of_a_later_release(encoded: bytes, kind: str) -> bytes:
    """The same, but of a kind that this release does not know."""
    fields = msgspec.msgpack.decode(encoded)
    fields[fields.index(kind)] = "Unheard"
    return msgspec.msgpack.encode(fields)


def test_a_message_and_a_call_arrive_as_they_were_sent() -> None:
    assert decode_message(encode_message("o", MESSAGE)) == ("o", MESSAGE)
    assert decode_call(encode_call(CALL)) == CALL


def test_a_message_and_a_call_of_a_kind_that_is_not_known_are_unreadable() -> None:
    with pytest.raises(Undecodable, match="KeyError"):
        decode_message(of_a_later_release(encode_message("o", MESSAGE), "Wake"))
    with pytest.raises(Undecodable, match="KeyError"):
        decode_call(of_a_later_release(encode_call(CALL), "FetchCustomer"))


def test_a_call_that_cannot_be_encoded_says_so() -> None:
    with pytest.raises(Unencodable):
        encode_call(Call(order_id="o", key="\ud800", attempt=1, request=FetchCustomer("c")))


@pytest.mark.parametrize("told", [Reply(document=b"{}", version=3, settled=False), NotOwner("order-1"), NotOwner("")])
def test_what_is_told_arrives_as_it_was(told: DeliveryOutcome) -> None:
    assert decode_outcome(encode_outcome(told)) == told


def test_what_is_told_by_an_error_arrives_with_all_it_says() -> None:
    unavailable = decode_outcome(
        encode_outcome(Unavailable("overloaded", "enough", retry_after_s=2.5, overloaded=True))
    )
    assert isinstance(unavailable, Unavailable)
    assert (unavailable.code, unavailable.detail) == ("overloaded", "enough")
    assert (unavailable.retry_after_s, unavailable.overloaded) == (2.5, True)


def test_an_answer_that_cannot_be_encoded_or_read_is_one_that_nothing_is_known_of() -> None:
    broken = encode_outcome(Refused(RefusalKind.CONFLICT, "taken", "by \ud800"))
    assert isinstance(decode_outcome(broken), OutcomeUnknown)
    assert isinstance(decode_outcome(msgspec.msgpack.encode(["reply", 5])), OutcomeUnknown)
    assert isinstance(decode_outcome(b""), OutcomeUnknown)
