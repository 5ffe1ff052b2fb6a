from __future__ import annotations

from datetime import UTC, datetime

import pytest

from messaging.values import instant, number, uuid_text

FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0001-01-01T00:00:00Z", FIRST),
        ("0001-01-01T23:59:00+23:59", FIRST),
        ("0000-12-31T23:00:00-01:00", FIRST),
        ("9999-12-31T23:59:59.999999Z", LAST),
        ("9999-12-31T23:59:59.9999999999Z", LAST),
        ("+10000-01-01T00:59:59.999999+01:00", LAST),
        ("2026-11-24t10:15:30z", datetime(2026, 11, 24, 10, 15, 30, tzinfo=UTC)),
        ("2026-11-24 10:15:30.5+01:00", datetime(2026, 11, 24, 9, 15, 30, 500_000, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_is_an_instant_in_utc(text: str, moment: datetime) -> None:
    assert instant(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00+00:01", "0000-01-01T00:00:00Z", "-0001-06-01T00:00:00Z",
        "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:60Z", "+10000-01-01T00:00:00Z", "+9999999999-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_a_time_that_lies_beyond_is_one_all_the_same(text: str) -> None:
    assert instant(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-11-24", "2026-11-24T10:15:30", "2026-11-24T10:15Z", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T10:60:00Z", "2026-11-24T10:15:61Z",
        "2026-11-24T10:15:30+24:00", "2026-11-24T10:15:30+01:60", "٢٠٢٦-11-24T10:15:30Z", "2026-11-24T10:15:30Z\n",
        "+99999999999999-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        instant(text)


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
