"""From bytes to a checked body: reading, decoding, and saying what is wrong with it and where.

Each fault gets a JSON pointer and a code; the first fault that has a name of its own names the whole problem.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import msgspec
from pydantic import BaseModel, RootModel, ValidationError

from api.exchange import Incoming
from api.problems import Problem
from domain.errors import FieldError
from domain.money import AMOUNT_MAX_MINOR

M = TypeVar("M", bound=BaseModel)

_decode = msgspec.json.Decoder().decode
# Where a number might stand that is not written as an integer; in a text it costs time and nothing else.
_NOT_AN_INTEGER = re.compile(rb"(?:^|[:,\[])\s*-?\d+[.eE]")

# (field, pydantic's error type) -> our code; a field with None as type: whatever is wrong with it.
_NAMED: dict[tuple[str, str | None], str] = {
    ("items", "too_long"): "too_many_lines",
    ("lines", "too_long"): "too_many_lines",
    ("quantity", None): "invalid_quantity",
    ("metadata", "too_long"): "metadata_too_large",
    ("metadata", "string_too_long"): "metadata_too_large",
    ("currency", None): "invalid_currency",
    ("amount", None): "invalid_amount",
}
_PLAIN: dict[str, str] = {
    "missing": "required",
    "extra_forbidden": "unknown_field",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "string_pattern_mismatch": "invalid_format",
    "enum": "not_one_of",
    "literal_error": "not_one_of",
    "union_tag_invalid": "not_one_of",
    "union_tag_not_found": "required",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
}
# What is wrong with the field that says which alternative is meant.
_CHOOSING = frozenset({"union_tag_invalid", "union_tag_not_found"})
_HEADLINES = frozenset(
    {
        "too_many_lines",
        "invalid_quantity",
        "metadata_too_large",
        "invalid_currency",
        "invalid_amount",
        "time_out_of_range",
    }
)


async def read_json(asked: Incoming, max_bytes: int) -> tuple[bytes, object]:
    """Read the body as JSON in which whole numbers are written as integers, as far as amounts go; and as it was written.

    JSON knows one kind of number: 3.0 and 3e0 are the integer 3. That is found out exactly, not by way of a float, in which
    0.99999999999999999999 is 1. Raises ``Problem`` ``unsupported_media_type`` or ``malformed_json``, and what
    ``Incoming.body`` raises.
    """
    if not _is_json(asked.header(b"content-type") or ""):
        raise Problem("unsupported_media_type", "Send application/json.")
    if asked.header(b"content-encoding") is not None:
        detail = "The body of a request can't be encoded, and no coding is named: not identity either."
        raise Problem("unsupported_media_type", detail, headers=((b"accept-encoding", b"identity"),))
    raw = await asked.body(max_bytes)
    try:
        if _NOT_AN_INTEGER.search(raw):
            exact = _encode(_with_integers(_decode_exactly(raw)))
            return exact, _decode(raw)
        return raw, _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("malformed_json", f"The body can't be read as JSON: {error}.") from error
    except RecursionError as error:
        raise Problem("malformed_json", "The body is nested too deeply.") from error


def _exact(text: str) -> Decimal:
    """Read a number that is not written as an integer. Raises ``ValueError`` for an exponent that nothing can hold."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("Number out of range") from None


_decode_exactly = msgspec.json.Decoder(float_hook=_exact).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


def _with_integers(value: object) -> object:
    match value:
        case Decimal() if -AMOUNT_MAX_MINOR <= value <= AMOUNT_MAX_MINOR and value == value.to_integral_value():
            return int(value)
        case dict():
            return {name: _with_integers(each) for name, each in value.items()}
        case list():
            return [_with_integers(each) for each in value]
    return value


def _is_json(content_type: str) -> bool:
    if content_type == "application/json":
        return True
    media_type = content_type.split(";", 1)[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def checked(model: type[M], raw: bytes) -> M:
    """Read a body as ``model``; raises ``Problem`` (422) with every fault in ``errors``."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise problem_of(error, is_choice=issubclass(model, RootModel)) from None


def problem_of(error: ValidationError, fallback: str = "invalid_request", *, is_choice: bool = False) -> Problem:
    """Say what pydantic found, in our words. ``is_choice``: places begin with the name of the alternative chosen."""
    faults: list[FieldError] = []
    for found in error.errors(include_url=False, include_input=False):
        loc = found["loc"][1:] if is_choice else found["loc"]
        if found["type"] in _CHOOSING:
            loc = (*loc, found["ctx"]["discriminator"].strip("'"))
        message = found["msg"]
        faults.append(FieldError(_pointer(loc), _code(loc, found["type"]), message[0].upper() + message[1:]))
    headline = next((f.code for f in faults if f.code in _HEADLINES), fallback)
    first = faults[0]
    detail = f"{first.pointer or 'The body'}: {first.message}."
    return Problem(headline, detail, errors=tuple(faults))


def _code(loc: tuple[int | str, ...], kind: str) -> str:
    if kind in _PLAIN and kind in ("missing", "extra_forbidden"):
        return _PLAIN[kind]
    for part in reversed(loc):
        if isinstance(part, str):
            named = _NAMED.get((part, kind)) or _NAMED.get((part, None))
            if named:
                return named
    if kind in _PLAIN:
        return _PLAIN[kind]
    return "invalid_type" if kind.endswith(("_type", "_parsing")) else kind


def _pointer(loc: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in loc if part != "[key]")
