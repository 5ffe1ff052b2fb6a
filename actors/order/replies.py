"""The reply to a caller of the router. It is made once, when the decision is committed, and kept for the command's repeats."""

from __future__ import annotations

import msgspec

from domain.order import Order
from domain.representation import represent, represent_payment
from sagas.decision import CommandResult

_documents = msgspec.json.Encoder(decimal_format="string")


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """``document``: the order or the payment (``resource``) as JSON. ``resource_id``: the payment's or item's id where the
    command concerns one. ``settled``: nothing is left running on behalf of the command. ``replayed``: this is the
    remembered answer of an earlier delivery of the same message.
    """

    document: bytes
    version: int
    resource: str = "order"
    resource_id: str | None = None
    settled: bool = True
    replayed: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Reply)


def make_reply(order: Order, answer: CommandResult) -> Reply:
    """Render what the command answers with: the payment it concerns, or the order."""
    if answer.resource == "payment":
        payment = next(p for p in order.payments if p.payment_id == answer.resource_id)
        document: object = represent_payment(payment)
    else:
        document = represent(order)
    return Reply(
        document=_documents.encode(document),
        version=order.version,
        resource=answer.resource,
        resource_id=answer.resource_id,
        settled=answer.settled,
    )


def encode_reply(reply: Reply) -> bytes:
    """Encode for the inbox and for the way back to the router."""
    return _encoder.encode(reply)


def decode_reply(data: bytes, *, replayed: bool = False) -> Reply:
    """Decode what ``encode_reply`` made; ``replayed`` marks it as a remembered answer."""
    reply = _decoder.decode(data)
    return msgspec.structs.replace(reply, replayed=True) if replayed else reply
