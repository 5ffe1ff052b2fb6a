"""The partners' shapes are read strictly."""

from __future__ import annotations

import pytest

from partners.shapes import MoneyShape, Reader

MONEY = Reader(MoneyShape)


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount":true,"currency":"EUR"}',
        b'{"amount":1.5,"currency":"EUR"}',
        b'{"amount":1e-1,"currency":"EUR"}',
        b'{"amount":1e400,"currency":"EUR"}',
        b'{"amount":1e99999999999999999999,"currency":"EUR"}',
        b'{"amount":9223372036854775808.0,"currency":"EUR"}',
        b'{"amount":1_0,"currency":"EUR"}',
        b'{"amount":NaN,"currency":"EUR"}',
        b'{"amount":Infinity,"currency":"EUR"}',
        b'{"amount":1,"currency":"E\\u0000R"}',
        b'{"amount":1,"currency":"\xff\xfeR"}',
        b'{"amount":1,"currency":"\\ud800RR"}',
        b"[" * 100_000,
        b"",
        b'{"amount":"1","currency":"EUR"}',
        b'{"amount":-1,"currency":"EUR"}',
        b'{"amount":9223372036854775808,"currency":"EUR"}',
        b'{"amount":1,"currency":"EURO"}',
        b'{"amount":1,"currency":978}',
        b'{"amount":1}',
        b"null",
    ],
)
def test_what_is_no_money_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        MONEY.read(body)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("3", 3),
        ("3.0", 3),
        ("3e0", 3),
        ("30E-1", 3),
        ("0.3e+1", 3),
        ("-0.0", 0),
        ("0e99999", 0),
        ("9007199254740993.0", 9007199254740993),
        ("9223372036854775807.0", 2**63 - 1),
        ("9.223372036854775807e18", 2**63 - 1),
    ],
)
def test_numbers_are_equal_by_value_and_exactly_so(text: str, amount: int) -> None:
    """A service whose JSON library writes 2154.0 for an amount was not understood at all."""
    assert MONEY.read(f'{{"amount":{text},"currency":"EUR"}}'.encode()).amount == amount


def test_the_largest_amount_of_64_bits_is_money() -> None:
    money = MONEY.read(b'{"amount":9223372036854775807,"currency":"KWD"}')
    assert money.value().amount == 2**63 - 1
