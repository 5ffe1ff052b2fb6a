"""The values that a stored order is made of. They keep the fields that a later release wrote in them."""

from __future__ import annotations

from functools import cache

import msgspec


class Stored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A value of which stored orders are made. Fields at their default are not written. As values can't form circles, garbage
    collection leaves them alone.

    ``unknown_fields``: the fields that a later release wrote here, as a map in MessagePack. They go with the value through every
    change of it, and are written again where they stood. Empty unless two releases share a database.
    """

    unknown_fields: bytes = b""


@cache
def known_fields() -> int:
    """Give the number of fields that this release knows in all parts of an order; a later release has more, as none goes."""
    return sum(len(part.__struct_fields__) for part in Stored.__subclasses__())
