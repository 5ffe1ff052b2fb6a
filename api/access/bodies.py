"""From bytes to a checked body or query: reading, decoding, and saying what is wrong with it and where.

Each fault gets a JSON pointer and a code; the first fault that has a name of its own names the whole problem.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, RootModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from api.problems import Problem
from domain.errors import FieldError
from domain.limits import AMOUNT_MAX_MINOR

BODY_WAIT_MAX_S = 15.0
QUERY_MAX_PARAMETERS = 100
LIST_PARAMETERS = frozenset({"status"})  # of a query: they may be given more than once
DIGITS_READ_MAX = 1000  # Python reads no more than 4300

M = TypeVar("M", bound=BaseModel)

_decode = msgspec.json.Decoder().decode
# Where a number might stand that is not written as an integer; in a text it costs time and nothing else.
_NOT_AN_INTEGER = re.compile(rb"(?:^|[:,\[])\s*-?\d+[.eE]")

# (field, pydantic's error type) -> our code; a field with None as type: any error of the field.
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


def query_of(request: Request) -> list[tuple[str, str]]:
    """Give the query's pairs in the order they were written; raises ``Problem`` where there are too many."""
    raw: bytes = request.scope["query_string"]
    if not raw:
        return []
    try:
        return parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_MAX_PARAMETERS)
    except ValueError:
        raise Problem("invalid_parameter", "The query has too many parameters.") from None


def refuse_repeated(query: list[tuple[str, str]]) -> None:
    """Raise ``Problem`` ``invalid_parameter`` where a parameter that is one value is given more than once."""
    seen: set[str] = set()
    for name, _ in query:
        if name in seen and name not in LIST_PARAMETERS:
            fault = FieldError(f"/{name}", "repeated", "Given more than once")
            raise Problem("invalid_parameter", f"{name} is given more than once.", errors=(fault,))
        seen.add(name)


async def read_body(request: Request, announced: bytes, max_bytes: int) -> bytes:
    """Read the whole body; ``announced`` is its ``Content-Length``, or empty.

    Raises ``Problem`` ``body_too_large`` as soon as more than ``max_bytes`` are announced or have come, ``request_timeout`` after
    ``BODY_WAIT_MAX_S``; and ``ClientDisconnect``.
    """
    if announced.isdigit() and int(announced[:DIGITS_READ_MAX]) > max_bytes:
        raise _too_large()
    # What asyncio.timeout does, at a third of its cost: most bodies are there already, and reading one costs less than it.
    waited = asyncio.current_task()
    is_over = False

    def give_up() -> None:
        nonlocal is_over
        if waited is not None:
            is_over = waited.cancel()

    timer = asyncio.get_running_loop().call_later(BODY_WAIT_MAX_S, give_up)
    try:
        return await _read(request, max_bytes)
    except asyncio.CancelledError as error:
        if waited is not None and is_over and waited.uncancel() == 0:
            raise Problem("request_timeout", "The body did not arrive in time.") from error
        raise
    finally:
        timer.cancel()


async def _read(request: Request, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size_bytes = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise _too_large()
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large() -> Problem:
    return Problem("body_too_large", "The body is larger than the limit.")


async def read_json(request: Request, headers: Mapping[bytes, bytes], max_bytes: int) -> tuple[bytes, object]:
    """Read the body as JSON in which whole numbers are written as integers, as far as amounts go; and as it was written.

    JSON knows one kind of number: 3.0 and 3e0 are the integer 3. That is found out exactly, not by way of a float, in which
    0.99999999999999999999 is 1. Raises ``Problem`` ``unsupported_media_type`` or ``malformed_json``, and what ``read_body``
    raises.
    """
    if not _is_json(headers.get(b"content-type", b"").decode("latin-1").strip()):
        raise Problem("unsupported_media_type", "Send application/json.")
    if b"content-encoding" in headers:
        detail = "The body of a request can't be encoded, and no coding is named: not identity either."
        raise Problem("unsupported_media_type", detail, headers=((b"accept-encoding", b"identity"),))
    raw = await read_body(request, headers.get(b"content-length", b""), max_bytes)
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
        # Places in one of several alternatives begin with the name of the alternative.
        start = 1 if issubclass(model, RootModel) else 0
        raise _problem_of(error.errors(include_url=False, include_input=False), start, "invalid_request") from None


def parameter_problem(error: RequestValidationError) -> Problem:
    """Say what FastAPI found wrong with a request's parameters; places begin with where a parameter stands."""
    return _problem_of(error.errors(), 1, "invalid_parameter")


def _problem_of(found: Sequence[Mapping[str, Any]], start: int, fallback: str) -> Problem:
    """Say what pydantic found, in our words. ``start``: how many parts of a place are left away."""
    faults: list[FieldError] = []
    for each in found:
        loc = each["loc"][start:]
        if each["type"] in _CHOOSING:
            loc = (*loc, each["ctx"]["discriminator"].strip("'"))
        message = each["msg"]
        faults.append(FieldError(_pointer(loc), _code(loc, each["type"]), message[0].upper() + message[1:]))
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
