from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from domain.times import FIRST, TimeOutOfRange, read_event_time, read_query_time, read_time

READERS = (read_time, read_query_time)

LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-24T10:15:30Z", datetime(2026, 11, 24, 10, 15, 30, tzinfo=UTC)),
        ("2026-11-24t10:15:30.5z", datetime(2026, 11, 24, 10, 15, 30, 500_000, tzinfo=UTC)),
        ("2026-11-24T10:15:30.1234567+01:00", datetime(2026, 11, 24, 9, 15, 30, 123_456, tzinfo=UTC)),
        ("2026-11-24T10:15:30-05:30", datetime(2026, 11, 24, 15, 45, 30, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
        # The first and the last instant there are, as any zone writes them.
        ("0001-01-01T00:00:00Z", FIRST),
        ("0001-01-01T01:00:00+01:00", FIRST),
        ("0000-12-31T23:00:00-01:00", FIRST),
        ("0000-12-31T00:01:00-23:59", FIRST),
        ("9999-12-31T23:59:59.999999Z", LAST),
        ("9999-12-31T23:59:59.9999999Z", LAST),
        ("9999-12-31T22:59:59.999999-01:00", LAST),
    ],
)
def test_an_instant_is_the_same_in_every_zone(read: Callable[[str], datetime], text: str, instant: datetime) -> None:
    assert read(text) == instant
    assert read(text).tzinfo is UTC


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00+01:00",  # a default date of .NET, east of Greenwich
        "0001-01-01T00:00:00.999999+00:01",
        "0001-01-01T23:58:59+23:59",
        "0000-01-01T00:00:00Z",
        "0000-12-31T23:59:59.999999Z",
        "0000-02-29T12:00:00-12:00",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:59.999999-12:00",
        "9999-12-31T00:01:00-23:59",
    ],
)
def test_what_lies_outside_after_it_was_brought_to_utc_is_out_of_range(
    read: Callable[[str], datetime], text: str
) -> None:
    with pytest.raises(TimeOutOfRange):
        read(text)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1700000000",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "0000-02-30T00:00:00Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T10:15:60Z",
        "2026-11-24T10:15:30+24:00",
        "2026-11-24T10:15:30+01:60",
        "2026-11-24T10:15:30Z ",
        "2026-11-24T10:15:30Z\n",
        "٢٠٢٦-11-24T10:15:30Z",
        "12026-11-24T10:15:30Z",
        "2026-11-24T10:15:30.Z",
    ],
)
def test_what_is_no_time_is_told_apart_from_it(read: Callable[[str], datetime], text: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - what matters is which of the two it is
        read(text)
    assert not isinstance(raised.value, TimeOutOfRange)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T10:15", datetime(2026, 11, 24, 10, 15, tzinfo=UTC)),
        ("2026-11-24T10:15:30", datetime(2026, 11, 24, 10, 15, 30, tzinfo=UTC)),
        ("0001-01-01", FIRST),
    ],
)
def test_a_query_may_leave_out_what_a_body_may_not(text: str, instant: datetime) -> None:
    assert read_query_time(text) == instant
    with pytest.raises(ValueError, match=r"RFC 3339"):
        read_time(text)


def test_a_date_before_the_first_is_out_of_range_in_a_query() -> None:
    with pytest.raises(TimeOutOfRange):
        read_query_time("0000-06-15")


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
def test_the_time_of_an_event_is_an_instant_in_utc(text: str, moment: datetime) -> None:
    assert read_event_time(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00+00:01", "0000-01-01T00:00:00Z", "-0001-06-01T00:00:00Z",
        "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:60Z", "+10000-01-01T00:00:00Z", "10000-01-01T00:00:00Z",
        "+9999999999-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_the_time_of_an_event_that_lies_beyond_is_told_apart(text: str) -> None:
    with pytest.raises(TimeOutOfRange):
        read_event_time(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-11-24", "2026-11-24T10:15:30", "2026-11-24T10:15Z", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T10:60:00Z", "2026-11-24T10:15:61Z",
        "2026-11-24T10:15:30+24:00", "2026-11-24T10:15:30+01:60", "٢٠٢٦-11-24T10:15:30Z", "2026-11-24T10:15:30Z\n",
        "+99999999999999-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_what_is_no_time_of_an_event_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_event_time(text)
