"""How messages, replies and calls travel between processes: bytes, encoded once, a batch at a time.

Nothing here knows Ray or a socket. A body or an outcome is one of several plain dataclasses, so each carries the name of its type.
What travels together is encoded and decoded apart: a text that no encoding takes must cost its own sender an answer, and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import msgspec

from actors.replies import Reply
from domain.calls import Call, Outcome, Request
from domain.commands import Actor, ActorType, Body, CallAnswered, Message
from domain.errors import FieldError, OutcomeUnknown, RefusalKind, Refused, Unavailable

_encoder = msgspec.msgpack.Encoder()
_encode = _encoder.encode


def _decoders(union: Any) -> dict[str, msgspec.msgpack.Decoder[Any]]:
    return {kind.__name__: msgspec.msgpack.Decoder(kind) for kind in get_args(union) if kind is not CallAnswered}


_bodies = _decoders(Body)
_outcomes = _decoders(Outcome)
_requests = _decoders(Request)


class _Letter(msgspec.Struct, array_like=True):
    order_id: str
    id: str
    kind: str
    body: msgspec.Raw
    actor_type: str
    actor_id: str
    keyed: bool
    fingerprint: str
    expected_version: int | None
    customer_scope: str | None
    traceparent: str | None
    former_ids: tuple[str, ...] = ()
    former_fingerprint: str = ""


class _Answered(msgspec.Struct, array_like=True):
    key: str
    attempt: int
    kind: str
    outcome: msgspec.Raw
    may_have_happened: bool = False


class _Call(msgspec.Struct, array_like=True):
    order_id: str
    key: str
    attempt: int
    kind: str
    request: msgspec.Raw
    may_have_happened: bool = False


class _Told(msgspec.Struct, array_like=True):
    """``position`` within the batch. Kind: reply, refused, unavailable, unknown or moved."""

    position: int
    kind: str
    payload: msgspec.Raw


class _Refusal(msgspec.Struct, array_like=True):
    kind: str
    code: str
    detail: str
    errors: list[tuple[str, str, str]]
    allowed: list[str] | None
    current_version: int | None


class _Unavailability(msgspec.Struct, array_like=True):
    code: str
    detail: str
    retry_after_s: float
    overloaded: bool


_apart = msgspec.msgpack.Decoder(list[msgspec.Raw])
_letter = msgspec.msgpack.Decoder(_Letter)
_answered = msgspec.msgpack.Decoder(_Answered)
_call = msgspec.msgpack.Decoder(_Call)
_told = msgspec.msgpack.Decoder(_Told)
_reply = msgspec.msgpack.Decoder(Reply)
_refusal = msgspec.msgpack.Decoder(_Refusal)
_unavailability = msgspec.msgpack.Decoder(_Unavailability)
_text = msgspec.msgpack.Decoder(str)


@dataclass(frozen=True, slots=True)
class Moved:
    """The order has another owner now; ``group`` names the set of orders it belongs to, or is empty where that is not known."""

    group: str


Told = Reply | Refused | Unavailable | OutcomeUnknown | Moved
Encoded = msgspec.Raw
T = TypeVar("T")


class Unencodable(ValueError):
    """This message, or call, can't be put into bytes: it holds a text or a number that the encoding does not take."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in the place of what could not be decoded; ``why`` names no content."""

    why: str


def _encode_one(value: Callable[[], object]) -> Encoded:
    try:
        return msgspec.Raw(_encode(value()))
    except (ValueError, TypeError, OverflowError) as error:
        raise Unencodable(f"it can't be encoded: {type(error).__name__}") from error


def _decode_apart(data: bytes, decode: Callable[[msgspec.Raw], T]) -> list[T | Unreadable]:
    decoded: list[T | Unreadable] = []
    for raw in _apart.decode(data):
        try:
            decoded.append(decode(raw))
        except (ValueError, TypeError, KeyError, msgspec.MsgspecError) as error:
            decoded.append(Unreadable(type(error).__name__))
    return decoded


def join(encoded: Iterable[Encoded]) -> bytes:
    """Put what was encoded one by one into one batch."""
    return _encode(list(encoded))


def _encode_body(body: Body) -> tuple[str, msgspec.Raw]:
    if isinstance(body, CallAnswered):
        outcome = body.outcome
        encoded = msgspec.Raw(_encode(outcome))
        answered = _Answered(body.key, body.attempt, type(outcome).__name__, encoded, body.may_have_happened)
        return "CallAnswered", msgspec.Raw(_encode(answered))
    return type(body).__name__, msgspec.Raw(_encode(body))


def _decode_body(kind: str, raw: msgspec.Raw) -> Body:
    if kind == "CallAnswered":
        answered = _answered.decode(raw)
        outcome: Outcome = _outcomes[answered.kind].decode(answered.outcome)
        return CallAnswered(answered.key, answered.attempt, outcome, answered.may_have_happened)
    body: Body = _bodies[kind].decode(raw)
    return body


def encode_letter(order_id: str, m: Message) -> Encoded:
    """Encode a message to an order; raises ``Unencodable``. ``Message.known`` does not travel: the shard attaches it."""
    return _encode_one(
        lambda: _Letter(
            order_id,
            m.id,
            *_encode_body(m.body),
            m.actor.type.value,
            m.actor.id,
            m.keyed,
            m.fingerprint,
            m.expected_version,
            m.customer_scope,
            m.traceparent,
            m.former_ids,
            m.former_fingerprint,
        )
    )


def encode_letters(letters: Sequence[tuple[str, Message]]) -> bytes:
    """Encode (order id, message) pairs as one batch; raises ``Unencodable`` for the first that can't be."""
    return join(encode_letter(order_id, message) for order_id, message in letters)


def _decode_letter(raw: msgspec.Raw) -> tuple[str, Message]:
    x = _letter.decode(raw)
    message = Message(
        id=x.id,
        body=_decode_body(x.kind, x.body),
        actor=Actor(ActorType(x.actor_type), x.actor_id),
        keyed=x.keyed,
        fingerprint=x.fingerprint,
        expected_version=x.expected_version,
        customer_scope=x.customer_scope,
        traceparent=x.traceparent,
        former_ids=x.former_ids,
        former_fingerprint=x.former_fingerprint,
    )
    return x.order_id, message


def decode_letters(data: bytes) -> list[tuple[str, Message] | Unreadable]:
    """Decode a batch of letters."""
    return _decode_apart(data, _decode_letter)


def _encode_told(position: int, told: Told) -> _Told:
    match told:
        case Reply():
            return _Told(position, "reply", msgspec.Raw(_encode(told)))
        case Moved():
            return _Told(position, "moved", msgspec.Raw(_encode(told.group)))
        case Refused():
            refusal = _Refusal(
                told.kind.value,
                told.code,
                told.detail,
                [(e.pointer, e.code, e.message) for e in told.errors],
                None if told.allowed is None else list(told.allowed),
                told.current_version,
            )
            return _Told(position, "refused", msgspec.Raw(_encode(refusal)))
        case Unavailable():
            not_now = _Unavailability(told.code, told.detail, told.retry_after_s, told.overloaded)
            return _Told(position, "unavailable", msgspec.Raw(_encode(not_now)))
        case OutcomeUnknown():
            return _Told(position, "unknown", msgspec.Raw(_encode(told.detail)))


def _decode_told(told: _Told) -> Told:
    match told.kind:
        case "reply":
            return _reply.decode(told.payload)
        case "moved":
            return Moved(_text.decode(told.payload))
        case "refused":
            no = _refusal.decode(told.payload)
            return Refused(
                RefusalKind(no.kind),
                no.code,
                no.detail,
                errors=tuple(FieldError(*e) for e in no.errors),
                allowed=None if no.allowed is None else tuple(no.allowed),
                current_version=no.current_version,
            )
        case "unavailable":
            not_now = _unavailability.decode(told.payload)
            return Unavailable(
                not_now.code, not_now.detail, retry_after_s=not_now.retry_after_s, overloaded=not_now.overloaded
            )
        case _:
            return OutcomeUnknown(_text.decode(told.payload))


def encode_told(told: Iterable[tuple[int, Told]]) -> bytes:
    """Encode what senders of a batch are told, each with its letter's position in the batch.

    Whose answer can't be encoded is told that the outcome is not known.
    """
    return join(_encode_told_apart(position, each) for position, each in told)


def _encode_told_apart(position: int, told: Told) -> Encoded:
    try:
        return _encode_one(lambda: _encode_told(position, told))
    except Unencodable:
        return _encode_one(lambda: _encode_told(position, OutcomeUnknown("its answer can't be encoded")))


def decode_told(data: bytes) -> list[tuple[int, Told]]:
    """Decode what ``encode_told`` made."""
    told: list[tuple[int, Told]] = []
    for raw in _apart.decode(data):
        each = _told.decode(raw)
        try:
            told.append((each.position, _decode_told(each)))
        except (ValueError, msgspec.MsgspecError) as error:
            told.append((each.position, OutcomeUnknown(f"the answer can't be read: {type(error).__name__}")))
    return told


def encode_call(call: Call) -> Encoded:
    """Encode a call for a bulkhead; raises ``Unencodable``."""
    return _encode_one(
        lambda: _Call(
            call.order_id,
            call.key,
            call.attempt,
            type(call.request).__name__,
            msgspec.Raw(_encode(call.request)),
            call.may_have_happened,
        )
    )


def _decode_call(raw: msgspec.Raw) -> Call:
    call = _call.decode(raw)
    return Call(
        order_id=call.order_id,
        key=call.key,
        attempt=call.attempt,
        request=_requests[call.kind].decode(call.request),
        may_have_happened=call.may_have_happened,
    )


def decode_calls(data: bytes) -> list[Call | Unreadable]:
    """Decode a batch of calls."""
    return _decode_apart(data, _decode_call)
