"""Ids in paths: a text that is no UUID names no order, so it is not found rather than malformed."""

from __future__ import annotations

import re

from api.exchange import Incoming
from domain.errors import RefusalKind, Refused

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def order_not_found() -> Refused:
    """What is said of an order that does not exist, or does not for this caller."""
    return Refused(RefusalKind.NOT_FOUND, "order_not_found", "There is no such order.")


def as_uuid(text: str) -> str | None:
    """Give a UUID in its canonical form, or None when the text is none."""
    lower = text.lower()
    return lower if _UUID.fullmatch(lower) else None


def order_id_of(asked: Incoming) -> str:
    """Give the path's order id; raises ``Refused`` ``order_not_found`` when it can't be one."""
    order_id = as_uuid(asked.param("order_id"))
    if order_id is None:
        raise order_not_found()
    return order_id
