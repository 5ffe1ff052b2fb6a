"""Numbers in JSON are equal by value: 3, 3.0 and 3e0 are the same integer, exactly and however large."""

from __future__ import annotations

from decimal import Decimal

INTEGER_MAX_DIGITS = 19  # of int64


def number(text: str) -> int | float:
    """Read a JSON number that is written with a point or an exponent: an integer where it is one of up to 19 digits.

    It never goes through a float on the way: 9007199254740993.0 is 9007199254740993.
    """
    try:
        value = Decimal(text)
    except ArithmeticError:  # an exponent of 20 digits
        return float(text)
    if value.is_zero():
        return 0
    if value.adjusted() < INTEGER_MAX_DIGITS and value == value.to_integral_value():
        return int(value)
    return float(text)
