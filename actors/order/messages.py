"""How messages, replies and calls travel between processes: bytes, each encoded once, by itself.

Nothing here knows Ray or a socket. A body or an outcome is one of several plain values, so each carries the name of its type.
A text that no encoding takes costs its own sender an answer, and no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import msgspec

from actors.order.replies import Reply
from domain.calls import Call, Outcome, Request, outside_name
from domain.commands import Actor, ActorType, Body, CallAnswered, Message
from domain.errors import FieldError, OutcomeUnknown, RefusalKind, Refused, Unavailable

_encoder = msgspec.msgpack.Encoder()
_encode = _encoder.encode


def _decoders(union: Any) -> dict[str, msgspec.msgpack.Decoder[Any]]:
    return {outside_name(kind): msgspec.msgpack.Decoder(kind) for kind in get_args(union) if kind is not CallAnswered}


_bodies = _decoders(Body)
_outcomes = _decoders(Outcome)
_requests = _decoders(Request)


class _MessageFrame(msgspec.Struct, array_like=True):
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


class _AnswerFrame(msgspec.Struct, array_like=True):
    key: str
    attempt: int
    kind: str
    outcome: msgspec.Raw
    may_have_happened: bool = False


class _CallFrame(msgspec.Struct, array_like=True):
    order_id: str
    key: str
    attempt: int
    kind: str
    request: msgspec.Raw
    may_have_happened: bool = False


class _OutcomeFrame(msgspec.Struct, array_like=True):
    """Kind: reply, refused, unavailable, unknown or moved. ``position`` is 0: the first release answered a batch together."""

    position: int
    kind: str
    payload: msgspec.Raw


class _RefusalFrame(msgspec.Struct, array_like=True):
    kind: str
    code: str
    detail: str
    errors: list[tuple[str, str, str]]
    allowed: list[str] | None
    current_version: int | None


class _UnavailableFrame(msgspec.Struct, array_like=True):
    code: str
    detail: str
    retry_after_s: float
    overloaded: bool


_message_decoder = msgspec.msgpack.Decoder(_MessageFrame)
_answer_decoder = msgspec.msgpack.Decoder(_AnswerFrame)
_call_decoder = msgspec.msgpack.Decoder(_CallFrame)
_outcome_decoder = msgspec.msgpack.Decoder(_OutcomeFrame)
_reply_decoder = msgspec.msgpack.Decoder(Reply)
_refusal_decoder = msgspec.msgpack.Decoder(_RefusalFrame)
_unavailable_decoder = msgspec.msgpack.Decoder(_UnavailableFrame)
_text_decoder = msgspec.msgpack.Decoder(str)


@dataclass(frozen=True, slots=True)
class NotOwner:
    """The order has another owner now; ``partition`` names the set of orders it belongs to, or is empty where that is not known."""

    partition: str


DeliveryOutcome = Reply | Refused | Unavailable | OutcomeUnknown | NotOwner
ENCODE_FAILS = (ValueError, TypeError, OverflowError)
DECODE_FAILS = (ValueError, TypeError, KeyError, msgspec.MsgspecError)


class Unencodable(ValueError):
    """This message, or call, can't be put into bytes: it holds a text or a number that the encoding does not take."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"it can't be encoded: {type(error).__name__}")


class Undecodable(ValueError):
    """These bytes are no message or call that this release knows; the text names no content."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"it can't be read: {type(error).__name__}")


def _encode_body(body: Body) -> tuple[str, msgspec.Raw]:
    if isinstance(body, CallAnswered):
        outcome = body.outcome
        encoded = msgspec.Raw(_encode(outcome))
        answered = _AnswerFrame(body.key, body.attempt, outside_name(type(outcome)), encoded, body.may_have_happened)
        return "CallAnswered", msgspec.Raw(_encode(answered))
    return type(body).__name__, msgspec.Raw(_encode(body))


def _decode_body(kind: str, raw: msgspec.Raw) -> Body:
    if kind == "CallAnswered":
        answered = _answer_decoder.decode(raw)
        outcome: Outcome = _outcomes[answered.kind].decode(answered.outcome)
        return CallAnswered(answered.key, answered.attempt, outcome, answered.may_have_happened)
    body: Body = _bodies[kind].decode(raw)
    return body


def encode_message(order_id: str, m: Message) -> bytes:
    """Encode a message to an order; raises ``Unencodable``. ``Message.known`` does not travel: the shard attaches it."""
    try:
        return _encode(
            _MessageFrame(
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
    except ENCODE_FAILS as error:
        raise Unencodable(error) from error


def decode_message(data: bytes) -> tuple[str, Message]:
    """Give the order's id and the message; raises ``Undecodable``."""
    try:
        x = _message_decoder.decode(data)
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
    except DECODE_FAILS as error:
        raise Undecodable(error) from error
    return x.order_id, message


def _frame_of(outcome: DeliveryOutcome) -> _OutcomeFrame:
    match outcome:
        case Reply():
            return _OutcomeFrame(0, "reply", msgspec.Raw(_encode(outcome)))
        case NotOwner():
            return _OutcomeFrame(0, "moved", msgspec.Raw(_encode(outcome.partition)))
        case Refused():
            refusal = _RefusalFrame(
                outcome.kind.value,
                outcome.code,
                outcome.detail,
                [(e.pointer, e.code, e.message) for e in outcome.errors],
                None if outcome.allowed is None else list(outcome.allowed),
                outcome.current_version,
            )
            return _OutcomeFrame(0, "refused", msgspec.Raw(_encode(refusal)))
        case Unavailable():
            not_now = _UnavailableFrame(outcome.code, outcome.detail, outcome.retry_after_s, outcome.overloaded)
            return _OutcomeFrame(0, "unavailable", msgspec.Raw(_encode(not_now)))
        case OutcomeUnknown():
            return _OutcomeFrame(0, "unknown", msgspec.Raw(_encode(outcome.detail)))


def _outcome_of(outcome: _OutcomeFrame) -> DeliveryOutcome:
    match outcome.kind:
        case "reply":
            return _reply_decoder.decode(outcome.payload)
        case "moved":
            return NotOwner(_text_decoder.decode(outcome.payload))
        case "refused":
            no = _refusal_decoder.decode(outcome.payload)
            return Refused(
                RefusalKind(no.kind),
                no.code,
                no.detail,
                errors=tuple(FieldError(*e) for e in no.errors),
                allowed=None if no.allowed is None else tuple(no.allowed),
                current_version=no.current_version,
            )
        case "unavailable":
            not_now = _unavailable_decoder.decode(outcome.payload)
            return Unavailable(
                not_now.code, not_now.detail, retry_after_s=not_now.retry_after_s, overloaded=not_now.overloaded
            )
        case _:
            return OutcomeUnknown(_text_decoder.decode(outcome.payload))


def encode_outcome(outcome: DeliveryOutcome) -> bytes:
    """Encode a sender's outcome: ``OutcomeUnknown`` where the reply can't be encoded."""
    try:
        return _encode(_frame_of(outcome))
    except ENCODE_FAILS:
        return _encode(_frame_of(OutcomeUnknown("its answer can't be encoded")))


def decode_outcome(data: bytes) -> DeliveryOutcome:
    """Decode what ``encode_outcome`` made."""
    try:
        return _outcome_of(_outcome_decoder.decode(data))
    except DECODE_FAILS as error:
        return OutcomeUnknown(f"the answer can't be read: {type(error).__name__}")


def encode_call(call: Call) -> bytes:
    """Encode a call for a bulkhead; raises ``Unencodable``."""
    try:
        return _encode(
            _CallFrame(
                call.order_id,
                call.key,
                call.attempt,
                outside_name(type(call.request)),
                msgspec.Raw(_encode(call.request)),
                call.may_have_happened,
            )
        )
    except ENCODE_FAILS as error:
        raise Unencodable(error) from error


def decode_call(data: bytes) -> Call:
    """Decode what ``encode_call`` made; raises ``Undecodable``."""
    try:
        call = _call_decoder.decode(data)
        return Call(
            order_id=call.order_id,
            key=call.key,
            attempt=call.attempt,
            request=_requests[call.kind].decode(call.request),
            may_have_happened=call.may_have_happened,
        )
    except DECODE_FAILS as error:
        raise Undecodable(error) from error
