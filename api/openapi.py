"""The OpenAPI 3.1 document, made from the table of operations: every answer, every problem, every header.

It is made once, when it is first asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.auth import SCOPES
from api.documents import ProblemDocument
from api.fields import CODE_PATTERN, IDENTIFIER_MAX_CHARACTERS, NO_CONTROL
from api.idempotency import KEY_MAX_CHARACTERS
from api.links import links_of, path_parameters
from api.operations import Operation, Success
from api.problems import CODES

Json = dict[str, Any]

TITLE = "OrderSvc"
VERSION = "1"
DESCRIPTION = """An order's whole life, from creation to delivery, with payment and inventory integrated.

Amounts are int64 minor units of the order's currency. Times are RFC 3339 UTC. Every error is `application/problem+json`
(RFC 9457) with a `code`. Repeat what was not answered with the same `Idempotency-Key`: it happens once.
"""
_REF = "#/components/schemas/{model}"
_REFERRED = re.compile(_REF.format(model=r"(\w+)"))
_UUID: Json = {"type": "string", "format": "uuid"}
_TEXT: Json = {"type": "string"}

_TAG: Json = {"type": "string", "pattern": r'^(\*|"[1-9][0-9]{0,17}")$', "examples": ['"7"']}
_TAGS: Json = {"type": "string", "examples": ['"7"']}
# Bare, or a structured-field string (RFC 8941) without escapes.
_KEY_INSIDE = KEY_MAX_CHARACTERS - 2
_KEY: Json = {
    "type": "string",
    "pattern": rf'^([!#-~]([ -~]{{0,{_KEY_INSIDE}}}[!-~])?|"[!#-\[\]-~]{{1,{_KEY_INSIDE}}}")$',
}

_PATH_SCHEMAS: dict[str, Json] = {
    "order_id": _UUID,
    "item_id": _UUID,
    "payment_id": _UUID,
    "customer_id": {"type": "string", "minLength": 1, "maxLength": IDENTIFIER_MAX_CHARACTERS, "pattern": NO_CONTROL},
    "code": {"type": "string", "pattern": CODE_PATTERN},
    "letter_id": {"type": "string", "pattern": "^[0-9a-f]{1,64}$"},
}
_HEADERS: dict[str, Json] = {
    "ETag": {"description": "The order's version", "schema": _TEXT, "example": '"7"'},
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


def openapi_document(operations: Iterable[Operation], shipping_prices: Mapping[str, Mapping[str, int]]) -> Json:
    """Make the whole document. ``shipping_prices``: method -> currency -> amount, the ones that orders may have."""
    listed = tuple(operations)
    paths: dict[str, Json] = {}
    for operation in listed:
        described = _operation(operation)
        links = links_of(operation, listed)
        for status in operation.success if links else ():
            described["responses"][str(status)]["links"] = links
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    document: Json = {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _offering(_schemas(listed), shipping_prices),
            "headers": _HEADERS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": f"Claim `scope`: {', '.join(SCOPES)}; `admin` implies all. Claim `customer_id`: "
                    "only that customer's orders exist.",
                }
            },
        },
    }
    _widen(document)
    return document


def _widen(node: Any) -> None:
    """Say of every integer in the document that it has 64 bits: generated code would have 32 for some amounts."""
    if isinstance(node, dict):
        if node.get("type") == "integer":
            node.setdefault("format", "int64")
        for each in node.values():
            _widen(each)
    elif isinstance(node, list):
        for each in node:
            _widen(each)


def _operation(operation: Operation) -> Json:
    document: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation), *_header_parameters(operation)],
        "responses": {
            **{str(status): _success(operation, success) for status, success in operation.success.items()},
            **_problems(operation),
        },
        "security": [{"bearer": [scope]} for scope in operation.scopes],
    }
    if operation.description:
        document["description"] = operation.description
    if operation.body is not None:
        media: Json = {"schema": {"$ref": _REF.format(model=operation.body.__name__)}}
        examples = operation.body.model_json_schema().get("examples")
        if examples:
            media["examples"] = {f"example{n}": {"value": value} for n, value in enumerate(examples, 1)}
        document["requestBody"] = {"required": True, "content": {"application/json": media}}
    return document


def _path_parameters(operation: Operation) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS.get(name, _TEXT)}
        for name in path_parameters(operation)
    ]


def _query_parameters(operation: Operation) -> list[Json]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema(by_alias=True, ref_template=_REF)
    parameters: list[Json] = []
    in_path = path_parameters(operation)
    for name, of_field in schema["properties"].items():
        if name in in_path:
            continue
        kept = {key: value for key, value in of_field.items() if key != "title"}
        options = [option for option in kept.get("anyOf", []) if option != {"type": "null"}]
        if len(options) == 1:  # A parameter is there or it is not; it is never null.
            kept = {**{key: value for key, value in kept.items() if key not in ("anyOf", "default")}, **options[0]}
        parameters.append({"name": name, "in": "query", "required": False, "schema": kept})
    return parameters


def _header_parameters(operation: Operation) -> list[Json]:
    found: list[tuple[str, bool, str, Json]] = []
    if operation.key is not None:
        said = "A new one for each new wish, the same for each repeat (quoted or bare)"
        found.append(("Idempotency-Key", operation.key == "required", said, _KEY))
    if operation.if_match:
        found.append(("If-Match", False, 'Only if the order still has this version, such as `"7"`', _TAG))
    if operation.if_none_match:
        found.append(("If-None-Match", False, "304 while the order has this version", _TAGS))
    if operation.wait:
        found.append(("Prefer", False, "`wait=N`: wait up to N seconds", {**_TEXT, "examples": ["wait=5"]}))
    return [
        {"name": name, "in": "header", "required": required, "description": said, "schema": schema}
        for name, required, said, schema in found
    ]


def _success(operation: Operation, success: Success) -> Json:
    names = [*success.headers, *(_RATE_HEADERS if operation.scopes else ())]
    if operation.key is not None:
        names.append("Idempotent-Replayed")
    document: Json = {"description": success.description}
    if names:
        document["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    if success.model is not None:
        schema: Json = {"$ref": _REF.format(model=success.model.__name__)}
        document["content"] = {success.media_type: {"schema": schema}}
    elif success.media_type != "application/json":
        document["content"] = {success.media_type: {"schema": _TEXT}}
    return document


def problem_codes(operation: Operation) -> tuple[str, ...]:
    """Every code that an operation may answer with: those of its own, and those that follow from what it heeds."""
    codes = [*operation.errors, "internal_error", "overloaded"]
    if "order_not_found" in codes or operation.id == "CrearPedido":
        codes.append("order_set_aside")
    if operation.scopes or operation.path == "/metrics":
        codes += ["repeated_header", "unauthorized", "invalid_token", "insufficient_scope", "keys_unavailable"]
    if operation.scopes:
        codes += ["rate_limited", "unavailable", "database_unavailable"]
    if operation.query is not None:
        codes.append("invalid_parameter")
    if operation.body is not None:
        codes += ["malformed_json", "request_timeout", "body_too_large", "unsupported_media_type", "invalid_request"]
    if operation.key is not None:
        codes += ["invalid_idempotency_key", "outcome_unknown"]
        if operation.key == "required":
            codes.append("idempotency_key_missing")
        codes.append("idempotency_key_reused")
    if operation.if_match:
        codes += ["invalid_if_match", "version_conflict"]
        if operation.key is not None:  # A command of an order.
            codes.append("order_busy")
    return tuple(sorted(set(codes)))


def _problems(operation: Operation) -> Json:
    by_status: dict[int, list[str]] = {}
    for code in problem_codes(operation):
        by_status.setdefault(operation.statuses.get(code, CODES[code][0]), []).append(code)
    return {
        str(status): _problem(status, codes)
        for status, codes in sorted(by_status.items())
        if status not in operation.success
    }


def _problem(status: int, codes: list[str]) -> Json:
    document: Json = {
        "description": "; ".join(f"`{code}`: {CODES[code][1]}" for code in codes),
        "content": {
            "application/problem+json": {
                "schema": {"$ref": _REF.format(model="ProblemDocument")},
                "examples": {code: {"value": _example(status, code)} for code in codes},
            }
        },
    }
    names = _PROBLEM_HEADERS.get(status, ())
    if names:
        document["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return document


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


def _offering(schemas: Json, shipping_prices: Mapping[str, Mapping[str, int]]) -> Json:
    """Say which currencies and shipping methods an order may have; what is for sale is known to ProductSvc only."""
    of_order = schemas["NewOrder"]["properties"]
    of_order["currency"]["enum"] = sorted(set().union(*shipping_prices.values()))
    of_order["shipping_method"] = {"enum": [*shipping_prices, None], "default": None}
    return schemas


def _schemas(operations: tuple[Operation, ...]) -> Json:
    wanted: list[tuple[type[BaseModel], str]] = [(ProblemDocument, "serialization")]
    for operation in operations:
        if operation.body is not None:
            wanted.append((operation.body, "validation"))
        if operation.query is not None:
            wanted.append((operation.query, "validation"))
        wanted += [(each.model, "serialization") for each in operation.success.values() if each.model is not None]
    _, document = models_json_schema(list(dict.fromkeys(wanted)), by_alias=True, ref_template=_REF)  # type: ignore[arg-type]
    schemas: Json = document["$defs"]
    asked = _with_parts(schemas, [model.__name__ for model, mode in wanted if mode == "validation"])
    for name in schemas.keys() - asked:  # members may be added to what is answered
        if schemas[name].get("additionalProperties") is False:
            del schemas[name]["additionalProperties"]
    schemas["ProblemDocument"]["properties"]["code"]["x-extensible-enum"] = sorted(CODES)
    queries = {operation.query.__name__ for operation in operations if operation.query is not None}
    return {name: schema for name, schema in sorted(schemas.items()) if name not in queries}


def _with_parts(schemas: Json, names: Iterable[str]) -> set[str]:
    """The names of schemas, and of all that they are made of."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += _REFERRED.findall(str(schemas[name]))
    return found
