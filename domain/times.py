"""Times as others write them: from a text to an instant in UTC.

Every time that a request names is read here, so that one which lies outside what can be stored is distinct from a text that is
no time at all. An instant lies between the first and the last microsecond of the years 1 to 9999, *after* it was brought to UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

FIRST = datetime(1, 1, 1, tzinfo=UTC)

_DATE = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>[0-5]\d)(?:\.(?P<fraction>\d+))?"
_ZONE = r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<ahead_h>\d\d):(?P<ahead_min>[0-5]\d))"
_RFC_3339 = re.compile(rf"{_DATE}[Tt]{_CLOCK}{_ZONE}", re.ASCII)
# Queries may leave out what RFC 3339 wants: the zone (UTC then), the seconds, the whole clock.
_SHORT_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>[0-5]\d)(?:\.(?P<fraction>\d+))?)?"
_IN_A_QUERY = re.compile(rf"{_DATE}(?:[Tt]{_SHORT_CLOCK}{_ZONE}?)?", re.ASCII)

# Events come from clients of all kinds: years of more digits, a leap second, a space for the T, a zone without its colon.
_IN_AN_EVENT = re.compile(
    r"(?P<year>[+-]?\d{4,10})-(?P<month>\d\d)-(?P<day>\d\d)[Tt ]"
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>[0-5]\d|60)(?:\.(?P<fraction>\d+))?"
    r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<ahead_h>\d\d):?(?P<ahead_min>[0-5]\d))",
    re.ASCII,
)

_NUMBERS = ("year", "month", "day", "hour", "minute", "second", "ahead_h", "ahead_min")

_SECOND_MAX = 59

# The calendar repeats itself after 400 years: a year that Python does not know is reckoned as the one of the years 400 to 799.
_CYCLE_YEARS = 400
_CYCLE = timedelta(days=146_097)


class TimeOutOfRange(ValueError):
    """The text is a time, but no instant between ``FIRST`` and the end of the year 9999."""


def read_time(text: str) -> datetime:
    """Read an RFC 3339 time: an instant in UTC, finer than a microsecond cut off.

    Raises ``TimeOutOfRange``, and ``ValueError`` for a text that is no such time.
    """
    return _instant(_RFC_3339.fullmatch(text))


def read_query_time(text: str) -> datetime:
    """Read a date or a time of a query; what has no zone is UTC. Raises as ``read_time`` does."""
    return _instant(_IN_A_QUERY.fullmatch(text))


def read_event_time(text: str) -> datetime:
    """Read the time of a partner's event; a leap second is the one after the 59th. Raises as ``read_time`` does."""
    return _instant(_IN_AN_EVENT.fullmatch(text))


def _instant(found: re.Match[str] | None) -> datetime:
    if found is None:
        raise ValueError("not an RFC 3339 time")
    numbers = {name: int(found[name] or 0) for name in _NUMBERS}
    year, leap_s = _CYCLE_YEARS + numbers["year"] % _CYCLE_YEARS, numbers["second"] // (_SECOND_MAX + 1)
    local = datetime(
        year,
        numbers["month"],
        numbers["day"],
        numbers["hour"],
        numbers["minute"],
        numbers["second"] - leap_s,
        int((found["fraction"] or "")[:6].ljust(6, "0")),
        tzinfo=UTC,
    )
    ahead = timezone(timedelta(hours=numbers["ahead_h"], minutes=numbers["ahead_min"])).utcoffset(None)
    try:
        instant = local + ahead if found["sign"] == "-" else local - ahead
        return instant + timedelta(seconds=leap_s) + (numbers["year"] - year) // _CYCLE_YEARS * _CYCLE
    except OverflowError:
        raise TimeOutOfRange("not between 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z") from None
