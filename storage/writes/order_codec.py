"""The bytes of a stored order: MessagePack of its values, with a number for the shape they were written in.

Old shapes are read for ever: ``UPGRADES`` has one function for each number that turns a decoded document into the
next one's. Fields at their default are left out, so a new field with a default needs no new number. What is renamed, removed, or
given another default or meaning does. A sample of each number is kept under ``tests/unit/storage/samples``.

Two releases may work on one database. Fields that a later one wrote in the same shape are kept in ``unknown_fields`` of the
value they stand in, and written back with it. ``known_fields`` says whether there may be any, so that looking for them
costs nothing as a rule.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec.structs import replace

from domain.order import Order
from domain.stored import Stored, known_fields
from storage.errors import UndecodableSnapshot

SCHEMA_NUMBER = 1
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
KNOWN_FIELDS = known_fields()
UNKNOWN = "unknown_fields"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Order).decode
_decode_plain = msgspec.msgpack.Decoder(dict[str, Any]).decode


def encode_order(order: Order) -> bytes:
    """Give the order's bytes in the shape of ``SCHEMA_NUMBER``."""
    encoded = _encode(order)
    return encoded if order.known_fields <= KNOWN_FIELDS else _encode(_put_back(_decode_plain(encoded)))


def decode_order(snapshot: bytes, schema_number: int) -> Order:
    """Read an order that was written in the shape of ``schema_number``. Raises ``UndecodableSnapshot``."""
    try:
        if schema_number == SCHEMA_NUMBER:
            order = _decode(snapshot)
            if order.known_fields == KNOWN_FIELDS:
                return order
            if order.known_fields > KNOWN_FIELDS:
                return _decode_later(snapshot)
        elif schema_number > SCHEMA_NUMBER:
            raise UndecodableSnapshot(f"shape {schema_number} is newer than this code, which knows {SCHEMA_NUMBER}")
        else:
            document = _decode_plain(snapshot)
            for number in range(schema_number, SCHEMA_NUMBER):
                document = UPGRADES[number](document)
            order = msgspec.convert(document, Order)
        return replace(order, known_fields=KNOWN_FIELDS)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise UndecodableSnapshot(f"shape {schema_number}: {error}") from error


def _decode_later(snapshot: bytes) -> Order:
    """Read an order that a later release wrote, with the fields that only that one knows."""
    document = _decode_plain(snapshot)
    kept = _keep_unknown(document, Order)
    order = msgspec.convert(kept, Order)
    return order if kept != document else replace(order, known_fields=KNOWN_FIELDS)


def _keep_unknown(written: Any, kind: type[Stored]) -> Any:
    """Move the fields that ``kind`` does not have, and those that its parts do not have, into ``unknown_fields`` of each."""
    if isinstance(written, list):
        return [_keep_unknown(each, kind) for each in written]
    if not isinstance(written, dict):
        return written
    parts = _parts(kind)
    kept = {name: value for name, value in written.items() if name in kind.__struct_fields__}
    unknown = {name: value for name, value in written.items() if name not in kept}
    kept.update({name: _keep_unknown(kept[name], part) for name, part in parts.items() if name in kept})
    return {**kept, UNKNOWN: _encode(unknown)} if unknown else kept


def _put_back(document: Any) -> Any:
    """Move the fields in ``unknown_fields`` back to where they stood."""
    if isinstance(document, list):
        return [_put_back(each) for each in document]
    if not isinstance(document, dict):
        return document
    unknown = document.get(UNKNOWN)
    fields = {name: _put_back(value) for name, value in document.items()}
    if isinstance(unknown, bytes):  # metadata, a map as well, has texts only
        del fields[UNKNOWN]
        fields.update(_decode_plain(unknown))
    return fields


@cache
def _parts(kind: type[Stored]) -> dict[str, type[Stored]]:
    """Give the fields of ``kind`` that are made of stored values themselves, one or several, with the kind of those."""
    found = {name: _part(hint) for name, hint in get_type_hints(kind).items()}
    return {name: part for name, part in found.items() if part is not None}


def _part(hint: Any) -> type[Stored] | None:
    if isinstance(hint, type) and issubclass(hint, Stored):
        return hint
    return next((part for each in get_args(hint) if (part := _part(each)) is not None), None)
