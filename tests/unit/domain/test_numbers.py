"""JSON numbers that are written differently and are the same."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.numbers import number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3.0", 3),
        ("3e0", 3),
        ("30E-1", 3),
        ("0.3e+1", 3),
        ("-3.0", -3),
        ("-0.0", 0),
        ("0e999999999", 0),
        ("9007199254740993.0", 9007199254740993),
        ("9.223372036854775807E18", 2**63 - 1),
        ("3." + "0" * 5000, 3),
    ],
)
def test_an_integer_is_one_however_it_is_written(text: str, value: int) -> None:
    read = number(text)
    assert type(read) is int
    assert read == value


@pytest.mark.parametrize(
    "text", ["1.5", "3.0000000000000000000001", "1e19", "1e400", "1e99999999999999999999", "-1e-999999999"]
)
def test_what_is_none_stays_a_float(text: str) -> None:
    assert type(number(text)) is float


def test_what_is_too_large_for_a_float_is_infinite() -> None:
    assert math.isinf(number("-1e400"))


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 30))
def test_moving_the_point_makes_no_difference(value: int, places: int) -> None:
    written = f"{Decimal(value).scaleb(-places):f}e{places}"
    read = number(written)
    assert type(read) is int
    assert read == value
