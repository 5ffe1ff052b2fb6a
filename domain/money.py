"""Money: int64 minor units of one ISO 4217 currency; never a float."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from domain.stored import Stored

FRACTION_SHOWN_MAX_CHARACTERS = 40
# Decimal takes far more: underscores, the digits of other alphabets, exponents, blanks, Infinity.
_FRACTION = re.compile(r"0(?:\.[0-9]{1,18})?|1(?:\.0{1,18})?")


class Money(Stored, frozen=True):
    """An amount in minor units (cents, fils, yen) of a currency (three capital letters)."""

    amount: int
    currency: str


@lru_cache(maxsize=4096)
def fraction(text: str) -> Decimal:
    """Read a decimal fraction such as ``"0.2100"``: ASCII digits, 18 of them at most after the point.

    Raises ``ValueError`` when ``text`` is anything else or lies outside 0..1.
    """
    if _FRACTION.fullmatch(text) is None:
        raise ValueError(f"not a decimal fraction between 0 and 1: {text[:FRACTION_SHOWN_MAX_CHARACTERS]!r}")
    return Decimal(text)


def part(amount: int, of_one: str) -> int:
    """Give ``of_one`` (a decimal fraction as text) of ``amount`` minor units, rounded half-even to a whole unit."""
    return int((Decimal(amount) * fraction(of_one)).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def allocate(total: int, weights: tuple[int, ...]) -> tuple[int, ...]:
    """Split ``total`` minor units over ``weights`` by largest remainder, ties by position; the shares add up exactly.

    All weights zero: every share is zero, and ``total`` must be zero then (``ValueError`` otherwise).
    """
    whole = sum(weights)
    if whole == 0:
        if total:
            raise ValueError("nothing to allocate to")
        return tuple(0 for _ in weights)
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return tuple(shares)
