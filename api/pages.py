"""The OpenAPI document as a page for people: plain HTML that is made here, without a script or anything from elsewhere.

It shows what the document says and knows nothing besides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from api.exchange import Header

Json = dict[str, Any]

# Nothing is fetched and nothing runs, whatever a description may have in it.
PAGE_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/html; charset=utf-8"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    ),
)

VALUES_SHOWN_MAX = 16

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { border: 1px solid var(--line); border-radius: 4px; padding: .5rem; overflow-x: auto; }
details { border: 1px solid var(--line); border-radius: 4px; margin: .4rem 0; padding: .3rem .7rem; }
summary { cursor: pointer; }
summary b { display: inline-block; width: 4.5rem; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0; }
td, th { border-bottom: 1px solid var(--line); padding: .2rem .6rem .2rem 0; text-align: left; vertical-align: top; }
"""


def docs_page(document: Json) -> bytes:
    """Make the page of a document."""
    info = document["info"]
    schemas = document["components"]["schemas"]
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>',
        f"<h1>{escape(info['title'])}</h1><p>{_prose(info['description'])}</p>",
        '<p>For programs: <a href="/openapi.json">/openapi.json</a>; events: <a href="/asyncapi.json">/asyncapi.json</a></p>',
        f"<p>{_prose(document['components']['securitySchemes']['bearer']['description'])}</p>",
    ]
    for tag, operations in _by_tag(document).items():
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [_operation(method, path, operation) for method, path, operation in operations]
    parts.append("<h2>Schemas</h2>")
    parts += [_schema(name, schema) for name, schema in schemas.items()]
    return "\n".join(parts).encode()


def _by_tag(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    found: dict[str, list[tuple[str, str, Json]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    return found


def _operation(method: str, path: str, operation: Json) -> str:
    scopes = " or ".join(f"<code>{escape(scope)}</code>" for each in operation["security"] for scope in each["bearer"])
    body = [
        f'<details id="{escape(operation["operationId"])}">',
        f"<summary><b>{method}</b> <code>{escape(path)}</code> {escape(operation['summary'])}</summary>",
        f"<p>{escape(operation['operationId'])}. {_prose(operation.get('description', ''))}</p>",
        f"<p>Scope: {scopes or 'none, it is open'}</p>",
    ]
    if operation["parameters"]:
        body.append(_table(("parameter", "in", "", "type", "about"), _parameters(operation["parameters"])))
    if "requestBody" in operation:
        media = operation["requestBody"]["content"]["application/json"]
        body.append(f"<p>Body: {_type(media['schema'])}</p>")
        body += [_example(example["value"]) for example in media.get("examples", {}).values()]
    body.append(_table(("status", "answer", "about"), _answers(operation["responses"])))
    return "\n".join([*body, "</details>"])


def _parameters(parameters: list[Json]) -> Iterator[Iterable[str]]:
    for each in parameters:
        required = "required" if each["required"] else ""
        name = f"<code>{escape(each['name'])}</code>"
        yield name, escape(each["in"]), required, _type(each["schema"]), _prose(each.get("description", ""))


def _answers(responses: Json) -> Iterator[Iterable[str]]:
    for status, answer in responses.items():
        kinds = [_type(media["schema"]) for media in answer.get("content", {}).values()]
        headers = [f"<code>{escape(name)}</code>" for name in answer.get("headers", {})]
        yield escape(status), " ".join(kinds + headers), _prose(answer["description"])


def _schema(name: str, schema: Json) -> str:
    required = schema.get("required", [])
    rows = [
        (
            f"<code>{escape(each)}</code>",
            "required" if each in required else "",
            _type(of_field),
            _prose(of_field.get("description", "")),
        )
        for each, of_field in schema.get("properties", {}).items()
    ]
    inside = _table(("field", "", "type", "about"), rows) if rows else f"<p>{_type(schema)}</p>"
    about = _prose(schema.get("description", ""))
    return f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> {about}</summary>{inside}</details>'


def _type(schema: Json) -> str:
    """A JSON schema in a line; what it refers to is a link."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "enum" in schema or "const" in schema:
        return " | ".join(
            f"<code>{escape(json.dumps(each))}</code>" for each in schema.get("enum", [schema.get("const")])
        )
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(_type(each) for each in schema[several])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}{_limits(schema)}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}{_limits(schema)}"
    return escape(str(schema.get("format") or schema.get("type", "any"))) + _limits(schema)


_LIMITS = {
    "minimum": "≥ ",
    "maximum": "≤ ",
    "minLength": "length ≥ ",
    "maxLength": "length ≤ ",
    "minItems": "items ≥ ",
    "maxItems": "items ≤ ",
    "maxProperties": "keys ≤ ",
    "pattern": "",
    "default": "default ",
}


def _limits(schema: Json) -> str:
    told = [f"{sign}{json.dumps(schema[name])}" for name, sign in _LIMITS.items() if name in schema]
    return f" <small>{escape(', '.join(told))}</small>" if told else ""


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _example(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _prose(text: str) -> str:
    """Text with its code marked as such: what stands between backticks."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if n % 2 else piece for n, piece in enumerate(pieces))
