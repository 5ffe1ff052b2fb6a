from __future__ import annotations

import pytest

from messaging.values import number, uuid_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2154.0", 2154), ("2.154e3", 2154), ("2154E+0", 2154), ("215400e-2", 2154), ("-0.0", 0), ("0e5", 0),
        ("9007199254740993.0", 2**53 + 1), ("9223372036854775807.0", 2**63 - 1), ("-9223372036854775808.0", -(2**63)),
        ("1" + "0" * 400 + "e-400", 1),
    ],
)  # fmt: skip
def test_a_number_that_is_whole_is_an_integer_exactly(text: str, value: int) -> None:
    found = number(text)
    assert (type(found), found) == (int, value)


@pytest.mark.parametrize("text", ["71.25", "1e-1", "1.00000000000000000000000000001", "1e19", "1e400", "1e" + "9" * 50])
def test_a_number_that_is_not_whole_or_beyond_bounds_is_no_integer(text: str) -> None:
    assert isinstance(number(text), float)


def test_uuids_are_in_lower_case_and_other_texts_as_they_are() -> None:
    assert uuid_text("0198F7A2-8E11-7AA0-9A0E-2F8F6D3C1B00") == "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
    for text in ("P-1", "0198F7A28E117AA09A0E2F8F6D3C1B00", "{0198F7A2-8E11-7AA0-9A0E-2F8F6D3C1B00}", ""):
        assert uuid_text(text) == text
