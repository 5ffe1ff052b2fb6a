"""What becomes of the schemas that pydantic makes: what generated clients of all languages need.

Each of these changes what is described and nothing of what is taken or answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from api.openapi.described import REF
from api.shapes.fields import CURRENCIES

Json = dict[str, Any]

# Lists of words that are no enum of Python's: each is one class in generated code, wherever its words are listed.
WORDS: dict[str, Json] = {
    "Currency": {"enum": sorted(CURRENCIES), "description": "ISO 4217.", "examples": ["EUR"]},
}
_REFERRED = re.compile(REF.format(model=r"(\w+)"))
_INSTANCES = frozenset({"const", "default", "enum", "example", "examples"})


def finish(schemas: Json, asked: Iterable[str], shipping_prices: Mapping[str, Mapping[str, int]]) -> None:
    """Bring all schemas to what generators need. ``asked``: the names of bodies; their parts follow from these."""
    of_requests = with_parts(schemas, asked)
    offer(schemas, shipping_prices)
    for schema in schemas.values():
        name_words(schema)
    schemas |= {name: {"type": "string", **words} for name, words in WORDS.items()}
    containers: Json = {}
    for name, schema in schemas.items():
        leave_out_titles(schema)
        if name in of_requests:
            send_what_is_set(schema, containers)
        else:
            open_answer(schema)
    schemas |= containers


def with_parts(schemas: Json, names: Iterable[str]) -> set[str]:
    """Give the names of schemas, and of all that they are made of."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += _REFERRED.findall(str(schemas[name]))
    return found


def offer(schemas: Json, shipping_prices: Mapping[str, Mapping[str, int]]) -> None:
    """Say which currencies and shipping methods an order may have; what is for sale is known to ProductSvc only."""
    of_order = schemas["NewOrder"]["properties"]
    schemas["OrderCurrency"] = {
        "type": "string",
        "enum": sorted(set().union(*shipping_prices.values())),
        "description": "The currencies that orders may have: shipping has a price in them.",
        "examples": ["EUR"],
    }
    schemas["ShippingMethod"] = {
        "type": "string",
        "enum": [*shipping_prices],
        "description": "How an order may travel. Not each method has a price in each currency.",
    }
    of_order["currency"] = {"$ref": REF.format(model="OrderCurrency")}
    of_order["shipping_method"] = {"anyOf": [{"$ref": REF.format(model="ShippingMethod")}, {"type": "null"}]}


def name_words(schema: Json) -> None:
    """Refer to a list of words by its name, instead of listing them where they stand."""
    for node in nodes(schema):
        for name, words in WORDS.items():
            if node.get("enum") == words["enum"]:
                node.clear()
                node["$ref"] = REF.format(model=name)


def leave_out_titles(schema: Json) -> None:
    """A title that says the name again says nothing; some generators name classes by it."""
    for node in nodes(schema):
        node.pop("title", None)


def send_what_is_set(schema: Json, containers: Json) -> None:
    """A generated client sends the members that were set, and no others. ``containers``: where its lists and maps go.

    Generated code of several languages begins with the defaults and sends them: so they are given in words. Java's begins with
    an empty list or map where one may be left out, but with none where it is written as ``allOf`` of a single reference.
    """
    required = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        if name in required:
            continue
        default = member.pop("default", None)
        if isinstance(default, bool):
            member["description"] = f"Left out: {str(default).lower()}."
        if member.get("type") in {"array", "object"}:
            container = name.title().replace("_", "")
            if containers.setdefault(container, dict(member)) != member:
                message = f"{name} is described in two ways"
                raise ValueError(message)
            member.clear()
            member["allOf"] = [{"$ref": REF.format(model=container)}]


def open_answer(schema: Json) -> None:
    """Members may be added to what is answered; generators take what says nothing of it for closed."""
    if "properties" in schema:
        schema["additionalProperties"] = True
        for member in schema["properties"].values():
            member.pop("default", None)


def widen(node: Any) -> None:
    """Say of every integer that it has 64 bits: generated code would have 32 for some amounts. Its bounds are integers too."""
    if isinstance(node, dict):
        if node.get("type") == "integer":
            node.setdefault("format", "int64")
            node |= {bound: int(node[bound]) for bound in ("minimum", "maximum") if bound in node}
        for each in node.values():
            widen(each)
    elif isinstance(node, list):
        for each in node:
            widen(each)


def nodes(schema: Any) -> Iterator[Json]:
    """Give a schema and all that are in it; examples and defaults are none."""
    yield schema
    for key, part in schema.items():
        if key == "properties":
            parts = [*part.values()]
        elif key in _INSTANCES:
            parts = []
        else:
            parts = part if isinstance(part, list) else [part]
        for each in parts:
            if isinstance(each, dict):
                yield from nodes(each)
