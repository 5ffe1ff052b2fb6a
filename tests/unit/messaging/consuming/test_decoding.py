from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest

from messaging.consuming import decoding


def long(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def test_a_text_that_is_no_utf_8_is_as_long_as_it_says() -> None:
    assert decoding.short_text(b"\x02ok!") == (3, "ok")
    assert decoding.short_text(b"\x02\xff\xfe!") == (3, "\ufffd\ufffd")


def test_a_time_beyond_every_calendar_is_none() -> None:
    assert decoding.time(struct.pack(">Q", 0)) == (8, datetime(1970, 1, 1, tzinfo=UTC))
    assert decoding.time(struct.pack(">Q", 2**64 - 1)) == (8, None)


@pytest.mark.parametrize("content", [b"\x01\xffI\0\0\0\1", b"\x01k?", b"\x01kF\0\0\xff\xff", b"\xffk"])
def test_a_table_that_cannot_be_walked_through_is_empty_and_as_long_as_it_says(content: bytes) -> None:
    assert decoding.table(long(content) + b"rest") == (4 + len(content), {})


def test_a_table_that_is_nested_too_deep_costs_nothing_but_itself() -> None:
    inside = b""
    for _ in range(5000):
        inside = b"\x01kF" + long(inside)
    consumed, _ = decoding.table(long(inside))
    assert consumed == 4 + len(inside)


@pytest.mark.parametrize("decoder", [decoding.short_text, decoding.time, decoding.table])
def test_what_is_cut_off_is_an_error_still(decoder: object) -> None:
    with pytest.raises((ValueError, LookupError)):
        decoder(b"")  # type: ignore[operator]
