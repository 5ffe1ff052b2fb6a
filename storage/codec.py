"""The bytes of a stored order: MessagePack of its dataclasses, with a number for the shape they were written in.

Old shapes are read for ever: ``UPGRADES`` has one function for each number that turns a decoded document into the
next one's. Fields that an order has at their default are left out, so a new field with a default needs no new
number. What is renamed, removed, or given another default or meaning does. A sample of each number is kept under
``tests/unit/storage/samples``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from operator import attrgetter
from typing import Any

import msgspec

from domain.order import Order
from storage.errors import UndecodableSnapshot

SCHEMA_NUMBER = 1
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

_read_all = attrgetter(*(each.name for each in fields(Order)))
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Order)
_plain_decoder = msgspec.msgpack.Decoder(dict[str, Any])


def _as_stored(field: Any) -> tuple[Any, ...]:
    if field.default is not MISSING:
        return (field.name, Any, field.default)
    if field.default_factory is not MISSING:
        return (field.name, Any, msgspec.field(default_factory=field.default_factory))
    return (field.name, Any)


# An order's fields once more, as msgspec leaves out those of its own values that are at their default.
_Stored = msgspec.defstruct("_Stored", map(_as_stored, fields(Order)), omit_defaults=True)


def encode_order(order: Order) -> bytes:
    """Give the order's bytes in the shape of ``SCHEMA_NUMBER``."""
    return _encoder.encode(_Stored(*_read_all(order)))


def decode_order(snapshot: bytes, schema_number: int) -> Order:
    """Read an order that was written in the shape of ``schema_number``. Raises ``UndecodableSnapshot``."""
    try:
        if schema_number == SCHEMA_NUMBER:
            return _decoder.decode(snapshot)
        if schema_number > SCHEMA_NUMBER:
            raise UndecodableSnapshot(f"shape {schema_number} is newer than this code, which knows {SCHEMA_NUMBER}")
        document = _plain_decoder.decode(snapshot)
        for number in range(schema_number, SCHEMA_NUMBER):
            document = UPGRADES[number](document)
        return msgspec.convert(document, Order)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise UndecodableSnapshot(f"shape {schema_number}: {error}") from error
