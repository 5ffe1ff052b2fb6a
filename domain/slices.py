"""Slices: the fixed split of all orders into 1,024 parts, stored in each row and never changed; who owns a slice may
change. An order that is owned apart from its slice is a group of its own.
"""

from __future__ import annotations

from zlib import crc32

SLICES = 1024
DEDICATED = "order-"


def slice_of(order_id: str) -> int:
    """Give the slice, 0..1023, of an order id; the same for ever and on every machine."""
    return crc32(order_id.encode()) & (SLICES - 1)


def dedicated_group(order_id: str) -> str:
    """Give the group of an order that is owned apart from its slice."""
    return DEDICATED + order_id
