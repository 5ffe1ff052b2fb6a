"""Values as others write them: whole numbers and UUIDs, brought to the one form in which they are compared.

Pure; bounded whatever is given.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

WHOLE_DIGITS_MAX = 19  # those of the largest int64

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


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
