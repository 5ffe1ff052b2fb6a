"""Ids in paths: a text that is no UUID names no order, so it is not found rather than malformed."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, JsonValue

from api.shapes.fields import CODE_PATTERN, NO_CONTROL
from domain.errors import RefusalKind, Refused
from domain.limits import IDENTIFIER_MAX_CHARACTERS

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def order_not_found() -> Refused:
    """What is said of an order that does not exist, or does not for this caller."""
    return Refused(RefusalKind.NOT_FOUND, "order_not_found", "There is no such order.")


def as_uuid(text: str) -> str | None:
    """Give a UUID in its canonical form, or None when the text is none."""
    lower = text.lower()
    return lower if _UUID.fullmatch(lower) else None


def _order_id(text: str) -> str:
    """Raises ``Refused`` ``order_not_found`` for what can be no order's id."""
    order_id = as_uuid(text)
    if order_id is None:
        raise order_not_found()
    return order_id


_UUID_FORMAT: dict[str, JsonValue] = {"format": "uuid"}
OrderId = Annotated[
    str, AfterValidator(_order_id), Path(description="The order's `id`.", json_schema_extra=_UUID_FORMAT)
]
# The id of a part of an order: a UUID of ours, compared without case.
ItemId = Annotated[str, AfterValidator(str.lower), Path(description="The line's `id`.", json_schema_extra=_UUID_FORMAT)]
PaymentId = Annotated[
    str, AfterValidator(str.lower), Path(description="The payment's `payment_id`.", json_schema_extra=_UUID_FORMAT)
]
# What fits none of these is not found, and not malformed: their patterns are for the document alone.
PromotionCode = Annotated[
    str, Path(description="The code of a promotion, in any case.", json_schema_extra={"pattern": CODE_PATTERN})
]
CustomerId = Annotated[
    str,
    Path(
        description="The customer's id at UserSvc.",
        json_schema_extra={"minLength": 1, "maxLength": IDENTIFIER_MAX_CHARACTERS, "pattern": NO_CONTROL},
    ),
]
DeadLetterId = Annotated[
    str, Path(description="The dead letter's `id`.", json_schema_extra={"pattern": "^[0-9a-f]{1,64}$"})
]
