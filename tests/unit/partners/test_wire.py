"""The partners' shapes are read strictly."""

from __future__ import annotations

import msgspec
import pytest

from partners.wire import MoneyShape


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount":true,"currency":"EUR"}',
        b'{"amount":1.0,"currency":"EUR"}',
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
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=MoneyShape)


def test_the_largest_amount_of_64_bits_is_money() -> None:
    money = msgspec.json.decode(b'{"amount":9223372036854775807,"currency":"KWD"}', type=MoneyShape)
    assert money.value().amount == 2**63 - 1
