"""How the properties of a message are decoded: what makes no sense in them is left out.

pamqp raises for a time beyond its range, for a text that is no UTF-8 and for a table that it can't walk through. aiormq then ends the
connection, the broker delivers the same message again, and nothing behind it is ever consumed. So three of pamqp's decoders are
replaced in its tables; a body is never touched.
"""

from __future__ import annotations

from pamqp import decode
from pamqp.common import FieldTable, FieldValue

LENGTH_BYTES = 4
TIMESTAMP_BYTES = 8

_short_str, _timestamp, _field_table = decode.short_str, decode.timestamp, decode.field_table


def tolerate_any_properties() -> None:
    """Decode like this in the whole process from now on; doing it again changes nothing."""
    decode.METHODS.update(shortstr=short_text, timestamp=time, table=table)
    decode.TABLE_MAPPING.update({b"T": time, b"F": table})


def short_text(value: bytes) -> tuple[int, str]:
    """A text of 255 bytes at most; what is no UTF-8 in it is replaced by U+FFFD."""
    try:
        return _short_str(value)
    except UnicodeDecodeError:
        length = value[0]
        return length + 1, value[1 : length + 1].decode(errors="replace")


def time(value: bytes) -> tuple[int, FieldValue]:
    """A time, or None where it is beyond the years 1 to 9999."""
    try:
        return _timestamp(value)
    except (ValueError, OverflowError, OSError):
        if len(value) < TIMESTAMP_BYTES:
            raise
        return TIMESTAMP_BYTES, None


def table(value: bytes) -> tuple[int, FieldTable]:
    """A table of headers; an empty one where anything in it can't be decoded, or it is nested too deep."""
    try:
        return _field_table(value)
    except (ValueError, ArithmeticError, RecursionError):
        end = LENGTH_BYTES + int.from_bytes(value[:LENGTH_BYTES])
        if end > len(value) or len(value) < LENGTH_BYTES:
            raise
        return end, {}
