"""Values as others write them: times, whole numbers and UUIDs, brought to the one form in which they are compared.

Pure; bounded whatever is given.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

WHOLE_DIGITS_MAX = 19  # those of the largest int64
SECOND_MAX = 59
CYCLE_YEARS, CYCLE = 400, timedelta(days=146_097)  # after which the calendar repeats itself

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_TIME = re.compile(
    r"([0-9]{4}|[+-][0-9]{4,10})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-5][0-9]|60)(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):?([0-5][0-9]))"
)


def uuid_text(text: str) -> str:
    """A UUID in lower case; any other text as it is."""
    return text.lower() if _UUID.fullmatch(text) else text


def number(text: str) -> int | float:
    """A JSON number that has a fraction or an exponent: an int where its value is whole and of 19 digits at most, else a float."""
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent beyond all bounds
        return float(text)
    if value.adjusted() < WHOLE_DIGITS_MAX and value == value.to_integral_value():
        return int(value)
    return float(text)


def instant(text: str) -> datetime | None:
    """An RFC 3339 time in UTC, to the microsecond; None where that lies outside of the years 1 to 9999.

    Years of more digits, as some write them beyond RFC 3339, are such times too. Raises ``ValueError`` for what is no time.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("no RFC 3339 time with a zone")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, zone_hours, zone_minutes = match.groups()[6:]
    zone = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
    # The years 0 and beyond are read as those of another cycle; a leap second is the one after the 59th.
    cycle_year = CYCLE_YEARS + year % CYCLE_YEARS
    microsecond = int((fraction or "")[:6].ljust(6, "0"))
    moment = datetime(cycle_year, month, day, hour, minute, min(second, SECOND_MAX), microsecond, tzinfo=UTC)
    moment += timedelta(seconds=second // (SECOND_MAX + 1)) + (zone if sign == "-" else -zone)
    try:
        return moment + (year - cycle_year) // CYCLE_YEARS * CYCLE
    except OverflowError:
        return None
