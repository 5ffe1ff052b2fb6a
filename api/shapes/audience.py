"""Who sees what of an order: internal error texts, what staff wrote and who they are is for staff alone.

Every order that is shown, be it read, listed, answered or replayed, goes through here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.order.replies import Reply
from api.access.security import Caller
from domain.order import Order
from domain.representation import represent, without_internals

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def shown_to(caller: Caller, order: Order) -> dict[str, Any]:
    """Give the order's document as the caller may see it."""
    document = represent(order)
    return document if caller.sees_internals else without_internals(document)


def reply_to(caller: Caller, reply: Reply) -> Reply:
    """Give a command's reply as the caller may see it, also one that was rendered and kept long ago."""
    if caller.sees_internals or reply.resource != "order":
        return reply
    return msgspec.structs.replace(reply, document=_encode(without_internals(_decode(reply.document))))
