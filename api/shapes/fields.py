"""What bodies and queries are made of: texts, numbers and times with their limits, and what all bodies have in common.

Nothing here knows what a field is for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from babel.numbers import list_currencies
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from domain.limits import (
    AMOUNT_MAX_MINOR,
    CODE_MAX_CHARACTERS,
    FRACTION_MAX_DIGITS,
    IDENTIFIER_MAX_CHARACTERS,
    METADATA_KEY_MAX_CHARACTERS,
    METADATA_KEYS_MAX,
    METADATA_MAX_BYTES,
    METADATA_TEXT_MAX_CHARACTERS,
    NOTE_MAX_CHARACTERS,
    QUANTITY_MAX,
    TEXT_MAX_CHARACTERS,
    USES_MAX,
)
from domain.money import fraction
from domain.numbers import number
from domain.times import TimeOutOfRange, read_query_time, read_time

CURRENCIES = frozenset(list_currencies())


def _currency(code: str) -> str:
    if code not in CURRENCIES:
        raise PydanticCustomError("invalid_currency", "not an ISO 4217 currency")
    return code


def _metadata(metadata: dict[str, str]) -> dict[str, str]:
    if sum(len(key.encode()) + len(text.encode()) for key, text in metadata.items()) > METADATA_MAX_BYTES:
        raise PydanticCustomError("metadata_too_large", f"more than {METADATA_MAX_BYTES // 1024} KiB in all")
    return metadata


def _moment(told: object) -> datetime:
    """Only RFC 3339: pydantic would also take a number for a time, and fail at the edges of what Python knows."""
    return _read(read_time, told)


def _query_time(told: object) -> datetime:
    """A plus in a query that was not escaped has become a blank."""
    return _read(read_query_time, told.replace(" ", "+") if isinstance(told, str) else told)


def _read(read: Callable[[str], datetime], told: object) -> datetime:
    try:
        if isinstance(told, str):
            return read(told)
    except TimeOutOfRange as error:
        raise PydanticCustomError("time_out_of_range", "{why}", {"why": str(error)}) from None
    except ValueError:
        pass
    raise PydanticCustomError("invalid_format", "not an RFC 3339 time")


def _query_number(told: object) -> object:
    """JSON's numbers, equal by value as in bodies; pydantic would take 1_0 for 10, and 3.0 but not 3e0 for 3."""
    if isinstance(told, str) and not _NUMBER.fullmatch(told):
        raise PydanticCustomError("invalid_type", "not a number")
    read = number(told) if isinstance(told, str) else told
    if isinstance(read, float):  # 1e-400 would be 0
        raise PydanticCustomError("invalid_type", "not a whole number, or far too large")
    return read


def _fraction(text: str) -> str:
    try:
        fraction(text)
    except ValueError:
        raise PydanticCustomError("invalid_fraction", "not a decimal fraction between 0 and 1") from None
    return text


# PostgreSQL's texts have no NUL; ids have no control characters at all.
_NO_NUL = r"^[^\x00]*$"
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character; JSON can write it
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
NO_CONTROL = r"^[^\x00-\x1f\x7f-\x9f]+$"

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=IDENTIFIER_MAX_CHARACTERS, pattern=NO_CONTROL)]
# A UUID is compared without case, and written in lower case.
Uuid = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"),
    AfterValidator(str.lower),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]
# The id of a part of an order: a UUID of ours, compared without case.
PartId = Annotated[Identifier, AfterValidator(str.lower), WithJsonSchema({"type": "string", "format": "uuid"})]
Text = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_MAX_CHARACTERS, pattern=NO_CONTROL)]
Note = Annotated[str, StringConstraints(min_length=1, max_length=NOTE_MAX_CHARACTERS, pattern=_NO_NUL)]
CODE_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{CODE_MAX_CHARACTERS - 1}}}$"
Code = Annotated[str, StringConstraints(pattern=CODE_PATTERN)]
Currency = Annotated[
    str,
    AfterValidator(_currency),
    Field(json_schema_extra={"enum": [*sorted(CURRENCIES)]}),
]
Quantity = Annotated[int, Field(ge=1, le=QUANTITY_MAX, examples=[2])]
Amount = Annotated[int, Field(ge=1, le=AMOUNT_MAX_MINOR, description="int64 minor units")]
AmountOrZero = Annotated[int, Field(ge=0, le=AMOUNT_MAX_MINOR, description="int64 minor units; 0: no money moved")]
Uses = Annotated[int, Field(ge=1, le=USES_MAX)]
Fraction = Annotated[
    str,
    StringConstraints(pattern=rf"^(0(\.[0-9]{{1,{FRACTION_MAX_DIGITS}}})?|1(\.0{{1,{FRACTION_MAX_DIGITS}}})?)$"),
    AfterValidator(_fraction),
    Field(examples=["0.1000"]),
]
# Times are instants in UTC; one out of range is ``time_out_of_range``, wherever it stands.
Moment = Annotated[datetime, BeforeValidator(_moment)]
QueryTime = Annotated[datetime, BeforeValidator(_query_time)]
# It stands behind the bounds of an int, which would not be in the document otherwise.
AS_QUERY_NUMBER = BeforeValidator(_query_number)
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=METADATA_KEY_MAX_CHARACTERS, pattern=_NO_NUL)],
        Annotated[str, StringConstraints(max_length=METADATA_TEXT_MAX_CHARACTERS, pattern=_NO_NUL)],
    ],
    Field(max_length=METADATA_KEYS_MAX),
    AfterValidator(_metadata),
    # What pydantic says of a dict's keys leaves those free that don't match.
    WithJsonSchema(
        {
            "type": "object",
            "description": f"{METADATA_MAX_BYTES // 1024} KiB in all",
            "maxProperties": METADATA_KEYS_MAX,
            "propertyNames": {"minLength": 1, "maxLength": METADATA_KEY_MAX_CHARACTERS, "pattern": _NO_NUL},
            "additionalProperties": {"type": "string", "maxLength": METADATA_TEXT_MAX_CHARACTERS, "pattern": _NO_NUL},
        }
    ),
]


def is_identifier(text: str, max_characters: int = IDENTIFIER_MAX_CHARACTERS) -> bool:
    """Tell whether a text from a path or a token could be an id: what a body may have as one, and UTF-8 can write."""
    return (
        0 < len(text) <= max_characters and re.fullmatch(NO_CONTROL, text) is not None and not _SURROGATE.search(text)
    )


class Body(BaseModel):
    """What all bodies have in common: nothing is converted, nothing unknown is let in."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
