"""Values at the edges of their types, and JSON with some of them in the place of what belongs there.

A value is made from a JSON schema (OpenAPI's, AsyncAPI's, msgspec's of the partners' answers). Everything comes from one random
generator, so a seed finds the same again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

Schema = dict[str, Any]
Path = tuple[str | int, ...]

DEPTH_MAX = 12


@dataclass(frozen=True, slots=True)
class Raw:
    """JSON as it is to be written: numbers that no type here has, and what is no JSON at all."""

    text: str


@dataclass(frozen=True, slots=True)
class Twice:
    """An object's value whose name is written twice, with another value first."""

    first: Any
    then: Any


MISSING = Raw("")  # the name is left out

NUMBERS = (
    0, -1, 1, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53 - 1, 2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**40,
    Raw("3.0"), Raw("3e0"), Raw("30e-1"), Raw("0.5"), Raw("-0"), Raw("-0.0"), Raw("1e400"), Raw("-1e400"), Raw("1e-400"),
    Raw("1" + "0" * 400), Raw("-" + "9" * 400), Raw("0." + "3" * 400), Raw("1E+2"), Raw("1e999999999"), Raw("NaN"), Raw("Infinity"),
    Raw("01"), Raw("0x10"), Raw("1_000"),
)  # fmt: skip
TEXTS = (
    "", " ", "\0", "a\0b", "\ud800", "a\udfffb", "\ud83d\ude00", "\ufeff", "\u202e", "e\u0301" * 50, "\u00e9" * 300, "x" * 501,
    "x" * 5000, "x" * 200_000, "\u0660.\u0662\u0661", "0_1", "NaN", "Infinity", "-0", "1e400", "+1", " 1 ", "1\n", "null", "true",
    "%2F", "a/b", "../..", ".", "..", "\\", '"', "'; select 1 --", "{}", "${HOME}", "\r\nX-Injected: 1", "\t", "\x7f",
    "\x85", "A" * 129,
    "\U0010ffff",
    "=1+1", "@x", "\u0130", "\u00df", "K",
)  # fmt: skip
TIMES = (
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00-01:00", "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59+23:59", "9999-12-31T23:59:59.9999999Z", "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T23:59:60Z",
    "2026-11-24T10:15:30", "2026-11-24", "2026-11-24t10:15:30z", "2026-11-24 10:15:30Z", "2026-11-24T10:15:30.123456789123Z",
    "2026-11-24T10:15:30+24:00", "2026-11-24T10:15:30-23:59", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "9000-01-01T00:00:00Z",
    "infinity", "now", "1764000000", "\u0662\u0660\u0662\u0666-11-24T10:15:30Z",
)  # fmt: skip
IDS = (
    "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    "{0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00}", "urn:uuid:0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00", "0198f7a28e117aa09a0e2f8f6d3c1b00",
    "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b0", "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b0g", "\uff10198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00",
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    {"": ""},
    Raw("[" * 3000),
    Raw("[" * 3000 + "]" * 3000),
    Raw("{"),
    Raw(""),
    Raw("\x00"),
)
MANY = ([None] * 1001, ["x"] * 201, {f"k{n}": "v" for n in range(60)}, [0, [0, [0]]])


def write(value: Any) -> str:
    """JSON text of a value with ``Raw`` and ``Twice`` in it; lone surrogates are written as escapes."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Twice):  # where there is no object around it
        return write(value.then)
    if isinstance(value, dict):
        parts = []
        for name, each in value.items():
            if each is MISSING:
                continue
            if isinstance(each, Twice):
                parts.append(f"{json.dumps(name)}:{write(each.first)}")
            parts.append(f"{json.dumps(name)}:{write(each.then if isinstance(each, Twice) else each)}")
        return "{" + ",".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    return json.dumps(value)


class Edges:
    """Makes values from schemas; ``definitions`` is the document that ``$ref`` points into."""

    def __init__(self, rng: random.Random, definitions: Schema) -> None:
        self._rng = rng
        self._definitions = definitions

    def resolved(self, schema: Schema) -> Schema:
        """A schema without references, one of its alternatives where there are several, its parts put together."""
        for _ in range(DEPTH_MAX):
            if "$ref" in schema:
                found: Any = self._definitions
                for name in schema["$ref"].removeprefix("#/").split("/"):
                    found = found[name]
                schema = found | {name: value for name, value in schema.items() if name != "$ref"}
            elif alternatives := schema.get("anyOf") or schema.get("oneOf"):
                rest = {
                    name: value for name, value in schema.items() if name not in {"anyOf", "oneOf", "discriminator"}
                }
                schema = rest | self._rng.choice(alternatives)
            elif parts := schema.get("allOf"):
                schema = {name: value for name, value in schema.items() if name != "allOf"}
                for part in parts:
                    schema |= self.resolved(part)
            else:
                break
        return schema

    def good(self, schema: Schema, depth: int = 0) -> Any:
        """A value that fits, as plain as can be."""
        schema = self.resolved(schema)
        for name in ("const", "example", "default"):
            if name in schema:
                return schema[name]
        for name in ("enum", "examples"):
            if schema.get(name):
                return self._rng.choice(list(schema[name]))
        match self._type(schema):
            case "object":
                if depth > DEPTH_MAX:
                    return {}
                wanted = set(schema.get("required", ()))
                named = schema.get("properties", {})
                return {
                    name: self.good(each, depth + 1)
                    for name, each in named.items()
                    if name in wanted or self._rng.random() < 0.3
                }
            case "array":
                number = max(schema.get("minItems", 0), 1)
                return [self.good(schema.get("items", {}), depth + 1) for _ in range(number)]
            case "integer" | "number":
                return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1)
            case "boolean":
                return self._rng.random() < 0.5
            case "null":
                return None
            case _:
                return self._text(schema)

    def edge(self, schema: Schema) -> Any:
        """A value at the edge of a schema's type, or beyond; now and then one of another type."""
        schema = self.resolved(schema)
        pick = self._rng.random()
        if pick < 0.12:
            return self._rng.choice(OTHERS)
        if pick < 0.2:
            return self._rng.choice((*NUMBERS, *TEXTS))
        match self._type(schema):
            case "integer" | "number":
                bounds = [schema[name] + by for name in ("minimum", "maximum") if name in schema for by in (-1, 0, 1)]
                return self._rng.choice((*NUMBERS, *bounds, *bounds))
            case "array" | "object":
                return self._rng.choice((*MANY, *OTHERS))
            case _:
                special = {"date-time": TIMES, "uuid": IDS}.get(schema.get("format", ""), ())
                bounds = [
                    schema[name] + by for name in ("minLength", "maxLength") if name in schema for by in (-1, 0, 1)
                ]
                return self._rng.choice((*TEXTS, *special, *special, *("x" * max(bound, 0) for bound in bounds)))

    def spoilt(self, schema: Schema, value: Any, places: int = 1) -> Any:
        """``value``, which fits, with values at the edge in some of its places."""
        for _ in range(places):
            found = list(self._walk(schema, value, ()))
            path, inner = self._rng.choice(found)
            how = self._rng.random()
            if path and how < 0.06:
                value = _put(value, path, MISSING)
            elif path and isinstance(path[-1], str) and how < 0.1:
                value = _put(value, path, Twice(self.edge(inner), self.edge(inner)))
            elif how < 0.14:
                value = _put(value, (*path, self._rng.choice(TEXTS[:40])), self._rng.choice(OTHERS))
            else:
                value = _put(value, path, self.edge(inner))
        return value

    def _walk(self, schema: Schema, value: Any, path: Path) -> Iterator[tuple[Path, Schema]]:
        """Every place in a value with its schema."""
        schema = self.resolved(schema)
        yield path, schema
        if isinstance(value, dict):
            for name, each in value.items():
                inner = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
                yield from self._walk(inner if isinstance(inner, dict) else {}, each, (*path, name))
        elif isinstance(value, list):
            for index, each in enumerate(value[:3]):
                yield from self._walk(schema.get("items", {}), each, (*path, index))

    def _type(self, schema: Schema) -> str:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        return str(self._rng.choice(kind) if isinstance(kind, list) else kind)

    def _text(self, schema: Schema) -> str:
        match schema.get("format"):
            case "uuid":
                return str(UUID(int=self._rng.getrandbits(128), version=4))
            case "date-time":
                return "2026-11-24T10:15:30Z"
            case "uri":
                return "https://example.test/"
        return "x" * int(max(schema.get("minLength", 1), 1))


def _put(value: Any, path: Path, new: Any) -> Any:
    """A copy of a value with something else in one place; where the place is gone, the value as it is."""
    if not path:
        return new
    name, rest = path[0], path[1:]
    if isinstance(value, dict) and (not rest or name in value):
        return value | {name: _put(value.get(name), rest, new)}
    if isinstance(value, list) and isinstance(name, int) and name < len(value):
        return [*value[:name], _put(value[name], rest, new), *value[name + 1 :]]
    return value
