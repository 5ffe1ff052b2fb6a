"""What a route says of itself in the OpenAPI document beyond what FastAPI reads from its signature.

Headers and bodies are read by the contexts and not by FastAPI, and answers are bytes: so both are described here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from api.access.idempotency import KEY_MAX_CHARACTERS
from api.problems import CODES, MEDIA_TYPE

Json = dict[str, Any]

REF = "#/components/schemas/{model}"
PROBLEM_SCHEMA = {"$ref": REF.format(model="ProblemDocument")}

_TEXT: Json = {"type": "string"}
_TAG: Json = {"type": "string", "pattern": r'^(\*|"[1-9][0-9]{0,17}")$', "examples": ['"7"']}
_TAGS: Json = {"type": "string", "examples": ['"7"']}
# Bare, or a structured-field string (RFC 8941) without escapes.
_KEY_INSIDE = KEY_MAX_CHARACTERS - 2
_KEY: Json = {
    "type": "string",
    "pattern": rf'^([!#-~]([ -~]{{0,{_KEY_INSIDE}}}[!-~])?|"[!#-\[\]-~]{{1,{_KEY_INSIDE}}}")$',
}
HEADERS: dict[str, Json] = {
    "ETag": {"description": "The order's version, or a digest of the answer", "schema": _TEXT, "example": '"7"'},
    "Location": {"description": "Where it is", "schema": {"type": "string", "format": "uri-reference"}},
    "Preference-Applied": {"description": "The `Prefer: wait` that was heeded", "schema": _TEXT, "example": "wait=5"},
    "Idempotent-Replayed": {
        "description": "`true`: the answer of an earlier request with this key",
        "schema": {"type": "string", "const": "true"},
    },
    "RateLimit-Limit": {"description": "Requests a minute", "schema": {"type": "integer"}},
    "RateLimit-Remaining": {"description": "Requests left in this minute", "schema": {"type": "integer"}},
    "RateLimit-Reset": {"description": "Seconds until the next minute", "schema": {"type": "integer"}},
    "Retry-After": {"description": "Seconds", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "RFC 6750", "schema": _TEXT},
    "Allow": {"description": "The methods that are allowed", "schema": _TEXT},
}
_RATE_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_PROBLEM_HEADERS: dict[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
_OF_EVERY_ROUTE = ("internal_error", "overloaded", "repeated_header")
_OF_A_TOKEN = (
    "unauthorized",
    "invalid_token",
    "insufficient_scope",
    "keys_unavailable",
    "rate_limited",
    "unavailable",
    "database_unavailable",
)
_OF_A_BODY = ("malformed_json", "request_timeout", "body_too_large", "unsupported_media_type", "invalid_request")


@dataclass(frozen=True, slots=True)
class Success:
    """An answer that is no problem: ``model`` is its body's; ``headers`` are names of ``HEADERS``.

    ``texts``: the media types of a body that is text.
    """

    description: str
    model: type[BaseModel] | None = None
    headers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


UNCHANGED = Success("It is what the client has", headers=("ETag",))


def described(
    success: Mapping[int, Success],
    *errors: str,
    body: type[BaseModel] | None = None,
    query: bool = False,
    key: Literal["required", "optional"] | None = None,
    if_match: bool = False,
    if_none_match: bool = False,
    wait: bool = False,
    is_open: bool = False,
    statuses: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Give ``responses`` and ``openapi_extra`` of a route.

    ``errors``: codes beyond those that follow from the rest; ``statuses``: codes that have another status here than elsewhere.
    ``is_open``: it wants no token. The others say what of a request is heeded.
    """
    codes = {*errors, *_OF_EVERY_ROUTE, *_following(body, query, key, if_match=if_match, is_open=is_open)}
    if "order_not_found" in codes or "customer_required" in codes:
        codes.add("order_set_aside")
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes):
        by_status.setdefault((statuses or {}).get(code, CODES[code][0]), []).append(code)
    more = (*(() if is_open else _RATE_HEADERS), *(("Idempotent-Replayed",) if key else ()))
    responses: dict[int, Json] = {status: _success(each, more) for status, each in success.items()}
    responses |= {status: _problem(status, by_status[status]) for status in sorted(by_status) if status not in success}
    extra: Json = {"parameters": _header_parameters(key, if_match=if_match, if_none_match=if_none_match, wait=wait)}
    if body is not None:
        extra["requestBody"] = _request_body(body)
    return {"responses": responses, "openapi_extra": extra}


def _following(
    body: type[BaseModel] | None, query: bool, key: str | None, *, if_match: bool, is_open: bool
) -> list[str]:
    codes = [] if is_open else [*_OF_A_TOKEN]
    if query:
        codes.append("invalid_parameter")
    if body is not None:
        codes += _OF_A_BODY
    if key is not None:
        codes += ["invalid_idempotency_key", "outcome_unknown", "idempotency_key_reused"]
        if key == "required":
            codes.append("idempotency_key_missing")
    if if_match:
        codes += ["invalid_if_match", "version_conflict"]
        if key is not None:  # a command of an order
            codes.append("order_busy")
    return codes


def _success(success: Success, more_headers: tuple[str, ...]) -> Json:
    document: Json = {"description": success.description, "headers": _headers((*success.headers, *more_headers))}
    if success.model is not None:
        document["model"] = success.model
    if success.texts:
        document["content"] = {media_type: {"schema": _TEXT} for media_type in success.texts}
    return document


def _headers(names: tuple[str, ...]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _header_parameters(key: str | None, *, if_match: bool, if_none_match: bool, wait: bool) -> list[Json]:
    found: list[tuple[str, bool, str, Json]] = []
    if key is not None:
        about = "A new one for each new wish, the same for each repeat (quoted or bare)"
        found.append(("Idempotency-Key", key == "required", about, _KEY))
    if if_match:
        found.append(("If-Match", False, 'Only if the order still has this version, such as `"7"`', _TAG))
    if if_none_match:
        found.append(("If-None-Match", False, "304 while this is its entity tag", _TAGS))
    if wait:
        found.append(("Prefer", False, "`wait=N`: wait up to N seconds", {**_TEXT, "examples": ["wait=5"]}))
    return [
        {"name": name, "in": "header", "required": required, "description": about, "schema": schema}
        for name, required, about, schema in found
    ]


def _request_body(model: type[BaseModel]) -> Json:
    schema = model.model_json_schema(ref_template=REF)
    media: Json = {"schema": schema}
    if "examples" in schema:
        media["examples"] = {f"example{n}": {"value": value} for n, value in enumerate(schema["examples"], 1)}
    return {"required": True, "content": {"application/json": media}}


def _problem(status: int, codes: list[str]) -> Json:
    return {
        "description": "; ".join(f"`{code}`: {CODES[code][1]}" for code in codes),
        "headers": _headers(_PROBLEM_HEADERS.get(status, ())),
        "content": {
            MEDIA_TYPE: {
                "schema": PROBLEM_SCHEMA,
                "examples": {code: {"value": _example(status, code)} for code in codes},
            }
        },
    }


def _example(status: int, code: str) -> Json:
    title = CODES[code][1]
    example: Json = {
        "type": f"urn:ordersvc:problem:{code}",
        "title": title,
        "status": status,
        "detail": f"{title}.",
        "instance": "/api/orders",
        "code": code,
        "errors": [],
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
    if code == "illegal_transition":
        example["allowed"] = ["add_item", "pay", "cancel"]
    if code == "version_conflict":
        example["current_version"] = 7
    return example
